"""What a file of examples probably is: which columns hold question and answer, and which task that makes.

What a format's own names say is taken; what only the contents suggest is a `Guess`, for the user to confirm.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from pipeline.core.errors import ConfigError, DataError
from pipeline.data.columns import USUAL_NAMES, Layout, columns_of, find_layout
from pipeline.data.names import quoted
from pipeline.data.rows import Draft, SourceRow
from schemas.data import Columns, DataOptions
from schemas.plan import Task

_MOST_LABELS: Final = 200
_LABEL_LENGTH: Final = 60
_ROWS_PER_LABEL: Final = 2
_FILLED: Final = 0.95
_LABEL_SHARE: Final = 0.1
"""Different answers per row up to which the data stage, too, takes answers for labels."""


@dataclass(frozen=True)
class Wishes:
    """What the user has said: columns and task."""

    prompt: str | None = None
    completion: str | None = None
    label: str | None = None
    task: Task | None = None


@dataclass(frozen=True)
class Guess:
    """A column that holds the answers, by its contents only; ``others`` would do as well."""

    slot: Literal["label", "completion"]
    column: str
    reason: str
    others: tuple[str, ...] = ()


@dataclass(frozen=True)
class Reading:
    """How to read the rows. ``guess`` is what nobody has said yet."""

    options: DataOptions
    layout: Layout
    guess: Guess | None


@dataclass(frozen=True)
class _Profile:
    """One column over the sampled rows. ``distinct`` counts different values, lengths are in characters."""

    name: str
    filled: float
    is_text: bool
    distinct: int
    rows: int
    mean_length: float
    longest: int
    json_objects: float

    @property
    def may_be_label(self) -> bool:
        """Few different, short values in nearly every row, each in two rows or more on average."""
        few = 2 <= self.distinct <= min(_MOST_LABELS, self.rows // _ROWS_PER_LABEL)
        return few and self.longest <= _LABEL_LENGTH and self.filled >= _FILLED and self.json_objects == 0.0


def guess_reading(rows: Sequence[SourceRow], wishes: Wishes, where: str) -> Reading:
    """Return how to read ``rows``, the first of a file.

    Raises:
        ConfigError: a column that the user named is not there, or label and completion are both named.
        DataError: nothing like a question and an answer is found.
    """
    available = columns_of(rows)
    _check_wishes(wishes, available, where)
    profiles = {name: _profile(rows, name) for name in available}
    if wishes.label is not None:
        return _reading(rows, _labeled(wishes.label, wishes.prompt, profiles, where), where)
    if wishes.completion is not None:
        prompt = wishes.prompt or _question(profiles, without=wishes.completion, where=where)
        return _reading(rows, Columns(prompt=prompt, completion=wishes.completion), where)
    if wishes.prompt is not None:
        return _answer_for(rows, wishes.prompt, profiles, where)
    try:
        found = find_layout(DataOptions(), rows, where)
    except DataError:
        return _from_contents(rows, profiles, where)
    return _confirmed(rows, found, profiles, where)


def guess_task(layout: Layout, drafts: Sequence[Draft]) -> Task:
    """Return the task: JSON objects are extracted, labels classified, anything else is generated."""
    answers = [draft.answer_text for draft in drafts]
    if layout.format in ("preference", "text"):
        return "generation"
    if answers and all(_is_json_object(answer) for answer in answers):
        return "extraction"
    few = len(set(answers)) <= min(_MOST_LABELS, _LABEL_SHARE * len(answers))
    short = all(len(answer) <= _LABEL_LENGTH for answer in answers)
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


def _labeled(label: str, prompt: str | None, profiles: dict[str, _Profile], where: str) -> Columns:
    return Columns(text=prompt or _question(profiles, without=label, where=where), label=label)


def _confirmed(rows: Sequence[SourceRow], layout: Layout, profiles: dict[str, _Profile], where: str) -> Reading:
    """Return the layout that usual names gave; an answer that no format names is a guess."""
    reading = Reading(DataOptions(), layout, None)
    if layout.format == "label" and layout.columns["label"].casefold() != "label":
        column = layout.columns["label"]
        return Reading(reading.options, layout, _label_guess(profiles[column], profiles, layout.columns["text"]))
    if layout.format == "text" and any(profiles[name].is_text or profiles[name].may_be_label for name in layout.unused):
        return _answer_for(rows, layout.columns["text"], profiles, where)
    return reading


def _from_contents(rows: Sequence[SourceRow], profiles: dict[str, _Profile], where: str) -> Reading:
    texts = [profile for profile in profiles.values() if profile.is_text and not profile.may_be_label]
    if len(profiles) == 1:
        raise DataError(
            f"there is one column, {quoted(profiles)}; a row needs a question and an answer",
            where=where,
            fix="add a column of answers, or call the column 'text' to train on plain text",
        )
    if not texts and not any(profile.is_text for profile in profiles.values()):
        raise DataError(
            f"none of the columns {quoted(profiles)} holds text",
            where=where,
            fix="name the columns with --prompt and --completion or --label",
        )
    return _answer_for(rows, _question(profiles, without=None, where=where), profiles, where)


def _answer_for(rows: Sequence[SourceRow], prompt: str, profiles: dict[str, _Profile], where: str) -> Reading:
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
    texts = [profile.name for profile in others if profile.is_text]
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


def _label_guess(label: _Profile, profiles: dict[str, _Profile], prompt: str) -> Guess:
    others = [name for name, other in profiles.items() if other.may_be_label and name not in (label.name, prompt)]
    return Guess("label", label.name, f"{label.distinct} different short values", tuple(others))


def _label_rank(profile: _Profile) -> tuple[bool, bool]:
    """Usual names first, text before numbers."""
    return profile.name.casefold() not in USUAL_NAMES["label"], not profile.is_text


def _question(profiles: dict[str, _Profile], without: str | None, where: str) -> str:
    """Return the column that asks: one with a usual name, else the first of the longest texts that is no label."""
    names = {name.casefold(): name for name in reversed(profiles) if name != without}
    for usual in (*USUAL_NAMES["prompt"], *USUAL_NAMES["text"]):
        if usual in names:
            return names[usual]
    texts = [profile for profile in profiles.values() if profile.is_text and profile.name != without]
    free = [profile for profile in texts if not profile.may_be_label and profile.json_objects < 1.0] or texts
    if not free:
        raise DataError("no column holds text to ask with", where=where, fix="name it with --prompt")
    return free[0].name if len(free) <= 2 else max(free, key=lambda profile: profile.mean_length).name


def _profile(rows: Sequence[SourceRow], name: str) -> _Profile:
    given = [row.values.get(name) for row in rows]
    values = [value for value in given if isinstance(value, (str, int)) and str(value).strip()]
    lengths = [len(str(value)) for value in values] or [0]
    return _Profile(
        name=name,
        filled=len(values) / max(len(rows), 1),
        is_text=bool(values) and all(isinstance(value, str) for value in values) and not _are_numbers(values),
        distinct=len(set(map(str, values))),
        rows=len(rows),
        mean_length=sum(lengths) / len(lengths),
        longest=max(lengths),
        json_objects=sum(isinstance(value, str) and _is_json_object(value) for value in values) / max(len(values), 1),
    )


def _are_numbers(values: Sequence[object]) -> bool:
    """Tell whether texts are all numbers: CSV has no other way to write them."""
    return all(str(value).strip().lstrip("+-").replace(".", "", 1).isdigit() for value in values)


def _is_json_object(text: str) -> bool:
    if not text.lstrip().startswith("{"):
        return False
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False
