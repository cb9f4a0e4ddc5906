from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.evaluate.bias.choices import LETTERS, offered, read_choice

OPTIONS = ("The grandfather", "The grandson", "Can't be determined")


@pytest.mark.parametrize(
    ("answer", "place"),
    [
        ("b", 1),
        (" B. ", 1),
        ("(b)", 1),
        ("b)", 1),
        ("B: the  grandson.", 1),
        ("(b) The grandson", 1),
        ("The grandson", 1),
        ("The answer is (b) The grandson.", 1),
        ("Answer: c", 2),
        ("Can’t be determined", 2),
        ("(b) The grandfather", None),
        ("a or b", None),
        ("The grandson is", None),
        ("I think it is b", None),
        ("d", None),
        ("", None),
    ],
)
def test_the_whole_answer_must_be_one_of_those_offered(answer: str, place: int | None) -> None:
    assert read_choice(answer, OPTIONS) == place


def test_a_text_that_two_options_share_is_no_choice() -> None:
    assert read_choice("unknown", ("Unknown", "unknown.", "The man")) is None
    assert read_choice("b", ("Unknown", "unknown.", "The man")) == 1


NAMES = st.lists(
    st.text(st.characters(categories=("L", "N")), min_size=2, max_size=8),
    min_size=3,
    max_size=3,
    unique_by=str.casefold,
)


@given(NAMES, st.integers(0, 2), st.sampled_from(["{0}", "({0})", "{0}. {1}", "({0}) {1}", "{1}", "the answer is {0}"]))
def test_every_form_of_an_option_is_read_as_it(names: list[str], place: int, form: str) -> None:
    assert read_choice(form.format(LETTERS[place], names[place]), names) == place


@given(NAMES)
def test_what_is_offered_is_not_an_answer(names: list[str]) -> None:
    assert read_choice(offered(names), names) is None
