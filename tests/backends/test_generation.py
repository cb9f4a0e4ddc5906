from __future__ import annotations

import pytest

from pipeline.backends.generation import answer_limits, completion_of
from pipeline.core.errors import DataError
from tests.support.tiny_model import tiny_tokenizer


def test_a_completion_keeps_the_stop_token_as_id_and_not_as_text() -> None:
    tokenizer = tiny_tokenizer()
    words = tokenizer("one two")["input_ids"]
    end = tokenizer.eos_token_id
    assert end is not None

    stopped = completion_of(7, [*words, end], {end}, tokenizer)

    assert (stopped.text, stopped.finish_reason) == ("one two", "stop")
    assert stopped.token_ids == [*words, end]
    assert (stopped.prompt_tokens, stopped.completion_tokens) == (7, len(words) + 1)
    assert completion_of(7, words, {end}, tokenizer).finish_reason == "length"


def test_an_answer_never_leaves_the_context() -> None:
    # Context 10: prompts of 4 and 9 tokens leave 6 and 1; at most 5 are asked for.
    assert answer_limits([[1] * 4, [1] * 9], 5, 10) == [5, 1]
    assert answer_limits([[1] * 400], 5, None) == [5]


def test_a_prompt_without_room_for_an_answer_is_named() -> None:
    with pytest.raises(DataError, match="prompt 2, 3: the model's context of 4 tokens leaves no room"):
        answer_limits([[1], [1] * 4, [1] * 5], 5, 4)
    with pytest.raises(DataError, match="prompt 1: a prompt has no tokens"):
        answer_limits([[], [1]], 5, 4)
