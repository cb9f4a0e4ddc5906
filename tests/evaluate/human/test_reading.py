from __future__ import annotations

import contextlib
import csv
import io
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.errors import DataError, HoneError, SourceError
from pipeline.evaluate.human.reading import answer_files, check_answers, read_raw, sheet_of
from pipeline.evaluate.human.writing import sheet_files, write_sheets
from pipeline.evaluate.judge.pairs import Pair
from schemas.human import SheetItem, SheetKey
from tests.evaluate.human.test_figures import PAIRS, sheet

KEY = sheet(PAIRS[:4])
RATED = sheet(PAIRS[:4], "rating")
CODES = [item.code for item in KEY.items]


def write(path: Path, rows: list[dict[str, str]], delimiter: str = ",") -> Path:
    with path.open("w", encoding="utf-8-sig", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)
    return path


def rows(*values: str) -> list[dict[str, str]]:
    return [{"item": code, "preference": value} for code, value in zip(CODES, values, strict=False)]


def test_sheets_of_several_people_however_they_were_saved(tmp_path: Path) -> None:
    write(tmp_path / "pairwise.anna.csv", rows("A", "b", "Tie", ""))
    write(tmp_path / "pairwise.ben.csv", rows("A", " B ", "tie", "A"), ";")
    both = [{**row, "annotator": who} for who in ("cara", "dan") for row in rows("B", "B")]
    write(tmp_path / "together.csv", both, "\t")
    (tmp_path / "adjudication-pairwise.csv").write_text("item,preference\n")
    found = check_answers(read_raw(answer_files([tmp_path])), KEY)
    assert found.annotators == ("anna", "ben", "cara", "dan")
    assert found.given[CODES[0]] == {"anna": "A", "ben": "A", "cara": "B", "dan": "B"}
    assert found.given[CODES[3]] == {"ben": "A"}
    assert sheet_of(read_raw(answer_files([tmp_path]))) == KEY.sheet


def test_every_wrong_row_is_named_at_once(tmp_path: Path) -> None:
    bad = [
        *rows("A", "better"),
        {"item": CODES[0], "preference": "B"},
        {"item": CODES[0][:-1] + "9", "preference": "A"},
    ]
    path = write(tmp_path / "anna.csv", bad)
    with pytest.raises(DataError) as error:
        check_answers(read_raw([path]), KEY)
    assert "3 rows are wrong" in str(error.value) and error.value.detail is not None
    first, second, third = error.value.detail.splitlines()
    assert first == "anna.csv, line 3: 'better' is no preference; write A, B or tie"
    assert second == f"anna.csv, line 4: anna has answered {CODES[0]} before, in anna.csv, line 2"
    assert third.startswith(f"anna.csv, line 5: no item is called {CODES[0][:-1] + '9'!r}; did you mean {KEY.sheet}-p")


def test_sheets_that_were_not_renamed_are_their_folders(tmp_path: Path) -> None:
    files = []
    for who, value in (("anna", "A"), ("ben", "B")):
        (tmp_path / who).mkdir()
        files.append(write(tmp_path / who / "pairwise.csv", rows(value)))
    assert check_answers(read_raw(files), KEY).given[CODES[0]] == {"anna": "A", "ben": "B"}
    write(tmp_path / "anna" / "rating.csv", [{"item": RATED.items[0].code, "rating": "3"}])
    assert {raw.annotator for raw in read_raw(answer_files([tmp_path / "anna"]))} == {"anna"}


def test_a_second_download_makes_nobody_of_its_own(tmp_path: Path) -> None:
    files = [write(tmp_path / f"pairwise.anna{copy}.csv", rows("A")) for copy in ("", " (1)")]
    with pytest.raises(DataError) as error:
        check_answers(read_raw(files), KEY)
    assert error.value.detail is not None and "anna has answered" in error.value.detail


def test_a_text_of_any_length_comes_back(tmp_path: Path) -> None:
    """Python's own limit for a cell is 131,072 characters."""
    csv.field_size_limit(131_072)
    path = write(tmp_path / "anna.csv", [{"item": CODES[0], "answer_a": "x" * 200_000, "preference": "A"}])
    assert [raw.value for raw in read_raw([path])] == ["A"]


def test_an_endless_cell_an_empty_choice_and_deep_json_are_refused(tmp_path: Path) -> None:
    csv.field_size_limit(131_072)  # Python's own, which the data stage raises for its process
    part = {"from_name": "preference", "value": {"choices": []}}
    for number, text in enumerate(
        (
            f'item,preference\n{CODES[0]},"{"x" * 200_000}\n',
            json.dumps(export({"completed_by": 1, "result": [part]})),
            "[" * 100_000,
        )
    ):
        path = tmp_path / f"{number}.csv"
        path.write_text(text)
        with pytest.raises(DataError, match="this is no"):
            read_raw([path])


@pytest.mark.parametrize("code", ["../../elsewhere-p1", "x" * 5000, "a\0b-p1"])
def test_a_code_that_is_no_sheets_opens_no_file(tmp_path: Path, code: str) -> None:
    path = write(tmp_path / "anna.csv", [{"item": code, "preference": "A"}])
    with pytest.raises(DataError, match="no item of a sheet"):
        sheet_of(read_raw([path]))


def test_ratings_are_whole_numbers_in_their_range(tmp_path: Path) -> None:
    key = sheet(PAIRS[:2], "rating")
    codes = [item.code for item in key.items]
    told = [{"item": code, "rating": value} for code, value in zip(codes, ("5", "1.0", "6", "3.5"), strict=True)]
    path = write(tmp_path / "anna.csv", told)
    with pytest.raises(DataError) as error:
        check_answers(read_raw([path]), key)
    assert "2 rows are wrong" in str(error.value)
    good = check_answers(read_raw([write(path, told[:2])]), key)
    assert [row["anna"] for row in good.given.values()] == [5, 1]


def export(*annotations: dict[str, object]) -> list[dict[str, object]]:
    return [{"id": 7, "data": {"item": CODES[0]}, "annotations": list(annotations)}]


def choice(value: str, who: object, **more: object) -> dict[str, object]:
    part = {"from_name": "preference", "to_name": "question", "type": "choices", "value": {"choices": [value]}}
    note = {"from_name": "comment", "to_name": "question", "type": "textarea", "value": {"text": ["why"]}}
    return {"completed_by": who, "result": [note, part], **more}


def test_label_studios_export_skipped_and_doubled(tmp_path: Path) -> None:
    path = tmp_path / "export.json"
    told = [choice("A", 1), choice("B", {"id": 2, "email": "b@x"}), choice("A", 3, was_cancelled=True)]
    path.write_text(json.dumps(export(*told)))
    found = check_answers(read_raw([path]), KEY)
    assert found.given == {CODES[0]: {"1": "A", "b@x": "B"}}
    path.write_text(json.dumps(export(choice("A", 1, id=11), choice("B", 1, id=12))))
    with pytest.raises(DataError) as error:
        check_answers(read_raw([path]), KEY)
    assert "task 7, annotation 12: 1 has answered" in str(error.value.detail)


@pytest.mark.parametrize("text", ["[1]", '{"a": 1}', '[{"data": {}}]', "item,question\nx,y\n", "", "[", "[{}]"])
def test_what_is_no_sheet_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.csv"
    path.write_text(text)
    with pytest.raises(DataError):
        read_raw([path])


def test_answers_of_two_sheets_are_not_mixed(tmp_path: Path) -> None:
    other = sheet(PAIRS[:4], seed=5)
    path = write(tmp_path / "a.csv", [*rows("A"), {"item": other.items[0].code, "preference": "B"}])
    with pytest.raises(DataError, match="several sheets"):
        sheet_of(read_raw([path]))
    with pytest.raises(SourceError, match="no such file"):
        answer_files([tmp_path / "nowhere"])


@given(st.text(), st.text(), st.text())
def test_whatever_models_answer_a_sheet_can_be_read_again(question: str, first: str, second: str) -> None:
    item = SheetItem(
        code="abcdef01-p0001",
        kind="pairwise",
        item="x",
        cluster=0,
        side="candidate",
        question=question,
        answer_a=first,
        answer_b=second,
    )
    files = sheet_files("pairwise", "pairwise", [item])
    (row,) = csv.DictReader(io.StringIO(files["pairwise.csv"], newline=""))
    assert (row["item"], row["preference"]) == (item.code, "")
    assert row["answer_a"].removeprefix("'") == first.removeprefix("'")
    assert not row["answer_a"].startswith(("=", "+", "-", "@"))
    assert json.loads(files["label_studio/pairwise.json"])[0]["data"]["answer_a"] == first


@given(st.binary(max_size=200))
def test_no_bytes_break_the_reader(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.csv"
    path.write_bytes(content)
    with contextlib.suppress(HoneError):
        read_raw([path])


def test_nothing_in_the_folder_tells_the_sides_apart(tmp_path: Path) -> None:
    key: SheetKey = sheet([Pair(p.id, p.cluster, p.question, f"x{p.id}", f"y{p.id}") for p in PAIRS])
    files = write_sheets(key, tmp_path)
    assert {path.name for path in files} == {"guidelines.md", "pairwise.csv", "pairwise.json", "pairwise.xml"}
    text = "".join(path.read_text() for path in files)
    assert not any(word in text for word in ("candidate", "baseline", "merged", "triage", "base"))
    assert "Prefer what is right." in (tmp_path / "guidelines.md").read_text()
