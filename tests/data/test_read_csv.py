from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.errors import DataError
from pipeline.data.read_csv import read_csv
from pipeline.data.read_text import MAX_LINE
from pipeline.data.rows import BadRow, SourceRow

TEXT = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
ONE_LINE = st.text(TEXT.filter(lambda letter: letter not in "\r\n"), max_size=8)
LINES = st.text(TEXT.filter(lambda letter: letter not in ",;\t|"), max_size=8)
"""Cells of several lines hold no delimiter here: a line that has the header's width by itself is taken for a row."""


def read(path: Path, delimiter: str | None = None) -> list[SourceRow | BadRow]:
    return list(read_csv(path, "utf-8", delimiter))


def file(tmp_path: Path, name: str, text: str | bytes) -> Path:
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@given(
    st.lists(st.tuples(ONE_LINE | LINES, ONE_LINE | LINES), min_size=1, max_size=6),
    st.sampled_from([",", ";", "\t", "|"]),
)
def test_every_csv_row_is_read(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]], delimiter: str
) -> None:
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, delimiter=delimiter, quoting=csv.QUOTE_ALL)
    writer.writerows([("prompt", "completion"), *rows])
    path = file(tmp_path_factory.getbasetemp(), "rows.csv", stream.getvalue())
    read_back = read(path)
    assert [row.values for row in read_back if isinstance(row, SourceRow)] == [
        {"prompt": prompt, "completion": completion} for prompt, completion in rows
    ]
    numbers = [row.number for row in read_back]
    assert numbers == sorted(set(numbers))


def test_csv_rows_are_numbered_by_line(tmp_path: Path) -> None:
    rows = read(file(tmp_path, "rows.csv", 'a,b\n1,"two\nlines"\n\n3,4\n'))
    assert rows == [SourceRow(2, {"a": "1", "b": "two\nlines"}), SourceRow(5, {"a": "3", "b": "4"})]


@pytest.mark.parametrize(
    ("body", "number", "reason"),
    [
        ("1,2\n1,2,3\n", 3, "3 cells where the header names 2 columns"),
        ("1\n", 2, "1 cells where the header names 2 columns"),
        ('1,2\n"1"x,2\n', 3, "not CSV: ',' expected after '\"'"),
        ('1,2\n1,"2\n3,4\n', 3, "not CSV: unexpected end of data"),
        ("1," + "x" * (MAX_LINE + 1) + "\n", 2, "not CSV: field larger than field limit (10000000)"),
    ],
)
def test_a_bad_csv_row_is_named(tmp_path: Path, body: str, number: int, reason: str) -> None:
    (bad,) = [row for row in read(file(tmp_path, "rows.csv", "a,b\n" + body)) if isinstance(row, BadRow)]
    assert (bad.number, bad.reason) == (number, reason)


def test_a_csv_cell_with_invalid_bytes_is_named(tmp_path: Path) -> None:
    (bad,) = read(file(tmp_path, "rows.csv", b"a,b\n1,\xff\n"))
    assert isinstance(bad, BadRow)
    assert bad.reason == "column 'b' is not valid UTF-8: byte 0xff at character 1"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,,c\n1,2,3\n", "column 2 has no name"),
        ("a,a\n1,2\n", "two columns are named 'a'"),
        ('"a\n1,2\n', "the file has no header line"),
    ],
)
def test_a_bad_header_is_one_error(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(file(tmp_path, "rows.csv", text))


def test_a_tsv_splits_at_tabs_only(tmp_path: Path) -> None:
    rows = read(file(tmp_path, "rows.tsv", "a,1\tb\nx\ty\n"), delimiter="\t")
    assert rows == [SourceRow(2, {"a,1": "x", "b": "y"})]


def covered(rows: list[SourceRow | BadRow]) -> list[int]:
    """Return the lines that rows stand for: a good row's cells say over how many it runs."""
    lines = []
    for row in rows:
        more = sum(cell.count("\n") for cell in row.values.values()) if isinstance(row, SourceRow) else 0
        lines += range(row.number, row.number + 1 + more)
    return lines


@given(st.text('x ,"\n', max_size=60))
def test_every_line_is_a_row_or_a_bad_row(tmp_path_factory: pytest.TempPathFactory, body: str) -> None:
    rows = read(file(tmp_path_factory.getbasetemp(), "lines.csv", "a,b\n" + body))
    lines = covered(rows)
    assert lines == sorted(set(lines))
    every = ("a,b\n" + body).splitlines()
    assert {number for number, line in enumerate(every, start=1) if line} - {1} <= set(lines)
    assert all(number <= len(every) for number in lines)


ROWS = [f"where is parcel {number},late" for number in range(200)]


@given(first=st.integers(0, 199), length=st.integers(3, 200))
def test_a_stray_quote_swallows_no_row(tmp_path_factory: pytest.TempPathFactory, first: int, length: int) -> None:
    """Two stray quotes make one record of all rows from the first to the last, with the header's width."""
    last = min(first + length, 200) - 1
    rows = [
        f'"{row}' if place == first else row.replace(",", '",') if place == last else row
        for place, row in enumerate(ROWS)
    ]
    found = read(file(tmp_path_factory.getbasetemp(), "stray.csv", "\n".join(["text,label", *rows])))
    assert covered(found) == list(range(2, 202))
    good = [row.number for row in found if isinstance(row, SourceRow)]
    if last - first >= 2:
        assert good == [place + 2 for place in range(200) if not first <= place <= last]


def test_the_lines_of_a_swallowed_record_are_bad_rows_each(tmp_path: Path) -> None:
    rows = read(file(tmp_path, "rows.csv", 'a,b\n1,2\n"3,4\n5,6\n\n7",8\n9,10\n'))
    assert [(row.number, isinstance(row, BadRow)) for row in rows] == [
        (2, False), (3, True), (4, True), (6, True), (7, False),
    ]  # fmt: skip
    first, second, _ = [row for row in rows if isinstance(row, BadRow)]
    assert first.reason == (
        "a quote opens a cell that runs to line 6, over lines that read as rows of 2 cells each; "
        "close or remove the quote (a text that holds such lines is safe in JSONL)"
    )
    assert (second.reason, second.content) == ("belongs to the cell that a quote in line 3 opens", "5,6\n")


def test_reading_goes_on_behind_the_line_of_an_open_quote(tmp_path: Path) -> None:
    rows = read(file(tmp_path, "rows.csv", 'a,b\n1,2\n3,"4\n5,6\n7,"8"\n9,"10\n11,12\n'))
    assert [(row.number, isinstance(row, BadRow)) for row in rows] == [
        (2, False), (3, True), (4, False), (5, False), (6, True), (7, False),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "cell",
    [
        "two\nlines",
        "Dear team,\nthanks, all is well\n\nBob",
        "yes, really\nno, really\nwell",
        "a list:\n- one, two, three\n- four\nend",
        "Dear team,\nplease refund 1,200 dollars\nthanks",
        "Hello\nplease refund 1,200 dollars\n\nor 1,300",
        "call f(a,b)\nor g(a,b)\n[1,2]\n{1,2}\nwhatever fits",
    ],
)
def test_a_letter_over_several_lines_is_one_cell(tmp_path: Path, cell: str) -> None:
    rows = read(file(tmp_path, "rows.csv", f'text,label\n"{cell}",letter\nx,y\n'))
    assert [row.values for row in rows if isinstance(row, SourceRow)] == [
        {"text": cell, "label": "letter"},
        {"text": "x", "label": "y"},
    ]
    assert len(rows) == 2


def test_a_letter_in_the_last_column_is_one_cell(tmp_path: Path) -> None:
    for cell in ("Hello\nplease refund 1,200 dollars\nthanks", "Hello\nrefund 1,200 dollars\nthanks, Bob"):
        rows = read(file(tmp_path, "rows.csv", f'label,text\nletter,"{cell}"\nx,y\n'))
        assert rows[0] == SourceRow(2, {"label": "letter", "text": cell})
        assert len(rows) == 2


def test_odd_rows_among_many_hide_no_stray_quote(tmp_path: Path) -> None:
    odd = {50: "no label,", 90: "one, two,late", 120: "a row without a label"}
    rows = [odd.get(place, row) for place, row in enumerate(ROWS)]
    text = "\n".join(["text,label", f'"{rows[0]}', *rows[1:-1], rows[-1].replace(",", '",')])
    found = read(file(tmp_path, "rows.csv", text))
    assert [row.number for row in found if isinstance(row, BadRow)] == list(range(2, 202))


def test_rows_with_spaces_behind_their_delimiters_are_rows_where_there_are_several(tmp_path: Path) -> None:
    rows = read(file(tmp_path, "rows.csv", 'a,b\n"1, 2\n3, 4\n5, 6\n7, 8\n9",10\n'))
    assert [row.number for row in rows if isinstance(row, BadRow)] == [2, 3, 4, 5, 6]


def test_a_record_of_another_width_is_a_bad_row_for_each_of_its_lines(tmp_path: Path) -> None:
    rows = read(file(tmp_path, "rows.csv", 'a,b\n"1\nx"\n3,4\n'))
    assert [(row.number, isinstance(row, BadRow)) for row in rows] == [(2, True), (3, True), (4, False)]
