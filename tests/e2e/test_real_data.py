"""The chain on real data, whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.real_data import TARGET, TEST_ROWS, carry_out

pytestmark = [pytest.mark.full, pytest.mark.real_data]


@pytest.mark.timeout(5000)
def test_banking77_is_learned_and_the_forgetting_of_clinc_is_refused(real_data: Path, tmp_path: Path) -> None:
    chain, base, tuned = carry_out(real_data, tmp_path)
    assert chain.test_rows == TEST_ROWS
    assert chain.exact_match >= TARGET
    assert chain.near_train > chain.clean  # rows like those trained on are easier, so they are shown apart
    assert chain.tfidf > 0.85  # a strong reference, not hidden
    assert chain.base_own_task_before > 0.6
    assert chain.base_own_task_after < 0.1
    assert chain.retention_refused
    assert chain.verdict == "refused"
    assert base["subjects"], "the base was measured on its own test split"
    assert tuned["retention"][0]["task"] == "clinc-base"  # by lineage, nobody named it
