"""Keys that nobody can guess, and those that are refused."""

from __future__ import annotations

import secrets
import uuid

import pytest

from modal_app.serving.api_key import LEAST_BITS, bits, checked, weakness
from pipeline.core.errors import ConfigError

REPEATS = "it repeats itself or is a sequence"


@pytest.mark.parametrize(
    ("key", "problem"),
    [
        ("", "it has 0 characters, and 24 are the least"),
        ("a3f9c17e5b0d48269ce1a7b", "it has 23 characters, and 24 are the least"),
        (32 * "a", REPEATS),
        (16 * "ab", REPEATS),
        (4 * "a3f9c17e", REPEATS),
        ("0123456789abcdef0123456789abcdef", REPEATS),
        ("abcdefghijklmnopqrstuvwxyz0123456789", REPEATS),
        ("zyxwvutsrqponmlkjihgfedcba", REPEATS),
        ("MyPassword-is-9e1f5a7c3b8d", "it looks like a placeholder"),
        ("changeme-9e1f5a7c3b8d2f6a", "it looks like a placeholder"),
        ("a3f9c17e 5b0d48269ce1a7b3", "it has other characters than ASCII letters, digits and signs"),
        ("a3f9c17é5b0d48269ce1a7b3", "it has other characters than ASCII letters, digits and signs"),
    ],
)
def test_a_weak_key_is_told_why(key: str, problem: str) -> None:
    assert weakness(key) == problem
    with pytest.raises(ConfigError) as caught:
        checked(key)
    assert caught.value.where == "HONE_API_KEY"
    assert not key or key not in str(caught.value)


def test_random_keys_of_the_usual_forms_are_taken() -> None:
    for make in (lambda: secrets.token_hex(16), secrets.token_urlsafe, lambda: str(uuid.uuid4()), secrets.token_hex):
        keys = [make() for _ in range(200)]
        assert [weakness(key) for key in keys] == [None] * 200
        assert checked(keys[0]) == keys[0]


def test_bits_are_counted_for_characters_that_surprise() -> None:
    # Pairs a-b, b-a, a-b ...: of four steps two are new, and there are two characters: 2 * log2(2).
    assert bits("ababa") == 2.0
    # b follows a for the first time; c is as far from b as b from a, and so on: one surprise among four characters.
    assert bits("abcd") == 2.0
    # Neither a pair twice nor a step twice (+3, -2, +5, -1): four surprises among five characters, 4 * log2(5).
    assert bits("adbgf") == pytest.approx(4 * 2.321928094887362, rel=1e-12)
    assert bits("") == bits("a") == 0.0 < LEAST_BITS
