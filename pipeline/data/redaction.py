"""The step that finds personal data in rows, and leaves, replaces or removes it; prompts and answers are told apart.

To replace what a prompt holds is harmless; to replace what an answer holds teaches the placeholder. Where answers hold
personal data in more than a stray row (a task that extracts addresses, say), the user has to choose.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace

from pipeline.core.context import CallContext
from pipeline.core.errors import DataError
from pipeline.data.ledger import Ledger
from pipeline.data.names import listed
from pipeline.data.personal_data import Kind, redact, redact_value
from pipeline.data.rows import Draft
from schemas.data import Message, PersonalData

_DONE = {"report": "left as it is", "redact": "replaced by its kind"}
"""What becomes of personal data in rows that stay."""

_STRAY = 0.01
"""Share of rows with findings in answers up to which they are replaced without being asked for."""


@dataclass
class PersonalCounts:
    """Findings by kind, in prompts and in answers, and the rows that hold them."""

    asked: Counter[str] = field(default_factory=Counter)
    answered: Counter[str] = field(default_factory=Counter)
    rows_asked: list[Draft] = field(default_factory=list)
    rows_answered: list[Draft] = field(default_factory=list)

    @property
    def found(self) -> Counter[str]:
        """All findings by kind."""
        return self.asked + self.answered


def clean_personal_data(
    drafts: list[Draft], options: PersonalData, ledger: Ledger, context: CallContext
) -> tuple[list[Draft], PersonalCounts]:
    """Find personal data; leave, replace or remove it as the options say. It is searched for in every file.

    Raises:
        DataError: replacing it would change the answers of many rows, ``options.answers`` is ``stop``, and the ledger
            does not collect.
    """
    counts = PersonalCounts()
    if options.action == "off":
        return drafts, counts
    kept = []
    for draft in context.track(drafts, "personal data", len(drafts)):
        redacted, asked, answered = redact_draft(draft, options.kinds, with_answers=options.answers != "keep")
        counts.asked.update(asked)
        counts.answered.update(answered)
        if asked:
            counts.rows_asked.append(draft)
        if answered:
            counts.rows_answered.append(draft)
        if options.action == "drop" and (asked or answered):
            ledger.drop(redacted, "personal_data", detail=", ".join(sorted(asked + answered)))
        else:
            if asked or answered:
                ledger.note(draft, "personal_data", _DONE[options.action])
            kept.append(redacted if options.action == "redact" else draft)
    if options.action == "redact" and options.answers == "stop":
        _check_answers(counts, len(drafts), ledger)
    _tell(counts, options, context)
    return kept, counts


def redact_draft(
    draft: Draft, kinds: Collection[Kind], *, with_answers: bool = True
) -> tuple[Draft, Counter[str], Counter[str]]:
    """Return the draft redacted (with its ``original``), the findings in what asks by kind, and those in what answers.

    The assistant's turns answer, everything else asks. All that is trained on or shown is searched, tool calls
    included; the label and the group stay as they are, and so do answers where not ``with_answers``.
    """
    asked: Counter[str] = Counter()
    answered: Counter[str] = Counter()

    def clean(turns: Sequence[Message]) -> tuple[Message, ...]:
        return tuple(
            _redact_turn(turn, kinds, answered, with_answers)
            if turn.role == "assistant"
            else _redact_turn(turn, kinds, asked)
            for turn in turns
        )

    redacted = replace(
        draft,
        original=draft,
        messages=clean(draft.messages),
        chosen=clean(draft.chosen),
        rejected=clean(draft.rejected),
        text=None if draft.text is None else redact(draft.text, kinds, asked),
        tools=redact_value(draft.tools, kinds, asked),
        own_text=None if draft.own_text is None else redact(draft.own_text, kinds, Counter()),
    )
    return (redacted if asked or answered else draft), asked, answered


def _redact_turn(turn: Message, kinds: Collection[Kind], counts: Counter[str], is_replaced: bool = True) -> Message:
    update = {
        name: redacted
        for name in ("content", "reasoning_content", "name", "tool_calls")
        if (value := getattr(turn, name)) and (redacted := redact_value(value, kinds, counts)) != value
    }
    return turn.model_copy(update=update) if update and is_replaced else turn


def _check_answers(counts: PersonalCounts, rows: int, ledger: Ledger) -> None:
    found = counts.rows_answered
    if len(found) <= _STRAY * rows:
        return
    named = listed([f"{draft.source} {draft.row}" for draft in found])
    error = DataError(
        f"{len(found)} of {rows} rows have personal data in their answers ({_by_kind(counts.answered)}), and a model "
        f"trained on redacted answers would write placeholders such as [EMAIL]: {named}",
        where="data.personal_data.answers",
        fix="set it to keep to train these answers as they are, or to redact to train the placeholders; or set "
        "data.personal_data.action to drop these rows, or to report to leave everything as it is",
    )
    ledger.stop(error, "personal_data_in_answers")


def _tell(counts: PersonalCounts, options: PersonalData, context: CallContext) -> None:
    if not counts.found:
        return
    done = {"report": "left as they are", "redact": "replaced by their kinds", "drop": "removed with their rows"}
    answers = "left as they are" if options.answers == "keep" and options.action == "redact" else done[options.action]
    parts = [
        f"{found.total()} in {what} of {rows} rows ({_by_kind(found)}), {action}"
        for what, found, rows, action in (
            ("prompts", counts.asked, len(counts.rows_asked), done[options.action]),
            ("answers", counts.answered, len(counts.rows_answered), answers),
        )
        if found
    ]
    context.warn(f"personal data found: {'; '.join(parts)}")


def _by_kind(found: Counter[str]) -> str:
    return ", ".join(f"{kind} {count}" for kind, count in sorted(found.items()))
