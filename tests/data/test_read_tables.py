from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import pytest

from pipeline.core.errors import DataError, SourceError
from pipeline.data.read_tables import count_table_rows, number_rows, read_arrow, read_parquet
from pipeline.data.rows import BadRow, SourceRow

TABLE = pa.table(
    {
        "prompt": ["a", "b", None],
        "messages": [[{"role": "user", "content": "x"}], [], None],
    }
)
ROWS = [
    SourceRow(1, {"prompt": "a", "messages": [{"role": "user", "content": "x"}]}, from_table=True),
    SourceRow(2, {"prompt": "b", "messages": []}, from_table=True),
    SourceRow(3, {"prompt": None, "messages": None}, from_table=True),
]


def test_parquet_rows_are_read(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    pyarrow.parquet.write_table(TABLE, path)
    assert list(read_parquet(path)) == ROWS
    assert count_table_rows(path) == 3


def test_numbers_go_on_over_batches(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    pyarrow.parquet.write_table(pa.table({"a": list(range(2500))}), path)
    assert [(row.number, row.values["a"]) for row in read_parquet(path) if isinstance(row, SourceRow)] == [
        (index + 1, index) for index in range(2500)
    ]


def test_arrow_rows_are_read_in_both_formats(tmp_path: Path) -> None:
    pyarrow.feather.write_feather(TABLE, tmp_path / "rows.feather", compression="uncompressed")
    with pa.OSFile(str(tmp_path / "rows.arrow"), "wb") as sink, pa.ipc.new_stream(sink, TABLE.schema) as writer:
        writer.write_table(TABLE)
    assert list(read_arrow(tmp_path / "rows.feather")) == ROWS
    assert list(read_arrow(tmp_path / "rows.arrow")) == ROWS


@pytest.mark.parametrize(("reader", "kind"), [(read_parquet, "Parquet"), (read_arrow, "Arrow")])
def test_a_damaged_file_is_one_error(tmp_path: Path, reader: object, kind: str) -> None:
    path = tmp_path / "rows.parquet"
    path.write_bytes(b"PAR1 and then something else")
    assert callable(reader)
    with pytest.raises(DataError, match=f"not a readable {kind} file"):
        list(reader(path))


def test_a_cut_parquet_file_is_one_error(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    pyarrow.parquet.write_table(TABLE, path)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match="not a readable Parquet file"):
        count_table_rows(path)


def test_a_missing_file_is_a_source_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="cannot be read"):
        list(read_parquet(tmp_path / "rows.parquet"))


def test_half_a_surrogate_pair_is_a_bad_row() -> None:
    (row,) = number_rows(iter([{"a": "x\ud83d"}]))
    assert row == BadRow(1, "column 'a' is half of a surrogate pair at character 2")
