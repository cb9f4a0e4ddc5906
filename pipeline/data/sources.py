"""Where rows come from: one file, a folder of files, a saved data set, or the Hub."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from pipeline.core.context import CallContext
from pipeline.core.errors import ConfigError, DataError, SourceError
from pipeline.core.references import open_reference
from pipeline.data.backends import DatasetHome, Detected, detect_encoding, load_dataset, unreadable
from pipeline.data.names import nearest, quoted
from pipeline.data.read_csv import read_csv
from pipeline.data.read_tables import count_table_rows, number_rows, read_arrow, read_parquet
from pipeline.data.read_text import read_json
from pipeline.data.rows import BadRow, SourceRow
from schemas.base import Reference
from schemas.data import Split

TEXT_SUFFIXES: Final = (".jsonl", ".ndjson", ".json", ".csv", ".tsv")
TABLE_SUFFIXES: Final = (".parquet", ".arrow", ".feather")

SPLIT_NAMES: Final[dict[Split, tuple[str, ...]]] = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev", "eval"),
    "test": ("test", "testing"),
}
"""What data sets call the three splits."""

_HUB_ID = re.compile(r"^[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*(:[\w.-]+)?$")
_COMMIT = re.compile(r"^[0-9a-f]{40}$")

_REPORT_EVERY = 200

Rows = Iterator[SourceRow | BadRow]


@dataclass(frozen=True)
class Source:
    """An opened source: its rows, read as they are asked for, and its encoding (``-`` where it is no text).

    ``others`` are the splits that lie there too and are not read here.
    """

    role: Split
    location: str
    encoding: str
    rows: Rows
    others: tuple[Split, ...] = ()


def open_source(reference: Reference, role: Split, context: CallContext) -> Source:
    """Open the source of one split.

    Raises:
        SourceError: nothing is there, or it cannot be read.
        ConfigError: it is of a kind that is not read.
        DataError: it is empty or damaged (some damage shows only while rows are read).
        IntegrityError: it has changed since the run was resolved.
    """
    location = reference.location
    path = Path(location)
    commit = reference.digest if reference.digest and _COMMIT.match(reference.digest) else None
    if commit is not None:
        return _open_dataset("hub", location, role, context, commit)
    try:
        is_file, is_folder = path.is_file(), path.is_dir()
    except OSError as error:
        raise unreadable(path, error) from error
    if "://" in location:
        raise ConfigError(
            "addresses are not read by the data stage", where=location, fix="download the file and give its path"
        )
    if is_file or is_folder:
        open_reference(reference)
    if is_file:
        encoding, rows = _open_file(path, role, context)
        return Source(role, location, encoding, rows)
    if is_folder:
        return _open_folder(path, role, context)
    if _HUB_ID.match(location) and path.suffix not in (*TEXT_SUFFIXES, *TABLE_SUFFIXES) and not path.parent.is_dir():
        return _open_dataset("hub", location, role, context, None)
    raise _missing(path)


def _missing(path: Path) -> SourceError:
    siblings = [item.name for item in path.parent.iterdir()] if path.parent.is_dir() else []
    near = nearest(path.name, siblings)
    fix = f"did you mean {near!r}?" if near else "check the path"
    return SourceError("no such file or folder", where=str(path), fix=fix)


def _open_folder(path: Path, role: Split, context: CallContext) -> Source:
    if (path / "dataset_dict.json").is_file() or (path / "state.json").is_file():
        return _open_dataset("folder", str(path), role, context, None)
    by_split = _files_by_split(path)
    files = by_split.get(role) or by_split.get(None)
    names = [file.name for group in by_split.values() for file in group]
    if files is None:
        raise DataError(
            f"no file of the {role} split; there are {quoted(names)}",
            where=str(path),
            fix=f"name the file, or let its name contain {role!r}",
        )
    if len({file.suffix.lower() for file in files}) > 1:
        raise DataError(
            f"files of several kinds: {quoted(file.name for file in files)}",
            where=str(path),
            fix="keep one kind, or name one file",
        )
    if role in by_split and None in by_split:
        unread = quoted(file.name for file in by_split[None])
        context.warn(f"{path.name}: {unread} name no split and are not read")
    opened = [_open_file(file, role, context) for file in files]
    encodings = sorted({encoding for encoding, _ in opened} - {"-"})
    others = tuple(split for split in by_split if split not in (role, None))
    return Source(role, str(path), ", ".join(encodings) or "-", _chain([rows for _, rows in opened], files), others)


def _files_by_split(path: Path) -> dict[Split | None, list[Path]]:
    """Return the data files below a folder by the split that their name, or their folder's name, tells."""
    suffixes = (*TEXT_SUFFIXES, *TABLE_SUFFIXES)
    by_split: dict[Split | None, list[Path]] = {}
    for file in sorted(path.rglob("*")):
        relative = file.relative_to(path)
        is_hidden = any(part.startswith(".") for part in relative.parts)
        if file.is_file() and not is_hidden and file.suffix.lower() in suffixes:
            by_split.setdefault(_split_of(relative), []).append(file)
    if not by_split:
        raise SourceError("the folder holds no data files", where=str(path), fix=f"give files of {', '.join(suffixes)}")
    return by_split


def _split_of(file: Path) -> Split | None:
    parts = re.split(r"[^a-z0-9]+", file.with_suffix("").as_posix().lower())
    return next((split for split, names in SPLIT_NAMES.items() if any(name in parts for name in names)), None)


def _chain(sources: list[Rows], files: list[Path]) -> Rows:
    """Yield the rows of several files, numbered on; a bad row's reason names its file."""
    offset = 0
    for rows, file in zip(sources, files, strict=True):
        last = 0
        for row in rows:
            last = row.number
            if isinstance(row, SourceRow):
                yield replace(row, number=offset + row.number)
            else:
                yield BadRow(offset + row.number, f"{file.name} row {row.number}: {row.reason}", row.content)
        offset += last


def _open_file(path: Path, role: Split, context: CallContext) -> tuple[str, Rows]:
    suffix = path.suffix.lower()
    if suffix not in (*TEXT_SUFFIXES, *TABLE_SUFFIXES):
        raise ConfigError(
            f"files with the ending {suffix!r} are not read" if suffix else "a file without an ending is not read",
            where=str(path),
            fix=f"give one of {', '.join((*TEXT_SUFFIXES, *TABLE_SUFFIXES))}",
        )
    if suffix in TABLE_SUFFIXES:
        rows = read_parquet(path) if suffix == ".parquet" else read_arrow(path)
        return "-", _tracked(rows, role, count_table_rows(path), context)
    detected = detect_encoding(path)
    if suffix in (".csv", ".tsv"):
        rows = read_csv(path, detected.name, "\t" if suffix == ".tsv" else None)
    else:
        rows = read_json(path, detected.name)
    if detected.name not in ("utf-8", "utf-8-sig"):
        context.warn(f"{path.name} is not UTF-8: read as {detected.name}")
    return detected.name, _tracked(_decoded(rows, path, detected), role, detected.lines, context)


def _decoded(rows: Rows, path: Path, detected: Detected) -> Rows:
    try:
        yield from rows
    except UnicodeDecodeError as error:
        raise DataError(
            f"not valid {detected.name}: {error.reason}", where=str(path), fix="save it as UTF-8"
        ) from error


def _tracked(rows: Rows, role: Split, total: int, context: CallContext) -> Rows:
    done = 0
    with context.progress(f"reading {role}", total) as advance:
        for row in rows:
            if row.number - done >= _REPORT_EVERY and row.number <= total:
                advance(row.number - done)
                done = row.number
            yield row
        advance(max(total - done, 0))


def _open_dataset(home: DatasetHome, location: str, role: Split, context: CallContext, revision: str | None) -> Source:
    token = context.secrets.get("HF_TOKEN")
    loaded = load_dataset(home, location, SPLIT_NAMES[role], revision, token)
    if loaded.split is not None and loaded.split.lower() not in SPLIT_NAMES[role]:
        context.warn(f"{location} has the one split {loaded.split}, which is used for {role}")
    others = tuple(split for split, names in SPLIT_NAMES.items() if {*names} & {name.lower() for name in loaded.others})
    return Source(role, location, "-", _tracked(number_rows(loaded.rows), role, loaded.size, context), others)
