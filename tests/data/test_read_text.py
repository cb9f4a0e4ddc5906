from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.errors import DataError
from pipeline.data.read_csv import read_csv
from pipeline.data.read_text import MAX_LINE, read_json
from pipeline.data.rows import BadRow, SourceRow

SCALARS = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab"), inner), max_leaves=4
)
ROWS = st.lists(st.dictionaries(st.text("abcé", min_size=1, max_size=3), VALUES, min_size=1), min_size=2, max_size=6)


def read(path: Path, **options: Any) -> list[SourceRow | BadRow]:
    reader = read_csv if path.suffix in (".csv", ".tsv") else read_json
    return list(reader(path, options.pop("encoding", "utf-8"), **options))


def file(tmp_path: Path, name: str, text: str | bytes) -> Path:
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.slow
@settings(max_examples=25)
@given(rows=ROWS, ascii_only=st.booleans(), ending=st.sampled_from(["\n", "\r\n"]))
def test_every_json_line_is_read(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]], ascii_only: bool, ending: str
) -> None:
    text = "".join(json.dumps(row, ensure_ascii=ascii_only) + ending for row in rows)
    path = file(tmp_path_factory.getbasetemp(), "rows.jsonl", text)
    assert read(path) == [SourceRow(number, row) for number, row in enumerate(rows, start=1)]


@pytest.mark.slow
@settings(max_examples=25)
@given(rows=ROWS, indent=st.sampled_from([None, 2]))
def test_every_item_of_a_json_array_is_read(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]], indent: int | None
) -> None:
    path = file(tmp_path_factory.getbasetemp(), "rows.json", json.dumps(rows, indent=indent))
    assert read(path) == [SourceRow(number, row) for number, row in enumerate(rows, start=1)]


@given(st.lists(st.text(max_size=20) | st.binary(max_size=20).map(lambda raw: raw.decode("latin-1")), max_size=8))
def test_no_line_is_lost_whatever_it_holds(tmp_path_factory: pytest.TempPathFactory, lines: list[str]) -> None:
    kept = [line.replace("\n", " ").replace("\r", " ") for line in lines]
    text = "\n".join(['{"a": 1}', '{"a": 2}', *kept]).encode("utf-8", "surrogatepass")
    rows = read(file(tmp_path_factory.getbasetemp(), "rows.jsonl", text))
    # str.strip and the reader agree on what is an empty line
    decoded = [line.decode("utf-8", "surrogateescape") for line in text.split(b"\n")]
    assert [row.number for row in rows] == [number for number, line in enumerate(decoded, 1) if line.strip()]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"a": 1', "not JSON: expecting ',' delimiter at column 8"),
        ("[1, 2]", "a row is an object with named values, not a list"),
        ('"text"', "a row is an object with named values, not a string"),
        ("null", "a row is an object with named values, not null"),
        ("7", "a row is an object with named values, not a number"),
        ('{"a": NaN}', "not JSON: NaN is not a JSON value"),
        ('{"a": 1, "a": 2}', "not JSON: key 'a' stands twice in one object"),
        ('{"a": "\\ud83d"}', "half of a surrogate pair at character 8"),
        ('{"a": ' + "[" * 100_000, "not JSON: nested too deeply"),
        ('{"a": ' + "[" * 99 + "]" * 99 + "}", None),
        ('{"a": ' + "[" * 100 + "]" * 100 + "}", "not JSON: nested more than 100 levels deep"),
        ("[" * 101 + "]" * 101, "not JSON: nested more than 100 levels deep"),
        ('{"a": ' + "9" * 5000 + "}", "not JSON: Exceeds the limit (4300 digits) for integer string conversion"),
    ],
)
def test_a_bad_line_is_a_bad_row(tmp_path: Path, line: str, reason: str | None) -> None:
    rows = read(file(tmp_path, "rows.jsonl", f'{{"a": 1}}\n\n{line}\n{{"a": 2}}\n'))
    assert [row.number for row in rows] == [1, 3, 4]
    assert isinstance(rows[1], BadRow) == (reason is not None)
    if isinstance(rows[1], BadRow):
        assert rows[1].reason.startswith(str(reason))


def test_a_line_with_invalid_bytes_is_a_bad_row(tmp_path: Path) -> None:
    rows = read(file(tmp_path, "rows.jsonl", b'{"a": "x"}\n{"a": "\xff"}\n'))
    assert [type(row) for row in rows] == [SourceRow, BadRow]
    assert rows[1] == BadRow(2, "not valid UTF-8: byte 0xff at character 8", '{"a": "\udcff"}')


@pytest.mark.parametrize("extra", [0, 1])
def test_a_line_over_the_limit_is_a_bad_row(tmp_path: Path, extra: int) -> None:
    frame = '{"a": ""}'
    line = '{"a": "' + "x" * (MAX_LINE - len(frame) - 1 + extra) + '"}\n'  # MAX_LINE characters with its end
    rows = read(file(tmp_path, "rows.jsonl", '{"a": 1}\n' + line + '{"a": 2}\n'))
    assert [row.number for row in rows] == [1, 2, 3]
    assert isinstance(rows[1], BadRow) == bool(extra)
    if isinstance(rows[1], BadRow):
        assert rows[1].reason == "the line is longer than 10 MB"
        assert len(rows[1].content) == 500


def test_a_wrapped_list_is_unwrapped(tmp_path: Path) -> None:
    rows = [{"a": 1}, {"a": 2}]
    for indent in (None, 1):
        path = file(tmp_path, "rows.json", json.dumps({"data": rows}, indent=indent))
        assert [row.values for row in read(path) if isinstance(row, SourceRow)] == rows


def test_a_lone_conversation_is_a_row(tmp_path: Path) -> None:
    for row in ({"messages": [{"role": "user", "content": "a"}]}, {"x": [{"from": "gpt", "value": "a"}]}):
        for name in ("rows.json", "rows.jsonl"):
            assert read(file(tmp_path, name, json.dumps(row))) == [SourceRow(1, row)]
    assert read(file(tmp_path, "rows.jsonl", '{"data": [{"a": 1}]}')) == [SourceRow(1, {"data": [{"a": 1}]})]


def test_a_json_file_may_hold_lines(tmp_path: Path) -> None:
    assert len(read(file(tmp_path, "rows.json", '{"a": 1}\n{"a": 2}\n'))) == 2
    assert len(read(file(tmp_path, "rows.json", '{"a": 1\n{"a": 2}\n'))) == 2  # the first line is bad


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[{"a": 1},\n {"a": }]', "not JSON: expecting value at line 2 column 8"),
        ('{\n "a": 1,\n "b": 2\n}', "the file holds an object, not a list of rows"),
        ('"text"', "the file holds a string, not a list of rows"),
        ("[" * 200_000, "not JSON: nested too deeply"),
    ],
)
def test_a_json_file_without_rows_is_one_error(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(file(tmp_path, "rows.json", text))


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_marks_at_the_beginning_are_no_part_of_a_name(tmp_path: Path, encoding: str) -> None:
    assert read(file(tmp_path, "a.csv", "a,b\n1,é\n".encode(encoding)), encoding=encoding) == [
        SourceRow(2, {"a": "1", "b": "é"})
    ]
    assert read(file(tmp_path, "a.jsonl", '{"a": 1}\n{"a": "é"}\n'.encode(encoding)), encoding=encoding) == [
        SourceRow(1, {"a": 1}),
        SourceRow(2, {"a": "é"}),
    ]
