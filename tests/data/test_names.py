from __future__ import annotations

from pipeline.data.names import listed, nearest, quoted


def test_the_first_are_listed_and_the_others_counted() -> None:
    assert listed([]) == ""
    assert listed([1, 2], 2) == "1, 2"
    assert listed([1, 2, 3], 2) == "1, 2 and 1 more"
    assert listed(["a, b", "c", "d"], 2, "; ") == "a, b; c; and 1 more"
    assert listed(range(12)) == "0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 2 more"
    assert quoted(iter("abc"), 2) == "'a', 'b' and 1 more"


def test_the_nearest_name_is_close_or_none() -> None:
    assert nearest("Promt", ["prompt", "text"]) == "prompt"
    assert nearest("zzz", ["prompt", "text"]) is None
