from __future__ import annotations

import pytest

from pipeline.core.errors import ConfigError
from pipeline.plan.profile import MARKUP_TOKENS, measure
from schemas.data import Columns, DataOptions


def words(text: str) -> int:
    return len(text.split())


def test_lengths_count_text_and_markup() -> None:
    # Rows of 1..100 words, two turns each: lengths 13..112.
    rows = [{"prompt": "w " * number, "completion": ""} for number in range(1, 101)]
    found = measure(rows, DataOptions(), words, 1000)
    markup = 2 * MARKUP_TOKENS
    assert (found.sampled, found.longest, found.by) == (100, 100 + markup, "tokenizer")
    assert found.mean == pytest.approx(50.5 + markup, abs=0.01)
    assert (found.p95, found.p99) == (95 + markup, 99 + markup)


def test_conversations_count_every_turn() -> None:
    turns = [
        {"role": "user", "content": "a b"},
        {"role": "assistant", "content": "c"},
        {"role": "user", "content": "d"},
    ]
    # Three roles, four words, three times the markup.
    assert measure([{"messages": turns}], DataOptions(), words, 1000).longest == 7 + 3 * MARKUP_TOKENS


def test_what_templates_and_the_system_turn_add_is_counted() -> None:
    options = DataOptions(
        system="be brief", prompt_template="Classify this: {{ utterance2 }} now", columns=Columns(label="y")
    )
    rows = [{"utterance2": "a b c", "y": "label", "note": "never seen at all"}]
    # 2 of the system turn, 3 around the variable, 4 of the row; three turns.
    assert measure(rows, options, words, 1000).longest == 9 + 3 * MARKUP_TOKENS


def test_a_row_of_unknown_columns_counts_whole() -> None:
    assert (
        measure([{"x": "a b", "y": {"z": ["c"]}, "n": 4}], DataOptions(), words, 1000).longest == 4 + 2 * MARKUP_TOKENS
    )


@pytest.mark.parametrize(("vocabulary", "tokens"), [(50_000, 25), (2048, 34), (384, 67)])
def test_without_a_tokenizer_characters_are_counted(vocabulary: int, tokens: int) -> None:
    # 100 characters at 4, 3 and 1.5 per token, rounded up.
    found = measure([{"text": "x" * 100}], DataOptions(), None, vocabulary)
    assert found.longest == tokens + 2 * MARKUP_TOKENS
    assert found.by == "estimate"


def test_an_empty_sample_has_no_length() -> None:
    assert measure([], DataOptions(), words, 1000).longest == 0


def test_a_template_that_is_no_jinja_names_its_key() -> None:
    with pytest.raises(ConfigError, match=r"data\.prompt_template: not a valid template"):
        measure([{"a": "b"}], DataOptions(prompt_template="{{ a"), words, 1000)
