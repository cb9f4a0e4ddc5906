"""Preferences as tokens."""

from __future__ import annotations

import pytest

from pipeline.core.errors import RenderError
from pipeline.render import render_preference, render_prompt
from schemas.data import Message
from schemas.render import RenderOptions
from tests.support.tiny_model import tiny_tokenizer

PROMPT = (Message(role="user", content="one"),)
GOOD, BAD = Message(role="assistant", content="two three"), Message(role="assistant", content="two")


def test_sides_share_the_prompt_and_end_with_the_end_of_turn() -> None:
    tokenizer = tiny_tokenizer()
    pair = render_preference(PROMPT, (GOOD,), (BAD,), tokenizer, RenderOptions())
    assert pair.prompt_ids == render_prompt(PROMPT, tokenizer)
    assert tokenizer.decode(pair.chosen_ids) == "two three<|im_end|>"
    assert tokenizer.decode(pair.rejected_ids) == "two<|im_end|>"
    assert pair.longest == len(pair.prompt_ids) + len(pair.chosen_ids)


def test_truncation_cuts_both_ends() -> None:
    pair = render_preference(PROMPT, (GOOD,), (BAD,), tiny_tokenizer(), RenderOptions())
    cut = pair.truncated(len(pair.prompt_ids) + 1)
    assert (len(cut.chosen_ids), len(cut.rejected_ids)) == (1, 1)
    assert pair.truncated(3).chosen_ids == []
    whole = len(pair.prompt_ids) + len(pair.chosen_ids)
    assert (pair.ended, pair.truncated(whole).ended, pair.truncated(whole - 1).ended) == (True, True, False)


def test_a_side_of_several_turns_is_refused() -> None:
    with pytest.raises(RenderError, match="rejected must be exactly one assistant turn"):
        render_preference(PROMPT, (GOOD,), (*PROMPT, BAD), tiny_tokenizer(), RenderOptions())
