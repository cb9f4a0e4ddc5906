"""Languages are told by their scripts, and by nothing else."""

from __future__ import annotations

from typing import get_args

import pytest

from pipeline.data.checks.languages import is_foreign
from schemas.languages import LanguageCode, scripts_of


def foreign(text: str, *declared: LanguageCode) -> bool:
    return is_foreign(text, sorted({script for language in declared for script in scripts_of(language)}))


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Where is my parcel?", "en"),
        ("Gdzie jest moja paczka, żółć?", "pl"),
        ("Где моя посылка?", "ru"),
        ("私の荷物はどこですか", "ja"),
        ("我的包裹在哪里", "zh"),
        ("내 소포는 어디에 있나요", "ko"),
        ("أين طردي", "ar"),
        ("היכן החבילה שלי", "he"),
        ("मेरा पार्सल कहाँ है", "hi"),
    ],
)
def test_a_text_in_its_own_script_is_at_home_and_in_another_is_not(text: str, language: LanguageCode) -> None:
    assert not foreign(text, language)
    other: LanguageCode = "el"
    assert foreign(text, other)
    assert not foreign(text, other, language)


def test_half_of_the_letters_decide() -> None:
    assert not foreign("abcd где", "en")  # four of seven
    assert foreign("abc гдето", "en")  # three of eight
    assert not foreign("да", "en")  # too short to tell
    assert not foreign("12 345 678 !", "en")


def test_every_language_has_a_script_that_the_library_knows() -> None:
    for language in get_args(LanguageCode):
        assert scripts_of(language)
        assert foreign("ΑΒΓΔ", language) is (language != "el")
