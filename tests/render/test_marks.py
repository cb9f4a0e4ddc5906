"""Which tokens are marked, told again token by token."""

from __future__ import annotations

from itertools import accumulate

from hypothesis import given
from hypothesis import strategies as st

from pipeline.render.conversation import _joined, _mask, _trained_ends

places = st.integers(0, 24)
widths = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3)), max_size=12)
"""Gap before a token, and its length: tokens of no width and characters of no token occur."""


@st.composite
def tokens(draw: st.DrawFn) -> list[tuple[int, int]]:
    """Sorted tokens; one may come twice, as the bytes of one character do."""
    drawn = draw(widths)
    ends = accumulate(gap + width for gap, width in drawn)
    found = [(end - width, end) for end, (_, width) in zip(ends, drawn, strict=True)]
    return [token for token in found for _ in range(draw(st.integers(1, 2)))]


@st.composite
def spans(draw: st.DrawFn) -> list[tuple[int, int]]:
    edges = sorted(draw(st.sets(places, max_size=6)))
    return list(zip(edges[::2], edges[1::2], strict=False))


@given(tokens(), spans(), st.lists(places, max_size=3, unique=True).map(sorted))
def test_marks_are_those_of_each_token_alone(
    found: list[tuple[int, int]], trained: list[tuple[int, int]], ends: list[int]
) -> None:
    starts, stops = [start for start, _ in found], [stop for _, stop in found]
    mask = _mask(starts, stops, trained)
    assert mask == [any(start < high and stop > low for low, high in trained) for start, stop in found]
    closing = [any(start < end <= stop for end in ends) for start, stop in found]
    expected = [place for place, (used, closes) in enumerate(zip(mask, closing, strict=True)) if used and closes]
    assert list(_trained_ends(starts, stops, mask, ends)) == expected
    inside = any(low not in starts and low < stops[-1] for low, _ in trained if low and stops)
    assert _joined(starts, stops, trained) == inside
