from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.core.errors import DataError
from pipeline.data.personal_data import DETECTORS
from pipeline.data.redaction import redact_draft
from pipeline.data.rows import Draft
from schemas.data import Message
from tests.data.support import pairs, run_stage, sentence

KINDS = tuple(DETECTORS)
EXTRACTION = [
    {"prompt": f"from person{index}@example.org: {sentence(index)}", "completion": f"person{index}@example.org"}
    for index in range(40)
]


def test_a_draft_is_redacted_everywhere_and_its_answer_counted() -> None:
    call = {"type": "function", "function": {"name": "mail", "arguments": '{"to": "b@example.org"}'}}
    draft = Draft(
        "train",
        1,
        messages=(
            Message(role="user", content="I am a@example.org", name="192.168.0.1"),
            Message(role="assistant", content="ok", reasoning_content="b@example.org?", tool_calls=(call,)),
        ),
        label="x@example.org",
        own_text="a@example.org",
    )
    redacted, asked, answered = redact_draft(draft, KINDS)
    assert redacted.messages[0].content == "I am [EMAIL]"
    assert redacted.messages[0].name == "[IP_ADDRESS]"
    assert redacted.messages[1].reasoning_content == "[EMAIL]?"
    assert redacted.messages[1].tool_calls == (
        {"type": "function", "function": {"name": "mail", "arguments": '{"to": "[EMAIL]"}'}},
    )
    assert redacted.own_text == "[EMAIL]"
    assert redacted.label == "x@example.org"
    assert asked == {"email": 1, "ip_address": 1}
    assert answered == {"email": 2}
    kept, *counts = redact_draft(draft, KINDS, with_answers=False)
    assert (kept.messages[0], kept.messages[1]) == (redacted.messages[0], draft.messages[1])
    assert counts == [asked, answered]


def test_both_answers_of_a_preference_count_as_answers() -> None:
    draft = Draft(
        "train",
        1,
        messages=(Message(role="user", content="a@example.org"),),
        chosen=(Message(role="assistant", content="b@example.org"),),
        rejected=(Message(role="assistant", content="c@example.org"),),
    )
    redacted, asked, answered = redact_draft(draft, KINDS)
    assert [turn.content for turn in (*redacted.messages, *redacted.chosen, *redacted.rejected)] == ["[EMAIL]"] * 3
    assert (asked.total(), answered.total()) == (1, 2)


def test_a_draft_without_personal_data_is_the_same_object() -> None:
    draft = Draft("train", 1, text="nothing here")
    assert redact_draft(draft, KINDS)[0] is draft


def test_every_turn_of_the_assistant_answers() -> None:
    turns = (Message(role="user", content="x"), Message(role="assistant", content="a@example.org"))
    _, asked, answered = redact_draft(Draft("train", 1, messages=turns * 2), KINDS)
    assert (asked, answered) == ({}, {"email": 2})


def test_answers_of_many_rows_are_not_replaced_without_being_asked(tmp_path: Path) -> None:
    rows = [*pairs(60), *EXTRACTION]
    with pytest.raises(DataError) as caught:
        run_stage(tmp_path, rows)
    text = str(caught.value)
    assert "data.personal_data.answers: 40 of 100 rows have personal data in their answers (email 40)" in text
    assert "train 61, train 62" in text and "and 30 more" in text
    assert "set it to keep" in text and "data.personal_data.action" in text


def test_what_the_user_chooses_is_done_and_told(tmp_path: Path) -> None:
    told = "personal data found: 40 in prompts of 40 rows (email 40), {}; 40 in answers of 40 rows (email 40), {}"
    gone = "removed with their rows"
    for options, prompts, answers in (
        ({"answers": "keep"}, "replaced by their kinds", "left as they are"),
        ({"answers": "redact"}, "replaced by their kinds", "replaced by their kinds"),
        ({"action": "report"}, "left as they are", "left as they are"),
        ({"action": "drop"}, gone, gone),
    ):
        rows = [*pairs(60), *EXTRACTION]
        outcome = run_stage(tmp_path, rows, personal_data=options, deduplicate={"near": False})
        assert told.format(prompts, answers) in outcome.warnings
        assert sum(outcome.artifact.rows.values()) == (60 if answers == gone else 100)
        held = [row for row in outcome.all_examples() if row.row > 60]
        assert all(("@" in row.prompt[-1].content) == (prompts == "left as they are") for row in held)
        assert all(("@" in row.answer) == (answers == "left as they are") for row in held)
    assert "of these were in answers and are left" not in outcome.card


def test_a_stray_answer_is_replaced_and_told(tmp_path: Path) -> None:
    rows = [*pairs(99), EXTRACTION[0]]
    outcome = run_stage(tmp_path, rows)
    assert any("1 in answers of 1 rows (email 1), replaced by their kinds" in text for text in outcome.warnings)


def test_prompts_alone_are_replaced_as_ever(tmp_path: Path) -> None:
    rows = [{**row, "completion": "a sender"} for row in EXTRACTION]
    outcome = run_stage(tmp_path, rows)
    assert outcome.artifact.personal_data == {"email": 40}
    assert "personal data found: 40 in prompts of 40 rows (email 40), replaced by their kinds" in outcome.warnings


def test_three_mails_of_different_people_stay_three_rows(tmp_path: Path) -> None:
    mails = [{"prompt": f"reset {name}@example.org now", "completion": "done"} for name in ("ada", "bob", "eve")]
    outcome = run_stage(tmp_path, [*pairs(20), *mails])
    assert outcome.artifact.personal_data == {"email": 3}
    assert sum(outcome.artifact.rows.values()) == outcome.artifact.clusters == 23
    assert sum(row.prompt[-1].content == "reset [EMAIL] now" for row in outcome.all_examples()) == 3


def test_answers_that_only_look_alike_redacted_are_no_labels(tmp_path: Path) -> None:
    outcome = run_stage(tmp_path, EXTRACTION, personal_data={"answers": "redact"})
    assert {row.answer for row in outcome.all_examples()} == {"[EMAIL]"}
    assert {row.label for row in outcome.all_examples()} == {None}
