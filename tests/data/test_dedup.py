from __future__ import annotations

from dataclasses import replace

import pytest

from pipeline.core.context import CallContext
from pipeline.data.dedup import Copy, exact_copies, find_neighbors, join_groups, near_copies
from pipeline.data.personal_data import DETECTORS
from pipeline.data.redaction import redact_draft
from pipeline.data.rows import Draft
from schemas.data import Message
from tests.data.support import sentence


def asked(prompt: str, answer: str, label: str | None = None) -> Draft:
    turns = (Message(role="user", content=prompt), Message(role="assistant", content=answer))
    return Draft("train", 1, messages=turns, label=label)


LONG = sentence(0, 12)
# a word more at the end: 11 of 12 bigrams, .92; one at each end: 11 of 13, .85; the two of one end each: 11 of 13, .85
ONE, BOTH, OTHER = f"{LONG} today", f"today {LONG} today", f"today {LONG}"


def test_exact_copies_repeat_prompt_and_answer() -> None:
    rows = [asked("a", "x"), asked("a ", "x\n"), asked("a", "y"), asked("a?", "x"), asked("a", "x")]
    assert exact_copies(rows) == [Copy(1, 0), Copy(4, 0)]


def test_case_and_indentation_make_no_exact_copies_but_near_ones() -> None:
    rows = [asked(LONG, "if x:\n  y"), asked(LONG.upper(), "if x:\n  y"), asked(LONG, "if x:\n    Y")]
    assert exact_copies(rows) == []
    copies, conflicting = near_copies(rows, find_neighbors(rows, 0.8, CallContext()).pairs, 0.8)
    assert [(copy.index, copy.original) for copy in copies] == [(1, 0), (2, 0)]
    assert conflicting == []


def test_the_answer_of_another_label_is_no_copy() -> None:
    assert exact_copies([asked("a", "x", "p"), asked("a", "x", "q")]) == []


def test_neighbors_and_clusters() -> None:
    rows = [asked(sentence(5), "x"), asked(LONG, "x"), asked(ONE, "x"), asked(sentence(6), "x"), asked(BOTH, "y")]
    found = find_neighbors(rows, 0.8, CallContext())
    assert [(left, right) for left, right, _ in found.pairs] == [(1, 2), (1, 4), (2, 4)]
    assert [value for *_, value in found.pairs] == pytest.approx([11 / 12, 11 / 13, 12 / 13])
    assert found.clusters == [0, 1, 1, 2, 1]


def test_clusters_join_along_a_chain() -> None:
    # the middle is alike to both ends (11/12), which are not alike to each other (10 of 12 is .83 < .9)
    rows = [asked(ONE, "x"), asked(LONG, "x"), asked(OTHER, "x")]
    found = find_neighbors(rows, 0.9, CallContext())
    assert [(left, right) for left, right, _ in found.pairs] == [(0, 1), (1, 2)]
    assert found.clusters == [0, 0, 0]
    copies, conflicting = near_copies(rows, found.pairs, 0.9)
    # the middle goes for the first; the last has no kept row that near, so it stays
    assert [(copy.index, copy.original) for copy in copies] == [(1, 0)]
    assert conflicting == []


def test_a_group_and_its_near_duplicates_are_one_cluster() -> None:
    # Rows 0 and 3 share a group, 3 and 4 a cluster; 1 and 2 share neither.
    assert join_groups([0, 1, 2, 3, 3], ["a", "b", "c", "a", "d"]) == [0, 1, 2, 0, 0]
    assert join_groups([0, 1, 1], [None, None, None]) == [0, 1, 1]


def test_without_a_threshold_only_the_same_words_are_neighbors() -> None:
    rows = [asked("card lost!", "x"), asked("Card, lost", "y"), asked("lost card", "x")]
    found = find_neighbors(rows, None, CallContext())
    assert found.pairs == [(0, 1, 1.0)]
    assert found.clusters == [0, 0, 1]


def test_no_rows_have_no_neighbors() -> None:
    assert find_neighbors([], 0.8, CallContext()).clusters == []


def test_near_copies_with_another_label_stay_and_are_counted() -> None:
    rows = [asked(LONG, "x", "x"), asked(ONE, "y", "y"), asked(BOTH, "x", "x")]
    found = find_neighbors(rows, 0.8, CallContext())
    copies, conflicting = near_copies(rows, found.pairs, 0.8)
    assert [(copy.index, copy.original) for copy in copies] == [(2, 0)]
    assert conflicting == [0, 1, 2]


def test_long_answers_may_differ_as_little_as_prompts() -> None:
    answer = sentence(9, 12)
    rows = [asked(LONG, answer), asked(ONE, f"{answer} indeed"), asked(BOTH, sentence(10, 12))]
    found = find_neighbors(rows, 0.8, CallContext())
    copies, conflicting = near_copies(rows, found.pairs, 0.8)
    assert [(copy.index, copy.original) for copy in copies] == [(1, 0)]
    assert conflicting == [0, 1, 2]


def test_a_copy_names_the_most_similar_row_that_stays() -> None:
    rows = [asked(BOTH, "x"), asked(sentence(3), "x"), asked(LONG, "x"), asked(ONE, "x")]
    pairs = [(0, 3, 0.85), (1, 3, 0.95), (2, 3, 0.9), (0, 2, 0.85)]
    copies, _ = near_copies(rows, pairs, 0.8)
    assert copies == [Copy(2, 0, 0.85), Copy(3, 1, 0.95)]


def test_rows_that_differ_only_in_what_was_redacted_are_not_near() -> None:
    mails = [asked(f"reset {name}@example.org now", "done") for name in ("ada", "bob", "eve")]
    rows = [redact_draft(mail, tuple(DETECTORS))[0] for mail in mails]
    assert {row.prompt_text for row in rows} == {"reset [EMAIL] now"}
    for threshold in (0.8, None):
        found = find_neighbors(rows, threshold, CallContext())
        assert (found.pairs, found.clusters) == ([], [0, 1, 2])


def test_answers_that_differ_only_in_what_was_redacted_are_not_the_same() -> None:
    mails = [asked(text, f"{name}@example.org") for text, name in ((LONG, "ada"), (ONE, "bob"), (BOTH, "ada"))]
    rows = [replace(redact_draft(mail, tuple(DETECTORS))[0], label="[EMAIL]") for mail in mails]
    assert {row.answer_text for row in rows} == {"[EMAIL]"}
    copies, conflicting = near_copies(rows, find_neighbors(rows, 0.8, CallContext()).pairs, 0.8)
    assert [(copy.index, copy.original) for copy in copies] == [(2, 0)]
    assert conflicting == [0, 1, 2]


def test_a_document_in_the_system_turn_belongs_to_what_is_asked() -> None:
    def told(system: str) -> Draft:
        turns = asked("Summarize this for me.", "x").messages
        return Draft("train", 1, messages=(Message(role="system", content=system), *turns))

    rows = [told(sentence(0, 12)), told(sentence(1, 12)), told(sentence(2, 12)), told(f"{sentence(0, 12)} today")]
    assert find_neighbors(rows, 0.8, CallContext()).clusters == [0, 1, 2, 0]
    roles = [told("Be brief."), told("Be kind."), told("Be brief."), told("Be kind.")]
    assert find_neighbors(roles, 0.8, CallContext()).clusters == [0, 0, 0, 0]


def test_answers_with_a_verdict_each_are_no_contradiction_and_no_copies_of_another_verdict() -> None:
    told = ((LONG, "yes", True), (ONE, "yes", False), (BOTH, "yes", True), (OTHER, "no, never", True))
    rows = [replace(asked(prompt, answer), desirable=good) for prompt, answer, good in told]
    copies, conflicting = near_copies(rows, find_neighbors(rows, 0.8, CallContext()).pairs, 0.8)
    assert [(copy.index, copy.original) for copy in copies] == [(2, 0)]
    assert conflicting == []
