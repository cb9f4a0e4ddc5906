from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.core.gpus import divides, installed_gpus, shared_by, visible_gpus
from tests.support.driver import build_driver


@pytest.mark.parametrize(
    ("listed", "seen"),
    [
        (None, 4),
        ("0,1", 2),
        ("3", 1),
        (" 0 , 2 ", 2),
        ("GPU-8932f937-d72c-4106-c12f-20bd9faed9f6,GPU-1", 2),
        ("", 0),
        ("-1", 0),
        ("0,-1,1", 1),  # what follows is not seen
        ("0,1,2,3,4,5", 4),  # there are no more
    ],
)
def test_a_process_sees_what_its_environment_lists(listed: str | None, seen: int) -> None:
    variables = {} if listed is None else {"CUDA_VISIBLE_DEVICES": listed}
    assert visible_gpus(variables, lambda: 4) == seen
    assert visible_gpus(variables, lambda: 0) == 0


def test_without_a_driver_there_are_none(tmp_path: Path) -> None:
    assert installed_gpus(str(tmp_path / "libnvidia-ml.so.1")) == 0
    assert installed_gpus("libc.so.6") == 0  # a library that is something else


@pytest.mark.parametrize(("status", "seen"), [(0, 8), (9, 0)])  # 9: NVML_ERROR_DRIVER_NOT_LOADED
def test_the_driver_is_asked(tmp_path: Path, status: int, seen: int) -> None:
    assert installed_gpus(str(build_driver(tmp_path, 8, status))) == seen


@pytest.mark.gpu
def test_it_is_what_torch_sees() -> None:
    import torch

    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    assert visible_gpus() == torch.cuda.device_count()


@pytest.mark.parametrize(
    ("gpus", "heads", "kv_heads", "shared"),
    [
        (1, 32, 8, 1),
        (0, 32, 8, 1),
        (4, 32, 8, 4),
        (8, 40, 8, 8),  # Qwen3 14B
        (8, 64, 8, 8),
        (8, 8, 4, 8),  # Gemma 3 4B: each key-value head on two GPUs
        (3, 24, 8, 2),  # Llama 3.2 3B: three divide the heads, and not the eight key-value heads
        (8, 4, 1, 4),  # Gemma 3 1B has four heads
        (5, 15, 5, 5),
        (4, 15, 5, 1),  # three GPUs divide 15 heads, and not five key-value heads
    ],
)
def test_as_many_share_a_model_as_divide_its_heads(gpus: int, heads: int, kv_heads: int, shared: int) -> None:
    assert shared_by(gpus, heads, kv_heads) == shared
    assert divides(shared, heads, kv_heads)
