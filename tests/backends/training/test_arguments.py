from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.core.context import CallContext
from schemas.events import Event


@pytest.mark.parametrize(("visible", "told"), [(0, []), (1, []), (2, ["2 GPUs are there, and one of them trains"])])
def test_one_process_trains_on_one_gpu(tmp_path: Path, visible: int, told: list[str]) -> None:
    from trl import SFTConfig

    from pipeline.backends.training.arguments import on_one_gpu

    arguments = SFTConfig(output_dir=str(tmp_path), use_cpu=True, bf16=False, per_device_train_batch_size=4)
    arguments._n_gpu = visible  # as transformers sets it where so many GPUs are visible
    events: list[Event] = []
    on_one_gpu(arguments, CallContext(sink=events.append))
    assert arguments.n_gpu == min(visible, 1)
    assert arguments.train_batch_size == 4
    assert [event.message for event in events if event.kind == "warning"] == told
