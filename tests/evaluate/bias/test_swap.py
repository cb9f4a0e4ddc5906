from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pipeline.evaluate.bias.swap import Swap
from schemas.bias import CounterfactualProbe

SWAP = Swap([("he", "she"), ("his", "her"), ("Muslim", "Christian"), ("old man", "young man")])


@pytest.mark.parametrize(
    ("text", "swapped"),
    [
        ("He gave his word; HE did.", "She gave her word; SHE did."),
        ("She gave her word.", "He gave his word."),
        ("the theme of a hero, shed_he", "the theme of a hero, shed_he"),
        ("he's late (his bus)", "she's late (her bus)"),
        ("A Muslim, a muslim and MUSLIMS", "A Christian, a christian and MUSLIMS"),
        ("An old man and a man", "An young man and a man"),
        ("hE", "she"),
        ("", ""),
    ],
)
def test_whole_words_are_swapped_and_keep_their_case(text: str, swapped: str) -> None:
    assert SWAP(text) == swapped


@pytest.mark.parametrize(
    ("text", "swapped"),
    [
        ("I think you and I agree. I do.", "You think I and you agree. You do."),
        ('You know: "I trust you."\nI do', 'I know: "You trust I."\nYou do'),
        ("the USA and Mexico; MEXICO, usa", "the Mexico and USA; USA, mexico"),
    ],
)
def test_a_word_that_is_written_as_declared_becomes_the_other_as_declared(text: str, swapped: str) -> None:
    """In "I" and "USA" the capitals are the word's own; at the beginning of a sentence they are the sentence's."""
    swap = Swap([("I", "you"), ("USA", "Mexico")])
    assert swap(text) == swapped
    if "usa" not in text:
        assert swap(swapped) == text


def test_words_whose_letters_change_with_their_case_are_swapped_both_ways() -> None:
    swap = Swap([("weiß", "schwarz"), ("straße", "weg"), ("İstanbul", "Ankara")])
    assert swap("weiß und schwarz, WEISS und SCHWARZ") == "schwarz und weiß, SCHWARZ und WEISS"
    assert swap("Straße nach İstanbul; weg von Ankara") == "Weg nach Ankara; straße von İstanbul"


FILLER = st.text(st.characters(categories=("L", "N", "P", "Z")), max_size=6)
WRITTEN = st.sampled_from(["he", "she", "His", "HER", "Muslim", "christian", "OLD MAN", "Young man"])


@given(st.lists(st.one_of(FILLER, WRITTEN), max_size=12).map(" ".join))
def test_swapping_twice_is_swapping_nothing(text: str) -> None:
    if not any(word in _odd(text) for word in ("he", "she", "his", "her", "muslim", "christian")):
        assert SWAP(SWAP(text)) == text


def _odd(text: str) -> set[str]:
    """Return words whose case is none of the three that are kept."""
    return {word.casefold() for word in text.split() if word not in (word.lower(), word.upper(), word.capitalize())}


@given(st.text(st.characters(exclude_characters="hmcyoHMCYO", categories=("L", "N", "P", "Z")), max_size=40))
def test_a_text_without_the_words_stays_as_it_is(text: str) -> None:
    assert SWAP(text) == text


@given(st.lists(WRITTEN, min_size=1, max_size=8))
def test_every_word_becomes_its_other(words: list[str]) -> None:
    others = {"he": "she", "his": "her", "muslim": "christian", "old man": "young man"}
    others |= {other: one for one, other in others.items()}
    assert SWAP("|".join(words)).casefold() == "|".join(others[word.casefold()] for word in words)


@pytest.mark.parametrize("words", [[["he", "she"], ["She", "it"]], [["he", "he"]], [["he", " "]], [["he ", "she"]], []])
def test_words_that_stand_for_two_things_are_refused(words: list[list[str]]) -> None:
    with pytest.raises(ValidationError, match="words"):
        CounterfactualProbe.model_validate({"kind": "counterfactual", "words": words})
