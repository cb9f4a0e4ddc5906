"""What a file of examples probably is: which columns hold question and answer, and which task that makes.

What a format's own names say is taken; what only the contents suggest is a `Guess`, for the user to confirm.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from local_runner.column_profile import LABEL_LENGTH, MOST_LABELS, Profile, is_json_object, profile
from pipeline.core.errors import ConfigError, DataError
from pipeline.data.columns import USUAL_NAMES, Layout, columns_of, find_layout
from pipeline.data.names import quoted
from pipeline.data.rows import Draft, SourceRow
from schemas.data import Columns, DataOptions
from schemas.plan import Task

_LABEL_SHARE: Final = 0.1
"""Different answers per row up to which the data stage, too, takes answers for labels."""
_AS_LONG: Final = 0.5
"""Share of the longest text's length from which another text may be the question as well."""

Slot = Literal["prompt", "label", "completion"]


@dataclass(frozen=True)
class Wishes:
    """What the user has said: columns and task."""

    prompt: str | None = None
    completion: str | None = None
    label: str | None = None
    task: Task | None = None

    def naming(self, slot: Slot, column: str) -> Wishes:
        """Return these wishes with the column that holds ``slot``."""
        match slot:
            case "prompt":
                return replace(self, prompt=column)
            case "label":
                return replace(self, label=column)
            case "completion":
                return replace(self, completion=column)


@dataclass(frozen=True)
class Guess:
    """A column that asks or answers, by its contents only.

    ``others`` would do; ``as_likely`` are those of them that nothing makes less likely.
    """

    slot: Slot
    column: str
    reason: str
    others: tuple[str, ...] = ()
    as_likely: tuple[str, ...] = ()


@dataclass(frozen=True)
class Reading:
    """How to read the rows. ``asks`` and ``guess``, of the column that answers, are what nobody has said yet."""

    options: DataOptions
    layout: Layout
    guess: Guess | None
    asks: Guess | None = None


def guess_reading(rows: Sequence[SourceRow], wishes: Wishes, where: str) -> Reading:
    """Return how to read ``rows``, the first of a file.

    Raises:
        ConfigError: a column that the user named is not there, or label and completion are both named.
        DataError: nothing like a question and an answer is found.
    """
    available = columns_of(rows)
    _check_wishes(wishes, available, where)
    profiles = {name: profile(rows, name) for name in available}
    answer = wishes.label or wishes.completion
    if answer is not None:
        _check_label(wishes.label, profiles)
        asks = None if wishes.prompt is not None else _question(profiles, without=answer, where=where)
        prompt = wishes.prompt or (asks.column if asks is not None else "")
        slots = ("text", "label") if wishes.label is not None else ("prompt", "completion")
        found = _reading(rows, Columns.model_validate(dict(zip(slots, (prompt, answer), strict=True))), where)
        return replace(found, asks=asks if asks is not None and asks.others else None)
    if wishes.prompt is not None:
        return _answer_for(rows, wishes.prompt, profiles, where)
    try:
        layout = find_layout(DataOptions(), rows, where)
    except DataError:
        return _from_contents(rows, profiles, where)
    return _confirmed(rows, layout, profiles, where)


def guess_task(layout: Layout, drafts: Sequence[Draft]) -> Task:
    """Return the task: JSON objects are extracted, labels classified, anything else is generated."""
    answers = [draft.answer_text for draft in drafts]
    if layout.format in ("preference", "text"):
        return "generation"
    if answers and all(is_json_object(answer) for answer in answers):
        return "extraction"
    few = len(set(answers)) <= min(MOST_LABELS, _LABEL_SHARE * len(answers))
    short = all(len(answer) <= LABEL_LENGTH for answer in answers)
    return "classification" if layout.format == "label" or (few and short) else "generation"


def _check_wishes(wishes: Wishes, available: Sequence[str], where: str) -> None:
    if wishes.label is not None and wishes.completion is not None:
        raise ConfigError(
            "a row's answer is either a label or a completion", where="--label", fix="give one of --label, --completion"
        )
    for option in ("prompt", "completion", "label"):
        name = getattr(wishes, option)
        if name is not None and name not in available:
            raise ConfigError(
                f"there is no column {name!r} in {where}", where=f"--{option}", fix=f"columns: {quoted(available)}"
            )


def _reading(rows: Sequence[SourceRow], columns: Columns, where: str, guess: Guess | None = None) -> Reading:
    options = DataOptions(columns=columns)
    return Reading(options, find_layout(options, rows, where), guess)


def _check_label(label: str | None, profiles: dict[str, Profile]) -> None:
    """Refuse a column as label that has another value in every row."""
    found = profiles.get(label or "")
    if found is not None and found.distinct == found.count > 1:
        raise ConfigError(
            f"every one of {found.count} rows has another value in column {label!r}, so nothing could be learned of it",
            where="--label",
            fix="name the column of labels, or give --completion for answers in free text",
        )


def _confirmed(rows: Sequence[SourceRow], layout: Layout, profiles: dict[str, Profile], where: str) -> Reading:
    """Return the layout that usual names gave; an answer that no format names is a guess."""
    reading = Reading(DataOptions(), layout, None)
    if layout.format == "label" and layout.columns["label"].casefold() != "label":
        column = layout.columns["label"]
        return Reading(reading.options, layout, _label_guess(profiles[column], profiles, layout.columns["text"]))
    if layout.format == "text" and any(profiles[name].is_text or profiles[name].may_be_label for name in layout.unused):
        return _answer_for(rows, layout.columns["text"], profiles, where)
    return reading


def _from_contents(rows: Sequence[SourceRow], profiles: dict[str, Profile], where: str) -> Reading:
    if len(profiles) == 1:
        raise DataError(
            f"there is one column, {quoted(profiles)}; a row needs a question and an answer",
            where=where,
            fix="add a column of answers, or call the column 'text' to train on plain text",
        )
    if not any(profile.is_text for profile in profiles.values()):
        raise DataError(
            f"none of the columns {quoted(profiles)} holds text",
            where=where,
            fix="name the columns with --prompt and --completion or --label",
        )
    asks = _question(profiles, without=None, where=where)
    found = _answer_for(rows, asks.column, profiles, where)
    answer = found.layout.columns.get("label", found.layout.columns.get("completion"))
    asks = _question(profiles, without=answer, where=where, first=asks.column)
    return replace(found, asks=asks if asks.others else None)


def _answer_for(rows: Sequence[SourceRow], prompt: str, profiles: dict[str, Profile], where: str) -> Reading:
    """Return the reading with the column that most looks like the answer to ``prompt``."""
    others = [profile for name, profile in profiles.items() if name != prompt]
    usual = [profile for profile in others if profile.name.casefold() in USUAL_NAMES["completion"]]
    records = [profile for profile in others if profile.json_objects == 1.0]
    if usual:
        return _reading(rows, Columns(prompt=prompt, completion=usual[0].name), where)
    if len(records) == 1:
        guess = Guess("completion", records[0].name, "every value is a JSON object")
        return _reading(rows, Columns(prompt=prompt, completion=guess.column), where, guess)
    labels = sorted((profile for profile in others if profile.may_be_label), key=_label_rank)
    if labels:
        guess = _label_guess(labels[0], profiles, prompt)
        return _reading(rows, Columns(text=prompt, label=guess.column), where, guess)
    texts = [profile.name for profile in others if profile.is_text and not profile.names_things]
    if len(texts) != 1:
        raise DataError(
            f"columns {quoted(texts or profiles)} may all be the answer to {prompt!r}"
            if texts
            else f"no column holds answers to {prompt!r}; there are {quoted(profiles)}",
            where=where,
            fix="name the answer with --completion (free text) or --label (one of a few values)",
        )
    guess = Guess("completion", texts[0], "the only other column with text")
    return _reading(rows, Columns(prompt=prompt, completion=guess.column), where, guess)


def _answers(profile: Profile) -> bool:
    return profile.may_be_label or profile.json_objects == 1.0


def _label_guess(label: Profile, profiles: dict[str, Profile], prompt: str) -> Guess:
    others = [other for name, other in profiles.items() if other.may_be_label and name not in (label.name, prompt)]
    others.sort(key=_label_rank)
    alike = tuple(other.name for other in others if _label_rank(other)[:2] == _label_rank(label)[:2])
    names = tuple(other.name for other in others)
    return Guess("label", label.name, f"{label.distinct} different short values", names, alike)


def _label_rank(profile: Profile) -> tuple[bool, bool, int]:
    """Usual names first, text before numbers, then the fewer values the better."""
    return profile.name.casefold() not in USUAL_NAMES["label"], not profile.is_text, profile.distinct


def _question(profiles: dict[str, Profile], without: str | None, where: str, first: str | None = None) -> Guess:
    """Return the column that asks: one with a usual name, else the longest text; ``others`` is empty where it is clear.

    ``first`` is the column, where it is known already. Two texts are a question and its answer, in this order, where
    nothing else answers.
    """
    names = {name.casefold(): name for name in reversed(profiles) if name != without}
    for usual in (*USUAL_NAMES["prompt"], *USUAL_NAMES["text"]):
        if usual in names:
            return Guess("prompt", names[usual], "its name")
    texts = [profile for profile in profiles.values() if profile.is_text and profile.name != without]
    free = [profile for profile in texts if profile.may_ask] or texts
    if not free:
        raise DataError("no column holds text to ask with", where=where, fix="name it with --prompt")
    chosen = max(free, key=lambda profile: profile.mean_length)
    if first is not None:
        chosen = profiles[first]
    elif without is None and len(free) == 2 and not any(_answers(profile) for profile in profiles.values()):
        chosen = free[0]
    others = [profile for profile in free if profile is not chosen]
    alike = tuple(profile.name for profile in others if profile.mean_length >= _AS_LONG * chosen.mean_length)
    reason = f"texts of {chosen.mean_length:.0f} characters on average"
    return Guess("prompt", chosen.name, reason, tuple(profile.name for profile in others), alike)
