from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.context import CallContext
from pipeline.core.errors import DataError, SourceError
from pipeline.plan.raw_rows import LONGEST, SAMPLE, RawRows, look_at
from schemas.base import Reference

ROWS = [{"text": f"row {number}", "label": "a\nb" if number % 2 else "c"} for number in range(1200)]


def look(path: Path) -> RawRows:
    return look_at(Reference(location=str(path)), CallContext())


def write_jsonl(path: Path, rows: list[dict[str, str]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def write_csv(path: Path, delimiter: str = ",") -> Path:
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, ["text", "label"], delimiter=delimiter)
        writer.writeheader()
        writer.writerows(ROWS)
    return path


def test_every_format_gives_the_same_rows(tmp_path: Path) -> None:
    import pyarrow as pa
    from pyarrow import feather, parquet

    table = pa.Table.from_pylist(ROWS)
    parquet.write_table(table, tmp_path / "a.parquet")
    feather.write_feather(table, str(tmp_path / "a.arrow"), compression="uncompressed")
    (tmp_path / "a.json").write_text(json.dumps(ROWS))
    (tmp_path / "wrapped.json").write_text(json.dumps({"data": ROWS}, indent=1))
    paths = [
        write_jsonl(tmp_path / "a.jsonl", ROWS),
        write_csv(tmp_path / "a.csv"),
        write_csv(tmp_path / "b.csv", ";"),
        write_csv(tmp_path / "a.tsv", "\t"),
        tmp_path / "a.json",
        tmp_path / "wrapped.json",
        tmp_path / "a.parquet",
        tmp_path / "a.arrow",
    ]
    for path in paths:
        found = look(path)
        assert found.count == 1200, path
        # 1200 rows, every third: 400 of at most 500.
        assert [row["text"] for row in found.sample] == [f"row {number}" for number in range(0, 1200, 3)], path
        assert len(found.sample) <= SAMPLE


def test_the_longest_rows_are_those_of_all(tmp_path: Path) -> None:
    rows = [{"text": "x" * (number * 7 % 1201), "label": "a"} for number in range(1201)]
    path = write_jsonl(tmp_path / "a.jsonl", rows)
    found = look_at(Reference(location=str(path)), CallContext(), size=lambda row: len(row["text"]))
    assert [len(row["text"]) for row in found.longest] == list(range(1200, 1200 - LONGEST, -1))


def test_a_folder_is_read_by_the_names_of_its_files(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "data" / "train-0.jsonl", ROWS[:10])
    write_jsonl(tmp_path / "data" / "train-1.jsonl", ROWS[10:15])
    write_jsonl(tmp_path / "data" / "test.jsonl", ROWS[:3])
    assert look(tmp_path / "data").count == 15
    assert look_at(Reference(location=str(tmp_path / "data")), CallContext(), ("test",)).count == 3


def test_rows_that_cannot_be_read_are_left_to_the_data_stage(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"text": "good"}\n\xff\xfe broken\n[1, 2]\n\n{"text": "good too"}\n')
    found = look(path)
    assert found.count == 4
    assert [row["text"] for row in found.sample] == ["good", "good too"]


def test_rows_with_half_of_a_surrogate_pair_are_left_to_the_data_stage(tmp_path: Path) -> None:
    lines = ['{"prompt": "a\\ud800", "completion": "x"}', '{"prompt": "\\ud83d\\ude00", "completion": "x"}']
    (tmp_path / "rows.jsonl").write_text("\n".join(lines))
    (tmp_path / "rows.json").write_text(f"[{', '.join(lines)}]")
    for name in ("rows.jsonl", "rows.json"):
        found = look(tmp_path / name)
        assert (found.count, [row["prompt"] for row in found.sample]) == (2, ["\U0001f600"])


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"])
@pytest.mark.parametrize("suffix", ["jsonl", "json", "csv"])
def test_a_file_is_read_in_its_encoding(tmp_path: Path, encoding: str, suffix: str) -> None:
    rows = [
        {"text": f"Überweisung für das Café fällt später an, Nummer {number}", "label": "é"} for number in range(30)
    ]
    as_json = [json.dumps(row, ensure_ascii=False) for row in rows]
    text = {
        "jsonl": "\n".join(as_json),
        "json": f"[{', '.join(as_json)}]",
        "csv": "text,label\n" + "".join(f'"{row["text"]}",{row["label"]}\n' for row in rows),
    }[suffix]
    (tmp_path / f"rows.{suffix}").write_bytes(text.encode(encoding))
    found = look(tmp_path / f"rows.{suffix}")
    assert (found.count, list(found.sample)) == (30, rows)


def test_a_single_byte_encoding_needs_no_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "charset_normalizer", None)
    (tmp_path / "rows.csv").write_bytes("text,label\nCafé,a\nTee,b\n".encode("cp1252"))
    assert [row["text"] for row in look(tmp_path / "rows.csv").sample] == ["Caf\ufffd", "Tee"]


def test_a_cell_with_invalid_bytes_is_left_to_the_data_stage(tmp_path: Path) -> None:
    good = "".join(f"größer {number},a\n" for number in range(20)).encode()
    (tmp_path / "rows.csv").write_bytes(b"text,label\nbroken \xff,a\n" + good)
    found = look(tmp_path / "rows.csv")
    assert (found.count, [row["text"] for row in found.sample]) == (21, [f"größer {number}" for number in range(20)])


def test_a_file_that_is_cut_in_a_character_is_named(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_bytes('{"text": "a"}\n'.encode("utf-16") + b"\x41")
    with pytest.raises(DataError, match=r"rows\.jsonl: not valid utf-16"):
        look(tmp_path / "rows.jsonl")


def test_a_missing_and_an_empty_file_are_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"none\.jsonl: no such file"):
        look(tmp_path / "none.jsonl")
    (tmp_path / "empty.jsonl").write_text("\n\n")
    with pytest.raises(DataError, match=r"empty\.jsonl: there are no rows"):
        look(tmp_path / "empty.jsonl")
    (tmp_path / "head.csv").write_text("text,label\n")
    with pytest.raises(DataError, match="there are no rows"):
        look(tmp_path / "head.csv")
    (tmp_path / "broken.parquet").write_text("no table")
    with pytest.raises(DataError, match=r"broken\.parquet: not a readable table"):
        look(tmp_path / "broken.parquet")


@given(
    st.lists(
        st.dictionaries(st.text(max_size=5), st.text(max_size=20), min_size=1, max_size=3), min_size=1, max_size=40
    )
)
def test_jsonl_rows_come_back_as_they_were(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, str]]
) -> None:
    path = tmp_path_factory.mktemp("rows") / "a.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = look(path)
    assert found.count == len(rows)
    assert list(found.sample) == rows
