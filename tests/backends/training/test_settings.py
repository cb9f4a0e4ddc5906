"""What recoveries change."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.backends.training.settings import AttemptSettings
from pipeline.core.errors import DivergenceError, OutOfMemory
from tests.support.training import base, train_config

FIRST = AttemptSettings(micro_batch=12, accumulation=2, learning_rate=0.1)


def test_micro_batch_is_divided_until_one_row_is_left() -> None:
    settings = FIRST
    for micro, accumulation in ((6, 4), (3, 8), (1, 24)):  # 12 = 2 * 2 * 3
        settings = settings.after_out_of_memory(step=5)
        assert (settings.micro_batch, settings.accumulation) == (micro, accumulation)
    assert settings.recoveries[0].action == "micro-batch 12 -> 6, accumulation 2 -> 4"
    with pytest.raises(OutOfMemory, match="one row at a time") as caught:
        settings.after_out_of_memory(step=5)
    assert "gradient_checkpointing" in str(caught.value.fix)


@given(st.integers(2, 500), st.integers(1, 64))
def test_effective_batch_never_changes(micro: int, accumulation: int) -> None:
    after = AttemptSettings(micro, accumulation, 0.1).after_out_of_memory(1)
    assert after.micro_batch * after.accumulation == micro * accumulation
    assert after.micro_batch < micro


def test_rate_is_halved_once() -> None:
    settings = FIRST.after_divergence(step=7, back_to=5, what="loss")
    assert settings.learning_rate == 0.05
    assert settings.recoveries[0].action == "loss not finite; back to step 5, learning rate 0.1 -> 0.05"
    with pytest.raises(DivergenceError, match=r"step 8 again, with half the learning rate \(0\.05\)"):
        settings.after_divergence(step=8, back_to=5, what="gradient norm")


def test_settings_outlive_the_process(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    config = train_config(base(tmp_path))
    assert AttemptSettings.load(config, tmp_path) == AttemptSettings.first(config)
    changed = FIRST.after_divergence(3, 0, "loss").after_out_of_memory(4)
    changed.save(tmp_path)
    assert AttemptSettings.load(config, tmp_path) == changed
