from __future__ import annotations

import pytest
from tqdm import tqdm

from pipeline.backends.bars import no_bars


def test_a_bar_that_is_asked_for_is_off_inside_and_as_it_was_after(capsys: pytest.CaptureFixture[str]) -> None:
    with no_bars():
        assert list(tqdm([1, 2], desc="loading", disable=False)) == [1, 2]
    assert capsys.readouterr().err == ""
    list(tqdm([1, 2], desc="loading", disable=False))
    assert "loading" in capsys.readouterr().err
