"""Rows that teach opposite things: the same prompt with different answers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence

from pipeline.data.rows import Draft, spoken
from pipeline.data.text import normalize


def prompt_key(draft: Draft) -> Hashable:
    """Return what two rows share if they ask the same: roles and normalized words of all turns, and the tools."""
    if draft.text is not None:
        return normalize(draft.text)
    turns = tuple((turn.role, normalize(spoken(turn))) for turn in draft.prompt)
    return (turns, repr(draft.tools)) if draft.tools else turns


def answer_key(draft: Draft) -> Hashable:
    """Return what two rows share if they answer the same."""
    if draft.chosen:
        return (_said(draft.chosen), _said(draft.rejected))
    return normalize(draft.answer_text)


def _said(turns: Sequence[object]) -> str:
    return normalize("\n".join(spoken(turn) for turn in turns))  # type: ignore[arg-type]


def contradictions(drafts: Sequence[Draft]) -> list[list[int]]:
    """Return the groups of rows (as indexes) that contradict each other, in order of their first row.

    Conversations contradict where one prompt has two answers; preferences where a pair is preferred both ways;
    texts never.
    """
    groups: dict[Hashable, list[int]] = defaultdict(list)
    for index, draft in enumerate(drafts):
        if draft.text is None:
            groups[_question(draft)].append(index)
    return [rows for rows in groups.values() if len({answer_key(drafts[row]) for row in rows}) > 1]


def _question(draft: Draft) -> Hashable:
    """The prompt; for a preference the prompt and which two answers are compared."""
    if not draft.chosen:
        return prompt_key(draft)
    return (prompt_key(draft), frozenset((_said(draft.chosen), _said(draft.rejected))))
