"""hone's renders of two hundred conversations in every family, against transformers' own and masks made by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from pipeline.core.context import CallContext
from pipeline.core.errors import RenderError
from pipeline.evaluate.items import as_item
from pipeline.evaluate.prompts import Task, render_items
from pipeline.render import Tokenizer, render_conversation, render_prompt
from pipeline.render.tools import served_tool
from schemas.data import Example, Message
from schemas.render import RenderOptions
from tests.parity.conversations import EACH, KINDS, Conversation, conversations
from tests.parity.families import FAMILIES, UNSTABLE, Family, make_tokenizer, tokenizer_of

ALL = tuple(conversations())
HI = (Message(role="user", content="Hi"), Message(role="assistant", content="Yes."))


COMMON = ("chatml", "llama3", "qwen3", "gpt-oss")
"""Families that the fast tests try; the slow ones try the others."""

EACH_FAMILY = [pytest.param(one, id=one.name, marks=[] if one.name in COMMON else pytest.mark.slow) for one in FAMILIES]


def fitting(family: Family) -> list[Conversation]:
    """Return the conversations that the family has words for."""
    no_system = "system" in family.refuses
    return [
        one for one in ALL if one.kind not in family.refuses and not (no_system and one.messages[0].role == "system")
    ]


def by_transformers(messages: Sequence[Message], one: Conversation, tokenizer: Tokenizer, **more: Any) -> list[int]:
    """Return the ids of transformers' own rendering."""
    plain = [message.for_template() for message in messages]
    tools = [served_tool(tool) for tool in one.tools] if one.tools else None
    ids = tokenizer.apply_chat_template(plain, tools=tools, tokenize=True, return_dict=False, **more)
    return list(ids)


def test_there_are_two_hundred_of_ten_kinds_and_fifteen_families() -> None:
    assert len({str((one.messages, one.tools)) for one in ALL}) == len(ALL) == EACH * len(KINDS) == 200
    assert len({family.template for family in FAMILIES}) == len(FAMILIES) == 15


@pytest.mark.parametrize("family", EACH_FAMILY)
def test_training_and_evaluation_read_what_transformers_reads(family: Family) -> None:
    tokenizer, options = tokenizer_of(family.name), RenderOptions()
    for one in fitting(family):
        rendered = render_conversation(one.messages, tokenizer, options, tools=one.tools)
        prompt = render_prompt(one.messages[:-1], tokenizer, options, tools=one.tools)
        assert rendered.ids == by_transformers(one.messages, one, tokenizer), one.name
        assert prompt == by_transformers(one.messages[:-1], one, tokenizer, add_generation_prompt=True), one.name
        assert rendered.ids[: len(prompt)] == prompt, one.name
        assert not any(rendered.trained[: len(prompt)]), one.name
        assert rendered.trained[len(prompt)], one.name


@pytest.mark.parametrize("family", EACH_FAMILY)
def test_an_evaluation_asks_the_prompt_that_training_showed(family: Family) -> None:
    tokenizer, options = tokenizer_of(family.name), RenderOptions()
    asked = [one for one in fitting(family) if one.number == 3]
    items = [as_item(Example(id=one.name, row=1, messages=one.messages, tools=one.tools, cluster=0)) for one in asked]
    context = CallContext(sink=lambda _: None)
    prompts = render_items(items, Task(), tokenizer, options, context_length=None, max_new_tokens=8, context=context)
    for one, prompt in zip(asked, prompts, strict=True):
        rendered = render_conversation(one.messages, tokenizer, options, tools=one.tools)
        assert rendered.ids[: len(prompt)] == prompt, one.name


@pytest.mark.parametrize("family", EACH_FAMILY)
def test_the_mask_is_the_one_made_by_hand(family: Family) -> None:
    tokenizer = tokenizer_of(family.name)
    rendered = render_conversation(HI, tokenizer, RenderOptions())
    before, rest = family.ending.split("[[")
    trained, after = rest.split("]]")
    assert rendered.text.endswith(before + trained + after)
    marked = tokenizer.decode([token for token, kept in zip(rendered.ids, rendered.trained, strict=True) if kept])
    assert marked == trained
    last = max(place for place, kept in enumerate(rendered.trained) if kept)
    assert sum(rendered.trained) == last - rendered.trained.index(True) + 1  # in one piece
    assert tokenizer.decode(rendered.ids[last + 1 :]) == after


@pytest.mark.parametrize("family", [one for one in FAMILIES if one.refuses], ids=lambda family: family.name)
def test_what_a_family_has_no_words_for_is_refused(family: Family) -> None:
    for one in ALL:
        if one.kind in family.refuses:
            with pytest.raises(RenderError, match="the chat template refuses the conversation"):
                render_conversation(one.messages, tokenizer_of(family.name), RenderOptions(), tools=one.tools)


@pytest.mark.parametrize("source", UNSTABLE)
def test_a_template_whose_prompt_is_no_beginning_of_its_turn_is_refused(source: str) -> None:
    eos = "<｜end▁of▁sentence｜>" if source.startswith("deepseek") else "<|im_end|>"
    tokenizer = make_tokenizer(Family(source, source, "", bos="<bos>", eos=eos))
    with pytest.raises(RenderError, match="renders a turn differently once the conversation goes on"):
        render_conversation(HI, tokenizer, RenderOptions())
