"""Split files: one `Example` per line of JSON, read and written the same way by every stage."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from pathlib import Path

from pydantic import ValidationError

from pipeline.core.errors import IntegrityError
from schemas.data import Example


def read_examples(path: Path, limit: int | None = None) -> list[Example]:
    """Return the examples of a split file, or its first ``limit``, in file order.

    Raises:
        IntegrityError: the file is missing, or a line is not an example.
    """
    examples = []
    try:
        with path.open("rb") as stream:
            for line in islice(stream, limit):
                examples.append(Example.model_validate_json(line))  # noqa: PERF401 - the message counts what was read
    except FileNotFoundError:
        raise IntegrityError(
            "the split file is missing", where=str(path), fix="run with --fresh data to make it again"
        ) from None
    except ValidationError as error:
        raise IntegrityError(
            f"line {len(examples) + 1} is not an example: {error.errors()[0]['msg']}",
            where=str(path),
            fix="run with --fresh data to make it again",
        ) from error
    return examples


def write_examples(path: Path, examples: Iterable[Example]) -> None:
    """Write a split file: UTF-8, one example per line, ``\\n`` endings, fields without a value left out."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="\n") as stream:
        for example in examples:
            stream.write(example_line(example))


def example_line(example: Example) -> str:
    """Return the line that stands for ``example``, with its line end."""
    empty = {name for name in ("messages", "chosen", "rejected") if not getattr(example, name)}
    return example.model_dump_json(exclude_none=True, exclude=empty) + "\n"
