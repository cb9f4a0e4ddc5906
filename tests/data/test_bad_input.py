"""Bad input ends in one clear error: of the right kind, naming file, row or key, and saying what to do."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.core.errors import ConfigError, DataError, HoneError, SourceError
from tests.data.support import pairs, run_stage, sentence, write_rows

GOOD = pairs(12)
LABELED = [{"text": sentence(index), "label": f"l{index % 3}"} for index in range(12)]


def text(content: str | bytes, name: str = "rows.jsonl") -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        path = folder / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def rows(*more: object, first: list[dict[str, str]] = GOOD) -> Callable[[Path], Path]:
    return lambda folder: write_rows(folder / "rows.jsonl", [*first, *more])


def lines(*more: bytes) -> Callable[[Path], Path]:
    return text(b"".join(json.dumps(row).encode() + b"\n" for row in GOOD) + b"".join(line + b"\n" for line in more))


def unreadable(folder: Path) -> Path:
    path = write_rows(folder / "rows.jsonl", GOOD)
    path.chmod(0)
    return path


BAD: dict[str, tuple[Callable[[Path], Path], dict[str, Any], type[HoneError], str]] = {
    "empty file": (text(""), {}, DataError, "the file is empty"),
    "only white space": (text("\n \n"), {}, DataError, "the file holds no rows"),
    "header only": (text("prompt,completion\n", "rows.csv"), {}, DataError, "the file holds no rows"),
    "wrong columns": (rows(first=[{"promt": "a", "respnse": "b"}]), {}, DataError, "'promt' looks like 'prompt'"),
    "no such column": (rows(), {"columns": {"prompt": "qestion"}}, ConfigError, "no column 'qestion'"),
    "invalid UTF-8": (
        lines(b'{"prompt": "\xff", "completion": "b"}'),
        {},
        DataError,
        "row 13: not valid UTF-8: byte 0xff",
    ),
    "line over 10 MB": (
        lines(b'{"prompt": "' + b"x" * 10_000_000 + b'", "completion": "b"}'),
        {},
        DataError,
        "row 13: the line is longer than 10 MB",
    ),
    "not JSON": (lines(b'{"prompt": "a"'), {}, DataError, "row 13: not JSON: expecting ',' delimiter at column 15"),
    "array cut short": (text('[{"prompt": "a"', "rows.json"), {}, DataError, "not JSON: .* at line 1 column 16"),
    "unknown template variable": (
        rows(),
        {"prompt_template": "{{ promt }}"},
        ConfigError,
        "data.prompt_template: the template names 'promt', which is no column .did you mean 'prompt'",
    ),
    "broken template": (rows(), {"prompt_template": "{{ prompt "}, ConfigError, "data.prompt_template: not a template"),
    "label with one row": (
        rows({"text": sentence(50), "label": "rare"}, first=LABELED),
        {},
        DataError,
        "label 'rare' has one row",
    ),
    "all rows identical": (rows(first=[GOOD[0]] * 9), {}, DataError, "all 9 rows are identical"),
    "one row": (rows(first=GOOD[:1]), {}, DataError, "too few different rows for a test split: 1"),
    "missing path": (lambda folder: folder / "rows.jsonl", {}, SourceError, "no such file or folder"),
    "missing folder": (lambda folder: folder / "a" / "b.csv", {}, SourceError, "no such file or folder"),
    "empty folder": (lambda folder: folder, {}, SourceError, "the folder holds no data files"),
    "unknown ending": (text("a", "rows.docx"), {}, ConfigError, "files with the ending '.docx' are not read"),
    "binary file": (text(bytes(range(256)) * 9), {}, DataError, "this is not a text file"),
    "damaged Parquet": (text(b"PAR1xxxxPAR1", "rows.parquet"), {}, DataError, "not a readable Parquet file"),
    "unknown role": (
        rows(first=[{"messages": [{"role": "bot", "content": "a"}]}]),  # type: ignore[dict-item]
        {},
        DataError,
        "row 1: turn 1 has the unknown role 'bot'",
    ),
    "empty answer": (rows({"prompt": "a", "completion": " "}), {}, DataError, "row 13: column 'completion' is empty"),
    "wrong type": (
        rows({"prompt": ["a"], "completion": "b"}),
        {},
        DataError,
        "row 13: turn 1 is a string, not an object",
    ),
    "value missing": (rows({"prompt": "a"}), {}, DataError, "row 13: column 'completion' is missing"),
    "undeclared label": (rows(first=LABELED), {"labels": ["l0", "l1"]}, DataError, "row 3: 'l2' is no declared label"),
    "no group column": (rows(), {"split": {"by": "group"}}, ConfigError, "splitting by group needs a group column"),
    "no labels to stratify": (
        rows(),
        {"split": {"by": "stratified"}},
        ConfigError,
        "rows have no labels to stratify by",
    ),
    "everything contradicts": (
        rows(first=[{"prompt": "a b c", "completion": f"{index}"} for index in range(5)]),
        {},
        DataError,
        "no row is left to train on",
    ),
    "quote left open": (
        text("prompt,completion\n" + "a,b\n" * 3 + 'c,"d\n' + "e,f\n" * 3, "rows.csv"),
        {},
        DataError,
        "row 5: not CSV: unexpected end of data",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_clear_error(tmp_path: Path, name: str) -> None:
    make, options, kind, message = BAD[name]
    with pytest.raises(kind, match=message) as caught:
        run_stage(tmp_path, make(tmp_path), **options)
    error = caught.value
    assert type(error) is kind
    assert error.where
    assert error.fix
    assert len(error.message) < 3000
    assert "\udcff" not in str(error)
    str(error).encode()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_file_that_may_not_be_read_is_one_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="cannot be read: Permission denied"):
        run_stage(tmp_path, unreadable(tmp_path))


def test_the_cause_is_kept_out_of_the_message(tmp_path: Path) -> None:
    """The record that crosses processes holds no traceback."""
    with pytest.raises(DataError) as caught:
        run_stage(tmp_path, text("[1, 2", "rows.json")(tmp_path))
    assert "Traceback" not in caught.value.record().model_dump_json()
