"""Captured answers as files: one Parquet partition for each version and day (UTC), one for the feedback of each day.

    <root>/captured/answers/version=triage@3/day=2026-11-27/closed.parquet
    <root>/captured/feedback/day=2026-11-27/open.parquet
    <root>/captured/retention.json

A day that may still grow is ``open`` and written anew as a whole; ``closed`` is written once. Where both are there, a
process died between writing the one and removing the other, and ``closed`` is right. The names of folders are those
that DuckDB, Spark and pyarrow read as columns.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any, Final, Literal
from uuid import uuid4

from filelock import FileLock

from pipeline.core.errors import ConfigError, IntegrityError
from pipeline.core.workspace import fsync_directory, write_atomic

Kind = Literal["answers", "feedback"]

FOLDER: Final = "captured"
"""The folder of the workspace that holds them."""

DAY_SECONDS: Final = 86400.0

_GROUP_ROWS = 5000
_VERSION = re.compile(r"[a-z0-9](\.?[a-z0-9_-])*@[0-9]{1,9}")


@dataclass(frozen=True)
class Partitions:
    """The partitions below ``folder``. Whoever writes holds `lock`."""

    folder: Path

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the folder's lock, in which one process writes at a time."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self.folder / ".lock"):
            yield

    def write(
        self, kind: Kind, day: date, rows: Iterable[Mapping[str, Any]], *, closed: bool, version: str = ""
    ) -> int:
        """Write a day as a whole and return how many rows it has; one without rows is not written.

        Rows are streamed, `_GROUP_ROWS` at a time; their keys are the columns of `columns`.
        """
        import pyarrow as pa
        from pyarrow import parquet

        place = self._place(kind, day, version)
        schema = columns(kind)
        draft = place / f".{uuid4().hex}.parquet"
        numbers = 0
        remaining = iter(rows)
        if not (first := list(islice(remaining, _GROUP_ROWS))):
            return 0
        place.mkdir(parents=True, exist_ok=True)
        try:
            with parquet.ParquetWriter(draft, schema, compression="zstd") as writer:
                while first:
                    writer.write_table(pa.Table.from_pylist([_plain(row) for row in first], schema))
                    numbers += len(first)
                    first = list(islice(remaining, _GROUP_ROWS))
            draft.replace(place / _name(closed))
        finally:
            draft.unlink(missing_ok=True)
        if closed:
            (place / _name(False)).unlink(missing_ok=True)
        fsync_directory(place)
        return numbers

    def is_closed(self, kind: Kind, day: date, version: str = "") -> bool:
        """Return whether a day's partition is final."""
        return (self._place(kind, day, version) / _name(True)).is_file()

    def versions(self) -> list[str]:
        """Return the versions with answers, sorted."""
        found = (path.name.removeprefix("version=") for path in (self.folder / "answers").glob("version=*"))
        return sorted(name for name in found if _VERSION.fullmatch(name))

    def days(self, kind: Kind, version: str = "") -> list[date]:
        """Return the days with a partition, the oldest first."""
        return sorted(day for path in self._above(kind, version).glob("day=*") if (day := _day(path)) is not None)

    def read(self, kind: Kind, day: date, version: str = "") -> list[dict[str, Any]]:
        """Return the rows of a day, the oldest first; ``at`` is Unix seconds.

        Raises:
            IntegrityError: the file is damaged.
        """
        import pyarrow as pa
        from pyarrow import parquet

        place = self._place(kind, day, version)
        path = next((place / _name(closed) for closed in (True, False) if (place / _name(closed)).is_file()), None)
        if path is None:
            return []
        try:
            rows = parquet.ParquetFile(path).read().to_pylist()
        except (pa.ArrowException, OSError, ValueError) as error:
            raise IntegrityError("the captured answers are damaged", where=str(path), fix="remove the file") from error
        found = [{**row, "at": row["at"].timestamp()} for row in rows]
        return sorted(found, key=lambda row: (row["at"], row["id"]))

    def forget(self, days: int, now: float) -> int:
        """Remove the days in which a row may be older than ``days``, and return how many partitions that were."""
        last = datetime.fromtimestamp(now - days * DAY_SECONDS, UTC).date()
        removed = 0
        kept: list[tuple[Kind, str]] = [("feedback", "")]
        kept += [("answers", version) for version in self.versions()]
        for kind, version in kept:
            for day in self.days(kind, version):
                if day <= last:
                    shutil.rmtree(self._place(kind, day, version))
                    removed += 1
        return removed

    def keep_for(self, days: int) -> None:
        """Write down for how many days rows are kept, for whoever reads without the gateway."""
        path = self.folder / "retention.json"
        text = json.dumps({"days": days}) + "\n"
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            write_atomic(path, text)

    def retention_days(self) -> int | None:
        """Return what `keep_for` wrote; None where it did not.

        Raises:
            IntegrityError: the file is damaged.
        """
        path = self.folder / "retention.json"
        if not path.is_file():
            return None
        try:
            return int(json.loads(path.read_text(encoding="utf-8"))["days"])
        except (ValueError, KeyError, TypeError) as error:
            raise IntegrityError(
                "how long answers are kept is damaged", where=str(path), fix="start hone gateway, which writes it"
            ) from error

    def _place(self, kind: Kind, day: date, version: str) -> Path:
        return self._above(kind, version) / f"day={day.isoformat()}"

    def _above(self, kind: Kind, version: str) -> Path:
        if kind == "feedback":
            return self.folder / kind
        if not _VERSION.fullmatch(version):
            raise ConfigError(f"{version[:80]!r} is no version", where="version", fix="name one as name@3")
        return self.folder / kind / f"version={version}"


def columns(kind: Kind) -> Any:
    """Return the columns of a partition as a pyarrow schema.

    ``at`` is in UTC; lengths are characters, times milliseconds. ``request`` is JSON and, as ``answer``, null where
    texts are not captured. ``confidence`` is the geometric mean of the tokens' probabilities.
    """
    import pyarrow as pa

    text, at = pa.string(), pa.timestamp("ms", tz="UTC")
    if kind == "feedback":
        known = {"id": text, "answer": text, "at": at, "score": pa.float64(), "correction": text, "comment": text}
    else:
        known = {
            **dict.fromkeys(("id", "response_id"), text),
            "at": at,
            **dict.fromkeys(("key", "unit", "path", "rollout", "arm"), text),
            "shadowed": pa.bool_(),
            "status": pa.int32(),
            "failed": pa.bool_(),
            "refused": pa.bool_(),
            **{name: pa.float64() for name in ("first_byte_ms", "answer_ms", "confidence")},
            **{name: pa.int64() for name in ("input_length", "length")},
            **dict.fromkeys(("request", "answer"), text),
        }
    return pa.schema(list(known.items()))


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    return {**row, "at": datetime.fromtimestamp(row["at"], UTC)}


def _name(closed: bool) -> str:
    return "closed.parquet" if closed else "open.parquet"


def _day(path: Path) -> date | None:
    try:
        return date.fromisoformat(path.name.removeprefix("day="))
    except ValueError:
        return None


def day_of(at: float) -> date:
    """Return the day (UTC) of a Unix time."""
    return datetime.fromtimestamp(at, UTC).date()


def bounds(day: date) -> tuple[float, float]:
    """Return when a day (UTC) begins and when the next one does, in Unix seconds."""
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return start.timestamp(), (start + timedelta(days=1)).timestamp()
