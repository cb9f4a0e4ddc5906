from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.context import CallContext
from pipeline.core.errors import DataError
from pipeline.data.load import check_bad_rows, load_source
from schemas.base import Reference
from schemas.data import BadRows, DataOptions
from tests.data.support import pairs, write_rows

ROW = st.fixed_dictionaries(
    {}, optional={"prompt": st.text("ab ") | st.none() | st.integers(), "completion": st.text("ab ")}
)


def load(path: Path, **options: Any) -> Any:
    return load_source(Reference(location=str(path)), "train", DataOptions.model_validate(options), CallContext())


@settings(max_examples=50)
@given(st.lists(ROW, max_size=8))
def test_every_row_is_a_draft_or_bad(tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]]) -> None:
    path = write_rows(tmp_path_factory.getbasetemp() / "load.jsonl", [*pairs(1), *rows])
    loaded = load(path)
    assert loaded.read == len(rows) + 1
    assert sorted([row.row for row in loaded.drafts] + [row.number for row in loaded.bad]) == list(
        range(1, len(rows) + 2)
    )
    assert all(row.reason for row in loaded.bad)


def test_all_bad_rows_are_reported_at_once(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [*pairs(30), *[{"prompt": "x"}] * 25]
    path = write_rows(tmp_path / "rows.jsonl", rows)
    with pytest.raises(DataError) as caught:
        check_bad_rows([load(path)], BadRows())
    error = caught.value
    assert error.where == str(path)
    assert error.message.startswith("25 of 55 rows cannot be used: row 31: column 'completion' is missing; row 32:")
    assert "row 50:" in error.message
    assert "row 51:" not in error.message
    assert error.message.endswith("; and 5 more")
    assert error.detail is not None
    assert len(error.detail.splitlines()) == 25
    assert error.fix == "correct them, or set data.bad_rows.action to drop"


def test_bad_rows_of_all_files_are_reported_together(tmp_path: Path) -> None:
    loaded = [
        load(write_rows(tmp_path / f"{name}.jsonl", [*pairs(3), {"prompt": "x" * 9, "completion": number}]))
        for number, name in enumerate(("train", "test"))
    ]
    with pytest.raises(DataError) as caught:
        check_bad_rows(loaded, BadRows())
    reason = "1 of 4 rows cannot be used: row 4: column 'completion' is a number, not a string"
    assert caught.value.message == f"{reason}; {tmp_path / 'test.jsonl'}: {reason}"
    assert caught.value.where == str(tmp_path / "train.jsonl")


def test_a_long_reason_is_cut_in_the_message(tmp_path: Path) -> None:
    chat = [{"role": "x" * 5000, "content": "a"}]
    with pytest.raises(DataError) as caught:
        check_bad_rows([load(write_rows(tmp_path / "rows.jsonl", [{"messages": chat}]))], BadRows())
    assert len(caught.value.message) < 400


@pytest.mark.parametrize(("cap", "stops"), [(0.2, False), (0.19, True), (0.0, True)])
def test_bad_rows_may_be_dropped_up_to_the_cap(tmp_path: Path, cap: float, stops: bool) -> None:
    loaded = load(write_rows(tmp_path / "rows.jsonl", [*pairs(8), {"prompt": 1}, {"prompt": 2}]))
    if not stops:
        check_bad_rows([loaded], BadRows(action="drop", cap=cap))
        return
    with pytest.raises(DataError, match=rf"2 of 10 rows cannot be used, over the cap of {cap:.1%}"):
        check_bad_rows([loaded], BadRows(action="drop", cap=cap))


def test_no_good_row_is_an_error_under_any_cap(tmp_path: Path) -> None:
    loaded = load(write_rows(tmp_path / "rows.jsonl", [{"prompt": "", "completion": "x"}]))
    with pytest.raises(DataError, match="1 of 1 rows cannot be used"):
        check_bad_rows([loaded], BadRows(action="drop", cap=1.0))


def test_a_file_of_the_wrong_kind_is_one_error(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("prompt,completion\na,b\n")
    with pytest.raises(DataError, match="none of the first 2 rows can be read: row 1: not JSON"):
        load(path)


def test_white_space_is_no_row(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("\n  \n")
    with pytest.raises(DataError, match="the file holds no rows"):
        load(path)
