from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.context import CallContext
from pipeline.core.errors import DataError, RenderError
from pipeline.evaluate.items import Item, as_item
from pipeline.evaluate.prompts import Task, conversation, draw_shots, fold_system, render_items, shows_system
from pipeline.render import render_prompt
from schemas.data import Message
from schemas.events import Event
from schemas.render import RenderOptions
from tests.evaluate.support import LABELS, example, labeled_rows
from tests.support.tiny_model import tiny_tokenizer

WITHOUT_SYSTEM = (
    "{% for m in messages %}{% if m.role != 'system' %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n"
    "{% endif %}{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
REFUSES_SYSTEM = "{{ raise_exception('no system') if messages[0].role == 'system' }}" + WITHOUT_SYSTEM


def items(repeat: int = 1) -> list[Item]:
    return [as_item(row) for row in labeled_rows(repeat)]


@given(count=st.integers(0, 12), seed=st.integers(0, 50))
@settings(deadline=None)
def test_shots_are_spread_over_the_labels_and_a_function_of_the_seed(count: int, seed: int) -> None:
    train = items()
    shots = draw_shots(train, count, seed)

    assert len({shot.id for shot in shots}) == len(shots) == count
    drawn = Counter(shot.label for shot in shots)
    assert max((drawn[label] for label in LABELS), default=0) - min(drawn[label] for label in LABELS) <= 1
    assert shots == draw_shots(list(reversed(train)), count, seed)


def test_another_seed_draws_other_shots() -> None:
    assert len({draw_shots(items(), 3, seed) for seed in range(20)}) > 10


def test_equal_prompts_are_drawn_once() -> None:
    train = [as_item(example(number, "the same", "refund")) for number in range(5)]
    assert len(draw_shots(train, 1, 0)) == 1
    with pytest.raises(DataError, match="2 examples are asked for and the training split has 1 different prompts"):
        draw_shots(train, 2, 0)


def test_a_conversation_has_instruction_examples_and_item() -> None:
    shot, item = items()[0], items()[5]
    assert conversation(item, Task("Name the intent.", (shot,))) == (
        Message(role="system", content="Name the intent."),
        Message(role="user", content=shot.text),
        Message(role="assistant", content="refund"),
        Message(role="user", content=item.text),
    )
    assert conversation(item, Task()) == item.prompt


def test_the_items_own_system_turn_stands_once_and_first() -> None:
    system = Message(role="system", content="You are brief.")
    rows = [
        as_item(
            example(
                number,
                "",
                "refund",
                messages=(
                    system,
                    Message(role="user", content=f"q{number}"),
                    Message(role="assistant", content="refund"),
                ),
            )
        )
        for number in range(2)
    ]
    turns = conversation(rows[1], Task("Name the intent.", (rows[0],)))
    assert [turn.role for turn in turns] == ["system", "user", "assistant", "user"]
    assert turns[0].content == "You are brief.\n\nName the intent."


def test_where_the_template_shows_no_system_turn_it_goes_before_the_first_question() -> None:
    tokenizer = tiny_tokenizer()
    assert shows_system(tokenizer, RenderOptions())
    task = Task("Name the intent.", (items()[0],))
    for template in (WITHOUT_SYSTEM, REFUSES_SYSTEM):
        options = RenderOptions(chat_template=template)
        assert not shows_system(tokenizer, options)
        ids = render_items(
            items()[4:5], task, tokenizer, options, context_length=None, max_new_tokens=4, context=CallContext()
        )
        assert tokenizer.decode(ids[0]) == (
            "<|im_start|>user\nName the intent.\n\nI want my money back<|im_end|>\n"
            "<|im_start|>assistant\nrefund<|im_end|>\n"
            "<|im_start|>user\nI cannot log in<|im_end|>\n<|im_start|>assistant\n"
        )


def test_folding_leaves_a_conversation_without_system_turn_alone() -> None:
    turns = (Message(role="user", content="hello"),)
    assert fold_system(turns) == turns


def test_without_task_the_prompt_is_the_one_of_training() -> None:
    tokenizer = tiny_tokenizer()
    options = RenderOptions()
    rows = items()
    rendered = render_items(
        rows, Task(), tokenizer, options, context_length=512, max_new_tokens=4, context=CallContext()
    )
    assert rendered == [render_prompt(item.prompt, tokenizer, options) for item in rows]


def test_examples_are_dropped_from_the_end_until_prompt_and_answer_fit() -> None:
    tokenizer = tiny_tokenizer()
    options = RenderOptions()
    shots = tuple(items()[:3])
    item = items()[5]
    lengths = [
        len(render_prompt(conversation(item, Task("Do.", shots[:kept])), tokenizer, options)) for kept in range(4)
    ]
    for kept, length in enumerate(lengths):
        events: list[Event] = []
        rendered = render_items(
            [item],
            Task("Do.", shots),
            tokenizer,
            options,
            context_length=length + 10,
            max_new_tokens=10,
            context=CallContext(sink=events.append),
        )
        assert rendered == [render_prompt(conversation(item, Task("Do.", shots[:kept])), tokenizer, options)]
        warnings = [event.message for event in events if event.kind == "warning"]
        assert warnings == (
            []
            if kept == 3
            else [
                f"1 of 1 prompts exceed the model's context of {length + 10} tokens and are asked with fewer examples"
            ]
        )


def test_an_answer_with_less_room_than_allowed_is_told() -> None:
    tokenizer = tiny_tokenizer()
    item = items()[0]
    length = len(render_prompt(item.prompt, tokenizer, RenderOptions()))
    events: list[Event] = []
    context = CallContext(sink=events.append)
    render_items(
        [item], Task(), tokenizer, RenderOptions(), context_length=length + 1, max_new_tokens=2, context=context
    )
    assert [event.data for event in events if event.kind == "warning"] == [{"items": 1}]


def test_a_prompt_longer_than_the_context_is_named_by_its_row() -> None:
    rows = [as_item(example(3, "short", "x")), as_item(example(7, "very long " * 50, "x"))]
    with pytest.raises(DataError, match="source row 8: 1 prompts fill the model's context of 64 tokens"):
        render_items(
            rows,
            Task(None, (rows[0],)),
            tiny_tokenizer(),
            RenderOptions(),
            context_length=64,
            max_new_tokens=8,
            context=CallContext(),
        )


def test_a_template_that_refuses_an_item_names_its_row() -> None:
    options = RenderOptions(chat_template="{{ raise_exception('only questions') }}")
    with pytest.raises(RenderError, match=r"source row 1: .*only questions"):
        render_items(
            items()[:1],
            Task(),
            tiny_tokenizer(),
            options,
            context_length=None,
            max_new_tokens=8,
            context=CallContext(),
        )
