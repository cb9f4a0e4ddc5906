from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest

from pipeline.core.context import CallContext
from pipeline.core.digests import DigestCache
from pipeline.core.errors import ConfigError, DataError, HoneError, IntegrityError, SourceError
from pipeline.data.rows import BadRow, SourceRow
from pipeline.data.sources import Source, open_source
from schemas.base import Reference
from schemas.data import Split
from schemas.events import Event
from tests.data.support import pairs, run_stage, write_rows

ROWS = pairs(3)


def opened(path: Path | str, role: Split = "train", events: list[Event] | None = None) -> Source:
    context = CallContext(sink=events.append) if events is not None else CallContext()
    return open_source(Reference(location=str(path)), role, context)


def values(source: Source) -> list[object]:
    return [row.values for row in source.rows if isinstance(row, SourceRow)]


def write_all_kinds(folder: Path) -> list[Path]:
    columns = {name: [row[name] for row in ROWS] for name in ("prompt", "completion")}
    paths = [folder / f"rows.{ending}" for ending in ("csv", "tsv", "json", "jsonl", "ndjson", "parquet")]
    for path, mark in zip(paths[:2], ",\t", strict=True):
        lines = [mark.join(columns), *(mark.join(row.values()) for row in ROWS)]
        path.write_text("\n".join(lines) + "\n")
    paths[2].write_text(json.dumps(ROWS))
    write_rows(paths[3], ROWS)
    write_rows(paths[4], ROWS)
    pyarrow.parquet.write_table(pa.table(columns), paths[5])
    return paths


def test_every_kind_of_file_holds_the_same_rows(tmp_path: Path) -> None:
    for path in write_all_kinds(tmp_path):
        assert values(opened(path)) == ROWS, path


def test_progress_ends_at_the_total(tmp_path: Path) -> None:
    for path in write_all_kinds(tmp_path):
        events: list[Event] = []
        list(opened(path, events=events).rows)
        bar = [event.data for event in events if event.kind == "progress"]
        assert {step["label"] for step in bar} == {"reading train"}
        assert bar[-1]["done"] == bar[-1]["total"], path


def test_another_encoding_is_told(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes("prompt,completion\nWo ist der Schlüssel?,dort\n".encode("latin-1"))
    events: list[Event] = []
    source = opened(path, events=events)
    assert values(source) == [{"prompt": "Wo ist der Schlüssel?", "completion": "dort"}]
    assert source.encoding == "cp1252"
    assert [event.message for event in events if event.kind == "warning"] == ["rows.csv is not UTF-8: read as cp1252"]


def test_a_folder_of_files_is_read_by_split(tmp_path: Path) -> None:
    write_rows(tmp_path / "data" / "train-00000-of-00002.jsonl", ROWS[:2])
    write_rows(tmp_path / "data" / "train-00001-of-00002.jsonl", ROWS[2:])
    write_rows(tmp_path / "data" / "dev.jsonl", ROWS[:1])
    (tmp_path / "README.md").write_text("about")
    (tmp_path / ".cache").mkdir()
    write_rows(tmp_path / ".cache" / "train.jsonl", ROWS)
    source = opened(tmp_path)
    assert list(source.rows) == [SourceRow(number, row) for number, row in enumerate(ROWS, start=1)]
    assert values(opened(tmp_path, "validation")) == ROWS[:1]
    with pytest.raises(DataError, match=r"no file of the test split; there are 'dev.jsonl', 'train-0"):
        opened(tmp_path, "test")


def test_what_of_a_folder_is_not_read_is_told(tmp_path: Path) -> None:
    write_rows(tmp_path / "sets" / "train.jsonl", pairs(12))
    write_rows(tmp_path / "sets" / "test.jsonl", pairs(3))
    write_rows(tmp_path / "sets" / "more.jsonl", ROWS)
    outcome = run_stage(tmp_path, tmp_path / "sets")
    assert outcome.artifact.read == 12
    assert outcome.warnings == [
        "sets: 'more.jsonl' name no split and are not read",
        f"train is read of {tmp_path / 'sets'}; test there is not: name it in data.test_path to use it",
    ]
    both = run_stage(tmp_path, tmp_path / "sets", test=tmp_path / "sets")
    assert both.artifact.rows["test"] == 3
    assert not any("data.test_path" in warning for warning in both.warnings)


def test_a_folder_without_split_names_is_read_whole(tmp_path: Path) -> None:
    write_rows(tmp_path / "a.jsonl", ROWS[:1])
    (tmp_path / "b.jsonl").write_text(json.dumps(ROWS[1]) + "\nnot json\n")
    rows = list(opened(tmp_path).rows)
    assert [row.number for row in rows] == [1, 2, 3]
    assert isinstance(rows[2], BadRow)
    assert rows[2].reason.startswith("b.jsonl row 2: not JSON")


def test_a_folder_of_several_kinds_or_of_none_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="the folder holds no data files"):
        opened(tmp_path)
    write_rows(tmp_path / "a.jsonl", ROWS)
    (tmp_path / "b.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match=r"files of several kinds: 'a.jsonl', 'b.csv'"):
        opened(tmp_path)


def test_a_saved_data_set_is_read(tmp_path: Path) -> None:
    from datasets import Dataset, DatasetDict

    parts = {"train": Dataset.from_list(ROWS[:2]), "test": Dataset.from_list(ROWS[2:])}
    DatasetDict(parts).save_to_disk(str(tmp_path / "saved"))
    assert values(opened(tmp_path / "saved")) == ROWS[:2]
    assert values(opened(tmp_path / "saved", "test")) == ROWS[2:]


def test_a_lone_split_of_another_name_is_told(tmp_path: Path) -> None:
    from datasets import Dataset, DatasetDict

    DatasetDict({"everything": Dataset.from_list(ROWS)}).save_to_disk(str(tmp_path / "saved"))
    events: list[Event] = []
    assert values(opened(tmp_path / "saved", events=events)) == ROWS
    assert "has the one split everything, which is used for train" in next(
        event.message for event in events if event.kind == "warning"
    )


@pytest.mark.parametrize(
    ("location", "error", "message"),
    [
        ("rows.jsnol", SourceError, "no such file or folder .did you mean 'rows.jsonl'"),
        ("no/where.jsonl", SourceError, "no such file or folder"),
        ("rows.xlsx", ConfigError, "files with the ending '.xlsx' are not read"),
        ("rows", ConfigError, "a file without an ending is not read"),
        ("https://example.org/rows.jsonl", ConfigError, "addresses are not read by the data stage"),
        ("empty.jsonl", DataError, "the file is empty"),
        ("empty.parquet", DataError, "not a readable Parquet file"),
    ],
)
def test_what_cannot_be_opened_is_one_error(
    tmp_path: Path, location: str, error: type[HoneError], message: str
) -> None:
    write_rows(tmp_path / "rows.jsonl", ROWS)
    for name in ("rows.xlsx", "rows", "empty.jsonl", "empty.parquet"):
        (tmp_path / name).write_text("" if name.startswith("empty") else "x")
    with pytest.raises(error, match=message) as caught:
        opened(location if "://" in location else tmp_path / location)
    assert caught.value.where
    assert caught.value.fix


def test_a_hub_name_without_network_is_one_error() -> None:
    with pytest.raises(SourceError, match=r"some-org/some-set: no such data set .* cannot be reached"):
        opened("some-org/some-set")


def test_a_file_that_changed_since_it_was_resolved_is_an_error(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "rows.jsonl", ROWS)
    reference = Reference(location=str(path), digest=DigestCache(None).digest(path))
    assert values(open_source(reference, "train", CallContext())) == ROWS
    write_rows(path, ROWS[:2])
    with pytest.raises(IntegrityError, match="changed since the run began"):
        open_source(reference, "train", CallContext())


def test_text_that_is_cut_in_a_character_is_one_error(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes('{"prompt": "a", "completion": "b"}\n'.encode("utf-16")[:-3])
    with pytest.raises(DataError, match="not valid utf-16: truncated data"):
        list(opened(path).rows)


def test_a_commit_means_the_hub_whatever_lies_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_rows(tmp_path / "org" / "name" / "train.jsonl", ROWS)
    monkeypatch.chdir(tmp_path)
    reference = Reference(location="org/name", digest="0" * 40)
    with pytest.raises(SourceError, match="org/name: a folder of this name hides the Hub's data set"):
        open_source(reference, "train", CallContext())
