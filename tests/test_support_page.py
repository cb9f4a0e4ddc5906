"""Every row of what is supported has a tier, and a test that is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from docs.generate_support import TARGET, TIERS, page, rows

TESTS = Path(__file__).resolve().parent
ROWS = [pytest.param(*row, id=name) for named in rows().values() for name, row in named.items()]


@pytest.mark.parametrize(("tier", "test", "note"), ROWS)
def test_a_row_has_a_tier_and_a_test_that_is_there(tier: str, test: str | None, note: str) -> None:
    assert tier in TIERS
    assert (test is None) == (tier in ("not built yet", "gone upstream", "recipe"))
    if test is not None:
        path, name = test.split("::")
        assert re.search(rf"^def {name}\(", (TESTS / path).read_text(), re.MULTILINE), test


def test_the_page_is_up_to_date() -> None:
    assert TARGET.read_text() == page()
