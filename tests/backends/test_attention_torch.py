from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.core.models import ModelFiles
from tests.support.tiny_model import tiny_base_tokenizer, write_tiny_base
from tests.support.training import base, train_config


@pytest.fixture(autouse=True)
def planned() -> Iterator[None]:
    """Begin as torch does, and leave it as it was."""
    import torch

    before = torch.backends.cuda.cudnn_sdp_enabled()
    torch.backends.cuda.enable_cudnn_sdp(True)
    yield
    torch.backends.cuda.enable_cudnn_sdp(before)


@pytest.mark.parametrize("loads", ["to answer", "to train"])
def test_no_loaded_model_attends_by_kernels_that_plan_for_each_shape(tmp_path: Path, loads: str) -> None:
    import torch

    from pipeline.backends.model_transformers import load_causal_lm
    from pipeline.backends.training.base_model import prepare_model

    folder = write_tiny_base(tmp_path)
    assert torch.backends.cuda.cudnn_sdp_enabled()
    if loads == "to answer":
        load_causal_lm(ModelFiles(str(folder), None, None, str(folder), False))
    else:
        prepare_model(train_config(base(folder)), tiny_base_tokenizer(folder), 8)
    assert not torch.backends.cuda.cudnn_sdp_enabled()
    assert torch.backends.cuda.flash_sdp_enabled()
