"""The rows of a retraining: a version's own, in the form that its source gave them, and new ones.

A version's splits are kept row for row. Its data artifact says which rows of which source each split holds; they are
read from there again, because the split files hold conversations, which no template, column or system turn of the
description would fit.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import Any

from pipeline.core.context import CallContext
from pipeline.core.errors import ConfigError, DataError, IntegrityError, SourceError
from pipeline.core.examples import read_examples
from pipeline.core.references import open_reference
from pipeline.data.columns import columns_of, usual_column
from pipeline.data.load import PEEK, named_rows
from pipeline.data.rows import BadRow, SourceRow
from pipeline.data.sources import open_source
from pipeline.data.turns import without_nulls
from schemas.artifacts import Stored
from schemas.base import Reference
from schemas.data import DataArtifact, DataFiles, DataOptions, Split
from schemas.webhook import UPLOADS, NamedData, RetrainRequest

Values = dict[str, Any]


@dataclass(frozen=True)
class OwnRows:
    """A version's rows: where its run read them, and which of them each split holds."""

    version: str
    files: DataFiles
    options: DataOptions
    data: Stored[DataArtifact]
    context: CallContext

    def held_out_file(self, split: Split) -> Path | None:
        """Return the file or folder that was given for a split, if there was one on this machine.

        Raises:
            SourceError: it is gone. IntegrityError: it has other bytes than when the version was trained.
        """
        given: Reference | None = getattr(self.files, split)
        return None if split == "train" or given is None or is_hub(given) else self._opened(given)

    def read(self, splits: Sequence[Split]) -> dict[Split, list[Values]]:
        """Return the rows of some splits, in their source's order.

        Raises:
            SourceError: a source is gone. IntegrityError: it has other bytes than when the version was trained.
        """
        by_source: dict[Split, list[Split]] = {}
        for split in splits:
            by_source.setdefault("train" if getattr(self.files, split) is None else split, []).append(split)
        rows: dict[Split, list[Values]] = {}
        for role, parts in by_source.items():
            rows |= self._read_source(role, parts)
        return rows

    @property
    def keeps_groups(self) -> bool:
        """Whether rows of one group are in one split."""
        return self.options.split.by == "group"

    def without_held_out_groups(self, new: list[Values], held_out: Iterable[Values]) -> list[Values]:
        """Return the new rows whose group has no held-out row, where groups are kept together.

        Raises:
            DataError: none is left.
        """
        if not self.keeps_groups:
            return new
        rows = [*held_out]
        column = self.options.columns.group or usual_column("group", [name for row in rows for name in row])
        taken = {str(row[column]) for row in rows if column in row}
        kept = [row for row in new if column not in row or str(row[column]) not in taken]
        if new and not kept:
            raise DataError(
                f"every new row belongs to a group that {self.version} holds out",
                where="rows",
                fix=f"send rows with other values of {column}",
            )
        return kept

    def part(self, new: Sequence[Values], share: float) -> tuple[list[Values], list[Values]]:
        """Return the new rows to train on and those to test on: about ``share`` of them, the same for the same rows.

        Rows of one group, where groups are kept together, and rows that are the same are on one side.

        Raises:
            DataError: one of the sides is empty.
        """
        sides: tuple[list[Values], list[Values]] = ([], [])
        for row in new:
            sides[_position(self._kept_together(row)) < share].append(row)
        if not all(sides):
            raise DataError(
                f"of {len(new)} new rows {len(sides[1])} would be held out and {len(sides[0])} trained on",
                where="hold_out",
                fix="send more rows, or another share",
            )
        return sides

    def _kept_together(self, row: Values) -> str:
        column = self.options.columns.group or usual_column("group", [*row])
        if self.keeps_groups and column in row:
            return f"group {row[column]}"
        return json.dumps(row, sort_keys=True)

    def mixed(self, own: Sequence[Values], new: Sequence[Values]) -> list[Values]:
        """Return test rows and new ones in a mixed order, so that the first of them are of both kinds."""
        return sorted([*own, *new], key=lambda row: _position(json.dumps(row, sort_keys=True), "order"))

    def _read_source(self, role: Split, splits: Sequence[Split]) -> dict[Split, list[Values]]:
        reference: Reference = getattr(self.files, role)
        if not is_hub(reference):
            self._opened(reference)
        wanted = {split: self._numbers(split) for split in splits}
        found: dict[Split, list[Values]] = {split: [] for split in splits}
        rows = (row for row in open_source(reference, role, self.context).rows if isinstance(row, SourceRow))
        head = list(islice(rows, PEEK))
        for part in (head, rows):
            for row in part:
                for split, numbers in wanted.items():
                    if row.number in numbers:
                        found[split].append(as_json(row))
        for split, numbers in wanted.items():
            if len(found[split]) != len(numbers):
                raise IntegrityError(
                    f"{len(numbers) - len(found[split])} {split} rows of {self.version} are no longer in their source",
                    where=reference.location,
                    fix="put back what the version was trained on",
                )
        columns = columns_of(head)
        return {split: _with_columns(values, columns) for split, values in found.items()}

    def _numbers(self, split: Split) -> frozenset[int]:
        return frozenset(example.row for example in read_examples(self.data.file(self.data.artifact.files[split])))

    def _opened(self, reference: Reference) -> Path:
        path = open_reference(reference)
        if not path.exists():
            raise SourceError(
                f"the data of {self.version} are no longer there",
                where=str(path),
                fix=f"put back the file with the sha256 {reference.digest}",
            )
        return path


def _position(text: str, what: str = "part") -> float:
    """Return where in [0, 1) something stands, which has nothing to do with what it says."""
    return int.from_bytes(blake2b(f"{what}\0{text}".encode(), digest_size=8).digest()) / 2**64


def is_hub(reference: Reference) -> bool:
    """Tell whether a resolved reference is a commit of the Hub (40 digits), not bytes of this machine (64)."""
    return reference.digest is not None and len(reference.digest) < 64


def _with_columns(rows: list[Values], columns: Sequence[str]) -> list[Values]:
    """Return a part of a source with all of its columns, so that it reads as the whole did.

    A column that none of these rows has stands as null in the first: a description may name it.
    """
    seen = {name for row in rows[:PEEK] for name in row}
    missing = [name for name in columns if name not in seen]
    return [{**rows[0], **dict.fromkeys(missing)}, *rows[1:]] if rows and missing else rows


def as_json(row: SourceRow) -> Values:
    """Return a row's values as JSON has them: no nulls that a table adds inside objects, no numbers that are none."""
    values = {name: without_nulls(value) for name, value in row.values.items()} if row.from_table else row.values
    return {name: _plain(value) for name, value in values.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, (str, int)) else str(value)


def write_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write JSON lines in ASCII, so that any text is carried as it is."""
    with path.open("w", encoding="ascii", newline="\n") as stream:
        for row in rows:
            stream.write(json.dumps(row, allow_nan=False) + "\n")


def new_source(data: NamedData, root: Path) -> str:
    """Return where named rows are: an absolute path inside the workspace, or a Hub id as it is.

    Raises:
        ConfigError: there is nothing, a link leads out of ``uploads/``, or the id is also the name of a file here.
    """
    if not data.is_upload:
        if Path(data.path).exists():
            raise ConfigError(f"{data.path} is no data set of the Hub", where="data.path", fix="upload it")
        return data.path
    uploads, path = (root / UPLOADS).resolve(), (root / data.path).resolve()
    if not path.is_relative_to(uploads) or not path.exists():
        raise ConfigError(f"no such file or folder: {data.path}", where="data.path", fix="upload it first")
    return str(path)


def new_rows(request: RetrainRequest, root: Path, context: CallContext) -> list[Values]:
    """Return the rows that a request names or carries.

    Raises:
        ConfigError: named rows are not there. DataError: they cannot be read, or there are none.
        SourceError: the Hub cannot be reached, or a file cannot be opened.
    """
    if request.data is None:
        return [dict(row) for row in request.rows or ()]
    found = list(open_source(Reference(location=new_source(request.data, root)), "train", context).rows)
    bad = [row for row in found if isinstance(row, BadRow)]
    if bad or not found:
        raise DataError(
            f"{len(bad)} of {len(found)} rows cannot be read: {named_rows(bad)}" if bad else "there are no rows",
            where=f"data.path: {request.data.path}",
            fix="correct them and upload the file again",
        )
    return [as_json(row) for row in found if isinstance(row, SourceRow)]
