"""The render: masks worked out by hand, and what holds for every conversation."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.errors import RenderError
from pipeline.render import Rendered, render_conversation, render_conversations, render_prompt, render_text
from schemas.data import Message
from schemas.render import RenderOptions
from tests.render import templates
from tests.support.tiny_model import tiny_tokenizer

LAST = RenderOptions()
ASSISTANT = RenderOptions(completion_only_loss=False, assistant_only_loss=True)
ALL = RenderOptions(completion_only_loss=False)
PLAIN = RenderOptions(chat_template=templates.PLAIN_CHATML)


def turn(role: Any, content: str, **more: Any) -> Message:
    return Message(role=role, content=content, **more)


TWO_ANSWERS = (
    turn("system", "be brief"),
    turn("user", "one"),
    turn("assistant", "two"),
    turn("user", "three"),
    turn("assistant", "four"),
)


def trained_text(row: Rendered) -> list[str]:
    """Return the decoded runs of trained tokens."""
    runs: list[list[int]] = []
    inside = False
    for token, trained in zip(row.ids, row.trained, strict=True):
        if trained and not inside:
            runs.append([])
        if trained:
            runs[-1].append(token)
        inside = trained
    return [tiny_tokenizer().decode(run) for run in runs]


def test_last_answer_and_its_end_are_trained_and_the_newline_is_not() -> None:
    row = render_conversation(TWO_ANSWERS, tiny_tokenizer(), LAST)
    assert row.text == (
        "<|im_start|>system\nbe brief<|im_end|>\n<|im_start|>user\none<|im_end|>\n"
        "<|im_start|>assistant\ntwo<|im_end|>\n<|im_start|>user\nthree<|im_end|>\n<|im_start|>assistant\nfour<|im_end|>\n"
    )
    assert trained_text(row) == ["four<|im_end|>"]
    assert row.trained[-2:] == [True, False]  # <|im_end|>, "\n"


def test_every_answer_is_trained_under_assistant_only_loss() -> None:
    row = render_conversation(TWO_ANSWERS, tiny_tokenizer(), ASSISTANT)
    assert trained_text(row) == ["two<|im_end|>", "four<|im_end|>"]


def test_everything_is_trained_without_either() -> None:
    row = render_conversation(TWO_ANSWERS, tiny_tokenizer(), ALL)
    assert trained_text(row) == [row.text]


def test_weight_zero_keeps_a_turn_out() -> None:
    silent = (*TWO_ANSWERS[:2], turn("assistant", "two", weight=0.0), *TWO_ANSWERS[3:])
    assert trained_text(render_conversation(silent, tiny_tokenizer(), ASSISTANT)) == ["four<|im_end|>"]
    whole = trained_text(render_conversation(silent, tiny_tokenizer(), ALL))
    assert whole[0].endswith("<|im_start|>assistant\n")
    assert whole[1].startswith("<|im_start|>user\nthree")


def test_a_weight_between_zero_and_one_is_refused() -> None:
    with pytest.raises(RenderError, match=r"weight of a turn is 0\.5"):
        render_conversation((turn("user", "a"), turn("assistant", "b", weight=0.5)), tiny_tokenizer(), LAST)


def test_ids_and_mask_of_one_row_by_hand() -> None:
    # <|im_start|> is id 1, <|im_end|> 2 (the special tokens come first); "\n" alone is one byte token.
    tokenizer = tiny_tokenizer()
    row = render_conversation((turn("user", "a"), turn("assistant", "b")), tokenizer, LAST)
    newline, a, b = (tokenizer.convert_tokens_to_ids(token) for token in ("Ċ", "a", "b"))
    user = tokenizer("user\n", add_special_tokens=False)["input_ids"]
    assistant = tokenizer("assistant\n", add_special_tokens=False)["input_ids"]
    assert row.ids == [1, *user, a, 2, newline, 1, *assistant, b, 2, newline]
    assert row.labels == [-100] * (len(row.ids) - 3) + [b, 2, -100]


def test_prompt_is_a_prefix_of_the_row_up_to_the_first_trained_token() -> None:
    tokenizer = tiny_tokenizer()
    row = render_conversation(TWO_ANSWERS, tokenizer, LAST)
    assert render_prompt(TWO_ANSWERS[:-1], tokenizer) == row.ids[: row.trained.index(True)]


def test_template_without_markers_gives_the_same_mask() -> None:
    plain = ASSISTANT.model_copy(update={"chat_template": templates.PLAIN_CHATML})
    ours = render_conversation(TWO_ANSWERS, tiny_tokenizer(), ASSISTANT)
    assert render_conversation(TWO_ANSWERS, tiny_tokenizer(), plain) == ours


def test_markers_give_the_same_mask_as_prefixes() -> None:
    tokenizer = tiny_tokenizer()
    messages = [message.for_template() for message in TWO_ANSWERS]
    marked = tokenizer.apply_chat_template(messages, tokenize=True, return_dict=True, return_assistant_tokens_mask=True)
    row = render_conversation(TWO_ANSWERS, tokenizer, ASSISTANT)
    assert row.ids == marked["input_ids"]
    assert row.trained == [bool(bit) for bit in marked["assistant_masks"]]


def test_a_conversation_that_begins_with_the_assistant_needs_markers() -> None:
    begun = TWO_ANSWERS[2:]
    assert trained_text(render_conversation(begun, tiny_tokenizer(), ASSISTANT)) == ["two<|im_end|>", "four<|im_end|>"]
    plain = ASSISTANT.model_copy(update={"chat_template": templates.PLAIN_CHATML})
    with pytest.raises(RenderError, match="begins with the assistant"):
        render_conversation(begun, tiny_tokenizer(), plain)


def test_unstable_template_with_markers_is_read_by_them() -> None:
    options = ASSISTANT.model_copy(update={"chat_template": templates.LAST_TURN_MARKED})
    row = render_conversation(TWO_ANSWERS[1:], tiny_tokenizer(), options)
    assert row.text == "U: one\nA: two<|im_start|>\nU: three\nA: four<|im_end|>\n"
    assert trained_text(row) == [" two<|im_start|>", " four<|im_end|>"]
    assert row.joined  # "A: " ends with a space, which the tokenizer joins to the word after it


def test_the_generation_prompt_is_not_trained_where_markers_enclose_it() -> None:
    """The last turn is found by its prefix and the first by its markers: both begin behind the prompt."""
    options = ASSISTANT.model_copy(update={"chat_template": templates.PROMPT_MARKED})
    row = render_conversation(TWO_ANSWERS[1:], tiny_tokenizer(), options)
    assert trained_text(row) == [" two<|im_start|>", " four<|im_end|>"]
    quoting = (turn("user", "one"), turn("assistant", "A: two"), turn("user", "three"), turn("assistant", "four"))
    outside = ASSISTANT.model_copy(update={"chat_template": templates.LAST_TURN_MARKED})
    assert trained_text(render_conversation(quoting, tiny_tokenizer(), outside))[0] == "A: two<|im_start|>"


def test_markers_that_leave_the_end_token_outside_still_train_it() -> None:
    options = LAST.model_copy(update={"chat_template": templates.END_OUTSIDE})
    row = render_conversation(TWO_ANSWERS[1:], tiny_tokenizer(), options)
    assert trained_text(row) == [" four<|im_end|>"]


def test_unstable_template_without_markers_is_refused_with_the_fix() -> None:
    options = ASSISTANT.model_copy(update={"chat_template": templates.LAST_TURN})
    with pytest.raises(RenderError, match="renders a turn differently") as caught:
        render_conversation(TWO_ANSWERS[1:], tiny_tokenizer(), options)
    assert "endgeneration" in str(caught.value.fix)


def test_last_answer_of_an_unstable_template_needs_no_markers() -> None:
    # Under completion-only loss nothing follows the last turn, so its place is certain.
    options = LAST.model_copy(update={"chat_template": templates.LAST_TURN})
    assert trained_text(render_conversation(TWO_ANSWERS[1:], tiny_tokenizer(), options)) == [" four<|im_end|>"]


def test_tools_and_calls_reach_the_template_as_objects() -> None:
    tools = [{"type": "function", "function": {"name": "find", "parameters": {"type": "object"}}}]
    call = {"id": "1", "type": "function", "function": {"name": "find", "arguments": '{"id": 7}'}}
    messages = (
        turn("system", "be brief"),
        turn("user", "where"),
        turn("assistant", "", tool_calls=(call,)),
        turn("tool", "there", tool_call_id="1"),
        turn("assistant", "there"),
    )
    row = render_conversation(messages, tiny_tokenizer(), ASSISTANT, tools=tools)
    assert '<tools>\n{"type": "function"' in row.text
    assert row.text.count("be brief") == 1
    wanted = '<tool_call>\n{"name": "find", "arguments": {"id": 7}}\n</tool_call><|im_end|>'
    assert trained_text(row) == [wanted, "there<|im_end|>"]


def test_tool_arguments_that_are_no_json_are_refused() -> None:
    call = {"function": {"name": "find", "arguments": "{id"}}
    with pytest.raises(RenderError, match="tool call 'find' are not JSON"):
        render_conversation((turn("assistant", "", tool_calls=(call,)),), tiny_tokenizer(), LAST)


def test_template_that_refuses_is_reported_in_its_words() -> None:
    options = LAST.model_copy(update={"chat_template": templates.ONE_QUESTION})
    with pytest.raises(RenderError, match="refuses the conversation: only one question"):
        render_conversation(TWO_ANSWERS, tiny_tokenizer(), options)


def test_text_rows_train_everything_and_end_once() -> None:
    tokenizer = tiny_tokenizer()
    row = render_text("one two", tokenizer)
    assert row.ids[-1] == tokenizer.eos_token_id
    assert row.ids.count(tokenizer.eos_token_id) == 1
    assert all(row.trained)
    assert render_text("one two<|im_end|>", tokenizer).ids == row.ids


def test_truncation_cuts_the_end() -> None:
    row = render_conversation(TWO_ANSWERS, tiny_tokenizer(), LAST)
    cut = row.truncated(10)
    assert (cut.ids, cut.trained, cut.ends) == (row.ids[:10], row.trained[:10], ())


def test_trained_ends_of_turns_are_found() -> None:
    tokenizer = tiny_tokenizer()
    end = tokenizer.convert_tokens_to_ids("<|im_end|>")
    for options, count in ((LAST, 1), (ASSISTANT, 2), (ALL, 1)):
        row = render_conversation(TWO_ANSWERS, tokenizer, options)
        assert len(row.ends) == count
        assert all(row.ids[place] == end and row.trained[place] for place in row.ends)
        assert row.ends[-1] == len(row.ids) - 2
        assert row.truncated(len(row.ids) - 2).ends == row.ends[:-1]


contents = st.text(
    alphabet=st.characters(blacklist_categories=("Cs",), blacklist_characters="<|>"), min_size=1, max_size=20
).filter(lambda text: text.strip() != "")
conversations = st.lists(st.tuples(contents, contents), min_size=1, max_size=4).map(
    lambda pairs: tuple(
        message for question, answer in pairs for message in (turn("user", question), turn("assistant", answer))
    )
)


@settings(max_examples=60, deadline=None)
@given(conversations)
def test_every_conversation_is_trained_from_prompt_to_end(messages: tuple[Message, ...]) -> None:
    tokenizer = tiny_tokenizer()
    last = render_conversation(messages, tokenizer, LAST)
    every = render_conversation(messages, tokenizer, ASSISTANT)
    assert tokenizer.decode(last.ids) == last.text
    assert last.ids == every.ids
    assert len(last.ids) == len(last.trained)
    start = last.trained.index(True)
    assert last.ids[:start] == render_prompt(messages[:-1], tokenizer)
    assert tokenizer.decode(last.ids[start:]) == f"{messages[-1].content}<|im_end|>\n"
    assert trained_text(every) == [f"{m.content}<|im_end|>" for m in messages if m.role == "assistant"]
    assert all(not a or b for a, b in zip(last.trained, every.trained, strict=True))


@settings(max_examples=40, deadline=None)
@given(conversations)
def test_rows_rendered_together_are_the_rows_rendered_alone(messages: tuple[Message, ...]) -> None:
    tokenizer = tiny_tokenizer()
    rows = [(messages[: 2 * count], None) for count in range(1, len(messages) // 2 + 1)]
    together = render_conversations(rows, tokenizer, ASSISTANT)
    assert together == [render_conversation(row, tokenizer, ASSISTANT) for row, _ in rows]
