"""What a machine of a cluster takes from the first one."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.backends.training.distributed_nodes import _inside
from pipeline.core.errors import EngineError


def test_a_file_that_is_sent_stays_in_the_folder_of_the_training(tmp_path: Path) -> None:
    folder = tmp_path / "ranks"
    folder.mkdir()
    assert _inside(folder, "scratch/checkpoints/step-1/model.safetensors") == folder / (
        "scratch/checkpoints/step-1/model.safetensors"
    )
    for name in ("../elsewhere", "/etc/passwd", "scratch/../../elsewhere"):
        with pytest.raises(EngineError, match="leads out"):
            _inside(folder, name)
