"""The preflight: each fault planted, named with its rows, and absent from the clean twin."""

from __future__ import annotations

import copy

import pytest

from pipeline.core.errors import RenderError
from pipeline.render import Rendered, RenderedPair, Tokenizer, inspect_examples, render_examples
from schemas.data import Example, Message
from schemas.faults import FaultCode
from schemas.render import RenderOptions, RenderReport
from tests.render import templates
from tests.support.tiny_model import tiny_tokenizer
from tests.support.training import conversation, preference, text_row

ROWS = [conversation(number) for number in range(12)]


def turn(role: str, content: str, **more: float | None) -> Message:
    return Message.model_validate({"role": role, "content": content, **more})


def check_examples(
    rows: list[Example],
    tokenizer: Tokenizer,
    options: RenderOptions,
    max_length: int,
    *,
    source: str,
    ignore: tuple[FaultCode, ...] = (),
) -> RenderReport:
    return render_examples(rows, tokenizer, options, max_length, source=source, ignore=ignore).report


def refused(rows: list[Example], options: RenderOptions, max_length: int = 200) -> RenderError:
    with pytest.raises(RenderError) as caught:
        check_examples(rows, tiny_tokenizer(), options, max_length, source="train")
    return caught.value


def with_template(template: str, **more: bool) -> RenderOptions:
    return RenderOptions(chat_template=template, **more)


def test_clean_rows_are_counted() -> None:
    report = check_examples(ROWS, tiny_tokenizer(), RenderOptions(), 200, source="train")
    rendered = render_examples(ROWS, tiny_tokenizer(), RenderOptions(), 200, source="train").rows
    lengths = sorted(len(row.ids) for row in rendered if isinstance(row, Rendered))
    assert (report.rows, report.kept, report.dropped_long, report.truncated) == (12, 12, 0, 0)
    assert report.tokens == sum(lengths)
    assert report.longest == lengths[-1]
    assert report.median_length == (lengths[5] + lengths[6]) / 2
    assert report.p95_length == lengths[11]  # nearest rank: ceil(0.95 * 12) = 12
    assert 0 < report.trained_tokens < report.tokens


def test_rows_without_an_answer_are_named() -> None:
    silent = [row.model_copy(update={"messages": row.messages[:1]}) for row in ROWS[:2]]
    error = refused([*silent, *ROWS[2:]], RenderOptions())
    assert error.message == "no token is trained (rows 1, 2)"
    assert error.where == "train"


def test_many_rows_are_counted_after_five() -> None:
    silent = [row.model_copy(update={"messages": row.messages[:1]}) for row in ROWS]
    assert "rows 1, 2, 3, 4, 5 and 7 more" in refused(silent, RenderOptions()).message


def test_rows_whose_answer_is_cut_off_are_named() -> None:
    error = refused(ROWS, RenderOptions(long_rows="truncate"), max_length=12)
    assert "no token is trained once the row is cut to max_length" in error.message
    assert "max_length" in str(error.fix)


def test_template_that_never_ends_a_turn_is_refused() -> None:
    assert "end-of-turn token is never trained" in refused(ROWS, with_template(templates.NO_END)).message
    everything = with_template(templates.NO_END, completion_only_loss=False)
    assert "end-of-turn token is never trained" in refused(ROWS, everything).message


def test_template_that_marks_the_users_turns_is_refused() -> None:
    rows = [
        row.model_copy(update={"messages": (*row.messages, Message(role="user", content="and"), row.messages[-1])})
        for row in ROWS
    ]
    options = with_template(templates.EVERYTHING_MARKED, completion_only_loss=False, assistant_only_loss=True)
    assert "turns are trained that the loss excludes" in refused(rows, options).message


def test_doubled_bos_is_refused() -> None:
    tokenizer = copy.deepcopy(tiny_tokenizer())
    tokenizer.bos_token = "<|im_start|>"
    twice = with_template("<|im_start|><|im_start|>" + templates.NO_END + "<|im_end|>", completion_only_loss=False)
    with pytest.raises(RenderError, match="BOS stands twice"):
        check_examples(ROWS, tokenizer, twice, 200, source="train")


def test_a_prompt_that_ends_inside_a_token_is_refused() -> None:
    # "assistant: " ends with a space; " ref" of " refund" is one token, so the space belongs to the answer.
    rows = [
        row.model_copy(update={"messages": (row.messages[0], row.messages[0].model_copy(update={"role": "assistant"}))})
        for row in ROWS
    ]
    spaced = templates.NO_END.replace("\n{% endfor", "<|im_end|>\n{% endfor")
    assert "a token joins the prompt and the answer" in refused(rows, with_template(spaced)).message


def test_long_rows_are_dropped_truncated_or_stop() -> None:
    tokenizer = tiny_tokenizer()
    lengths = [
        len(row.ids)
        for row in render_examples(ROWS, tokenizer, RenderOptions(), 200, source="train").rows
        if isinstance(row, Rendered)
    ]
    limit = max(lengths) - 1
    long = sum(length > limit for length in lengths)
    dropped = check_examples(ROWS, tokenizer, RenderOptions(), limit, source="train")
    assert (dropped.kept, dropped.dropped_long, dropped.truncated) == (12 - long, long, 0)
    cut = check_examples(ROWS, tokenizer, RenderOptions(long_rows="truncate"), limit, source="train")
    assert (cut.kept, cut.dropped_long, cut.truncated) == (12, 0, long)
    assert cut.longest == max(lengths)
    stopped = refused(ROWS, RenderOptions(long_rows="stop"), max_length=limit)
    assert f"longer than max_length {limit}" in stopped.message


def test_rows_that_keep_their_end_of_turn_are_counted() -> None:
    tokenizer = tiny_tokenizer()
    rendered = render_examples(ROWS, tokenizer, RenderOptions(), 200, source="train").rows
    # ChatML's newline after the end of turn is the last token, so a row of n tokens keeps its end at n - 1.
    ends = [len(row.ids) - 1 for row in rendered if isinstance(row, Rendered)]
    assert check_examples(ROWS, tokenizer, RenderOptions(), 200, source="train").ended == 12
    cut_to = max(ends) - 1
    cut = check_examples(ROWS, tokenizer, RenderOptions(long_rows="truncate"), cut_to, source="train")
    assert (cut.kept, cut.ended) == (12, sum(end <= cut_to for end in ends))
    assert 0 < cut.ended < 12


def test_rows_that_are_all_cut_before_their_end_are_refused() -> None:
    long_turns = (turn("user", "one"), turn("assistant", "two three four " * 9))
    rows = [row.model_copy(update={"messages": long_turns}) for row in ROWS[:2]]
    error = refused(rows, RenderOptions(long_rows="truncate"), max_length=30)
    assert "end-of-turn token is never trained: in no row once 2 of 2 are cut to max_length 30" in error.message
    assert "raise train.max_length" in str(error.fix)


def test_pairs_that_are_all_cut_before_their_end_are_refused() -> None:
    pairs = [preference(number) for number in range(4)]
    clean = render_examples(pairs, tiny_tokenizer(), RenderOptions(), 200, source="train")
    assert clean.report.ended == 4
    chosen = [len(row.prompt_ids) + len(row.chosen_ids) for row in clean.rows if isinstance(row, RenderedPair)]
    truncate = RenderOptions(long_rows="truncate")
    error = refused(pairs[:1], truncate, max_length=chosen[0] - 1)
    assert "end-of-turn token is never trained: in no row once 1 of 1 are cut" in error.message
    limit = max(chosen) - 1
    cut = check_examples(pairs, tiny_tokenizer(), truncate, limit, source="train")
    assert cut.ended == sum(length <= limit for length in chosen)


def test_pairs_under_a_template_that_never_ends_a_turn_are_refused() -> None:
    pairs = [preference(number) for number in range(4)]
    assert "end-of-turn token is never trained" in refused(pairs, with_template(templates.NO_END)).message


def test_long_texts_may_lose_their_end() -> None:
    texts = [text_row(number) for number in range(4)]
    cut = check_examples(texts, tiny_tokenizer(), RenderOptions(long_rows="truncate"), 2, source="train")
    assert (cut.kept, cut.truncated, cut.ended) == (4, 4, 0)


def turns(*weights: float | None) -> Example:
    """Return a conversation with an assistant turn of each weight."""
    pairs = ((turn("user", "one"), turn("assistant", "two", weight=weight)) for weight in weights)
    return ROWS[6].model_copy(update={"messages": tuple(message for pair in pairs for message in pair)})


def test_turns_that_the_loss_leaves_out_are_counted() -> None:
    rows = [turns(1.0, 0.0, None), turns(None, 1.0), turns(None)]
    ignored = ("weights_ignored",)  # the first row's first turn says 1
    last = check_examples(rows, tiny_tokenizer(), RenderOptions(), 200, source="train", ignore=ignored)
    assert last.turns_left_out == 2  # the first of either row: the second of the first row is silent
    for assistant_only in (True, False):
        options = RenderOptions(completion_only_loss=False, assistant_only_loss=assistant_only)
        assert check_examples(rows, tiny_tokenizer(), options, 200, source="train").turns_left_out == 0


def test_a_silent_last_turn_names_the_loss_that_trains_the_earlier_ones() -> None:
    rows = [turns(1.0, 0.0), turns(1.0)]
    error = refused(rows, RenderOptions())
    assert error.message == ("the last assistant turn has weight 0, and completion_only_loss trains no other (row 7)")
    assert error.fix == "set train.assistant_only_loss to true and train.completion_only_loss to false"
    every = RenderOptions(completion_only_loss=False, assistant_only_loss=True)
    assert check_examples(rows, tiny_tokenizer(), every, 200, source="train").ended == 2
    assert refused([turns(0.0)], RenderOptions()).message == "no token is trained (row 7)"


def test_a_set_without_rows_is_refused() -> None:
    assert "the set holds no row" in refused([], RenderOptions()).message
    assert "all 12 rows are longer" in refused(ROWS, RenderOptions(), max_length=3).message


def test_a_refused_row_is_named() -> None:
    rows = [*ROWS[:3], ROWS[3].model_copy(update={"messages": ROWS[3].messages * 2})]
    error = refused(rows, with_template(templates.ONE_QUESTION))
    assert error.where == "train"
    assert error.message.startswith("rows cannot be rendered (row 4): the chat template refuses the conversation")
    assert "only one question" in error.message


def test_pairs_and_texts_are_counted() -> None:
    pairs = [preference(number) for number in range(4)]
    report = check_examples(pairs, tiny_tokenizer(), RenderOptions(), 200, source="train")
    assert report.kept == 4
    texts = check_examples([text_row(n) for n in range(4)], tiny_tokenizer(), RenderOptions(), 200, source="train")
    assert texts.trained_tokens == texts.tokens


def test_answers_that_repeat_the_prompt_raise_no_alarm() -> None:
    echo = [
        row.model_copy(
            update={"messages": (row.messages[0], Message(role="assistant", content=row.messages[0].content))}
        )
        for row in ROWS
    ]
    assert check_examples(echo, tiny_tokenizer(), RenderOptions(), 200, source="train").kept == 12


def found(rows: list[Example], options: RenderOptions, **more: int) -> set[FaultCode]:
    return set(inspect_examples(rows, tiny_tokenizer(), options, 200, source="train", **more).faults.found)


def test_an_end_that_the_template_writes_twice_is_found() -> None:
    twice = templates.PLAIN_CHATML.replace("<|im_end|>", "<|im_end|><|im_end|>")
    assert found(ROWS, with_template(twice)) == {"end_of_turn_twice"}
    assert found(ROWS, with_template(twice, completion_only_loss=False)) == {"end_of_turn_twice"}
    pairs = [preference(number) for number in range(4)]
    assert found(pairs, with_template(twice)) == {"end_of_turn_twice"}
    end = tiny_tokenizer().eos_token
    assert found([Example(id="a", row=1, text=f"one two{end}{end}", cluster=0)], RenderOptions()) == {
        "end_of_turn_twice"
    }
    assert found([Example(id="a", row=1, text=f"one two{end}", cluster=0)], RenderOptions()) == set()


def test_a_vocabulary_that_ends_at_a_special_token_is_found() -> None:
    tokenizer = tiny_tokenizer()
    highest = max(
        token for row in render_examples(ROWS, tokenizer, RenderOptions(), 200, source="t").rows for token in ids(row)
    )
    assert found(ROWS, RenderOptions(), vocabulary=highest + 1) == set()
    assert found(ROWS, RenderOptions(), vocabulary=highest) == {"vocabulary_too_small"}
    # the end token is id 2, and a vocabulary of 2 ends before it
    report = inspect_examples([], tokenizer, RenderOptions(), 200, source="train", vocabulary=2)
    assert report.faults.found["vocabulary_too_small"].detail == "eos_token_id is 2; vocab_size is 2"


def ids(row: Rendered | RenderedPair) -> list[int]:
    return row.ids if isinstance(row, Rendered) else row.prompt_ids


def test_what_a_template_drops_is_told_by_shape_and_not_by_words() -> None:
    # the answer repeats the system turn's words, so that they stand in the text although the template drops the turn
    system = turn("system", "be short")
    rows = [ROWS[0].model_copy(update={"messages": (system, turn("user", "one"), turn("assistant", "be short"))})]
    silent = templates.PLAIN_CHATML.replace("{% for m in messages %}", "{% for m in messages if m.role != 'system' %}")
    assert found(rows, with_template(silent)) == {"system_dropped"}
    assert found(rows, RenderOptions()) == set()


def test_earlier_reasoning_may_be_dropped_and_that_of_the_last_answer_not() -> None:
    last_only = templates.PLAIN_CHATML.replace(
        "{{ m['content'] }}",
        "{% if loop.last and m.reasoning_content %}{{ m.reasoning_content }} {% endif %}{{ m['content'] }}",
    )
    thinking = turn("assistant", "two", reasoning_content="because")  # type: ignore[arg-type]
    rows = [ROWS[0].model_copy(update={"messages": (turn("user", "one"), thinking, turn("user", "three"), thinking)})]
    assert found(rows, with_template(last_only)) == {"earlier_turns_untrained"}
    assert "reasoning_dropped" in found(rows, with_template(templates.PLAIN_CHATML))
