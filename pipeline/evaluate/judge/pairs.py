"""Pairs: one question with two answers, from two evaluations, two files of predictions, or pairs that people judged."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.core.errors import DataError, IntegrityError, SourceError
from pipeline.core.json_text import read_json
from pipeline.statistics import Outcome
from schemas.artifacts import Stored
from schemas.evaluate import EvaluateArtifact

_COLUMNS = ["id", "cluster", "prompt", "reference", "answer"]

_NAMES = {
    "question": ("question", "prompt", "input", "instruction"),
    "first": ("answer_a", "output_1", "response_a", "first"),
    "second": ("answer_b", "output_2", "response_b", "second"),
    "label": ("label", "preference", "winner"),
}
"""Columns of pairs that people judged, under the names that published sets use."""

_LABELS: Mapping[str, Outcome] = {
    **dict.fromkeys(("1", "a", "answer_a", "output_1", "response_a", "model_a"), "win"),
    **dict.fromkeys(("2", "b", "answer_b", "output_2", "response_b", "model_b"), "loss"),
    **dict.fromkeys(("0", "tie", "both", "equal"), "tie"),
}


@dataclass(frozen=True)
class Pair:
    """Two answers to one question. ``label`` is people's verdict on the first (a win: they prefer it), if there is one.

    ``reference`` is the expected answer, empty where none is known.
    """

    id: str
    cluster: int
    question: str
    first: str
    second: str
    reference: str = ""
    label: Outcome | None = None

    @property
    def identical(self) -> bool:
        """Whether both answers are the same, spaces around them aside."""
        return self.first.strip() == self.second.strip()


def pair_evaluations(candidate: Stored[EvaluateArtifact], baseline: Stored[EvaluateArtifact]) -> list[Pair]:
    """Return the answers of two evaluations side by side, in the split's order.

    Raises:
        IntegrityError: they were not made on the same items, or a file does not hold what its artifact states.
    """
    ours, theirs = candidate.artifact, baseline.artifact
    if (ours.split, ours.data_digest, ours.n) != (theirs.split, theirs.data_digest, theirs.n):
        raise _different(candidate)
    return pair_tables(candidate.file(ours.items), baseline.file(theirs.items))


def pair_tables(candidate: Path, baseline: Path) -> list[Pair]:
    """Return the answers of two ``items.parquet`` side by side.

    Raises:
        IntegrityError: they hold different items, or lack a column.
    """
    first, second = _columns(candidate), _columns(baseline)
    if (first["id"], first["prompt"]) != (second["id"], second["prompt"]):
        raise _different(baseline)
    rows = zip(*(first[name] for name in _COLUMNS), second["answer"], strict=True)
    return [
        Pair(id_, cluster, prompt, ours, theirs, reference) for id_, cluster, prompt, reference, ours, theirs in rows
    ]


def _columns(path: Path) -> dict[str, list[Any]]:
    import pyarrow.parquet as parquet

    missing = [name for name in _COLUMNS if name not in parquet.read_schema(path).names]
    if missing:
        raise IntegrityError(
            f"the evaluation has no column {missing[0]}", where=str(path), fix="run again with --fresh evaluate"
        )
    table: dict[str, list[Any]] = parquet.read_table(path, columns=_COLUMNS).to_pydict()
    return table


def _different(where: object) -> IntegrityError:
    return IntegrityError(
        "the two evaluations answer different items",
        where=str(where),
        fix="judge two evaluations of one run, or of runs with the same data",
    )


def pair_predictions(first: Path, second: Path) -> list[Pair]:
    """Return two files of `hone predict` side by side: rows with the same prompt in the same order.

    Raises:
        SourceError: a file cannot be read.
        DataError: a row is no prediction, or the files answer different questions.
    """
    ours, theirs = (list(_rows(path, ("prompt", "prediction"))) for path in (first, second))
    if len(ours) != len(theirs):
        raise DataError(
            f"{len(ours)} predictions in one file and {len(theirs)} in the other",
            where=str(second),
            fix="let both versions answer the same file",
        )
    pairs = []
    for number, (one, other) in enumerate(zip(ours, theirs, strict=True), start=1):
        if one["prompt"] != other["prompt"]:
            raise DataError(
                "the two files answer different questions",
                where=f"{second}:{number}",
                fix="let both versions answer the same file",
            )
        id_ = str(one.get("id") or number)
        pairs.append(Pair(id_, number, str(one["prompt"]), str(one["prediction"]), str(other["prediction"])))
    return pairs


def read_labels(path: Path) -> list[Pair]:
    """Return the pairs that people judged: a JSON list, JSON lines, or a folder of such files.

    A row has a question, two answers and a label under the names that published sets use (``input, output_1, output_2,
    label`` of LLMBar, ``prompt, answer_a, answer_b, label``); a label is 1, 2, a, b, or 0 or tie.

    Raises:
        SourceError: nothing can be read there.
        DataError: a row lacks one of the four (it is named).
    """
    files = (
        [path] if path.is_file() else sorted(found for kind in ("json", "jsonl") for found in path.rglob(f"*.{kind}"))
    )
    pairs: list[Pair] = []
    for file in files:
        for number, row in enumerate(_rows(file, ()), start=1):
            values = {name: _value(row, name, f"{file}, row {number}") for name in _NAMES}
            label = _LABELS.get(values["label"].strip().lower())
            if label is None:
                raise DataError(
                    f"the label {values['label']!r} is none", where=f"{file}, row {number}", fix="write 1, 2 or tie"
                )
            place = len(pairs)
            id_ = f"{file.relative_to(path) if file != path else file.name}:{number}"
            pairs.append(Pair(id_, place, values["question"], values["first"], values["second"], label=label))
    if not pairs:
        raise SourceError("no judged pairs are here", where=str(path), fix="name a file of pairs, or their folder")
    return pairs


def sample(pairs: Sequence[Pair], most: int | None, seed: int) -> list[Pair]:
    """Return ``most`` pairs drawn by ``seed``, in their order; all where there are no more."""
    if most is None or most >= len(pairs):
        return list(pairs)
    drawn = random.Random(seed).sample(range(len(pairs)), most)  # noqa: S311 - a sample, no secret
    return [pairs[place] for place in sorted(drawn)]


def _value(row: Mapping[str, Any], name: str, where: str) -> str:
    for column in _NAMES[name]:
        if row.get(column) is not None:
            return str(row[column])
    raise DataError(f"the row has no {name}", where=where, fix=f"name it one of {', '.join(_NAMES[name])}")


def _rows(path: Path, needed: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yield the objects of a JSON list or of JSON lines."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(f"cannot read: {error}", where=str(path), fix="check the path") from error
    try:
        listed: Any = read_json(text) if text.lstrip().startswith("[") else None
    except ValueError as error:
        raise DataError(f"not JSON: {error}", where=str(path), fix="repair the file") from error
    numbered = (
        enumerate(listed, start=1)
        if listed is not None
        else ((number, line) for number, line in enumerate(text.split("\n"), start=1) if line.strip())
    )
    for number, value in numbered:
        try:
            row = read_json(value) if isinstance(value, str) else value
        except ValueError as error:
            raise DataError(f"not JSON: {error}", where=f"{path}:{number}", fix="repair the line") from error
        missing = [name for name in needed if not isinstance(row, dict) or name not in row]
        if missing or not isinstance(row, dict):
            what = f"has no {missing[0]}" if missing and isinstance(row, dict) else "is no JSON object"
            raise DataError(f"the row {what}", where=f"{path}:{number}", fix="give what hone predict writes")
        yield row
