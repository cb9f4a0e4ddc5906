"""Rows that teach opposite things: the same prompt with different answers.

Rows are compared as they were given, before personal data was replaced. Prompts are the same only character by
character; answers differ only where more than case and white space does.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence

from pipeline.data.rows import Draft, spoken
from pipeline.data.text import exact, normalize
from schemas.data import Message


def prompt_key(draft: Draft, form: Callable[[str], Hashable] = exact) -> Hashable:
    """Return what two rows share if they ask the same in one ``form`` of texts: roles and texts of all turns, tools."""
    given = draft.as_given
    if given.text is not None:
        return form(given.text)
    turns = tuple((turn.role, form(spoken(turn))) for turn in given.prompt)
    return (turns, repr(given.tools)) if given.tools else turns


def answer_key(draft: Draft, form: Callable[[str], str] = exact) -> Hashable:
    """Return what two rows share if they answer the same in one ``form`` of texts."""
    given = draft.as_given
    if given.chosen:
        return (_said(given.chosen, form), _said(given.rejected, form))
    if given.desirable is not None:
        return (form(given.answer_text), given.desirable)
    return form(given.answer_text)


def contradictions(drafts: Sequence[Draft]) -> list[list[int]]:
    """Return the groups of rows (as indexes) that contradict each other, in order of their first row.

    Conversations contradict where one prompt has two answers; preferences where a pair is preferred both ways, or one
    answer is said to be both desirable and not; texts never.
    """
    groups: dict[Hashable, list[int]] = defaultdict(list)
    for index, draft in enumerate(drafts):
        if draft.text is None:
            groups[_question(draft)].append(index)
    return [rows for rows in groups.values() if len({answer_key(drafts[row], normalize) for row in rows}) > 1]


def _question(draft: Draft) -> Hashable:
    """The prompt; for a preference the prompt and which two answers are compared, or which one is judged."""
    given = draft.as_given
    if given.desirable is not None:
        return (prompt_key(given), normalize(given.answer_text))
    if not given.chosen:
        return prompt_key(given)
    return (prompt_key(given), frozenset((_said(given.chosen, normalize), _said(given.rejected, normalize))))


def _said(turns: Sequence[Message], form: Callable[[str], str]) -> str:
    return form("\n".join(map(spoken, turns)))
