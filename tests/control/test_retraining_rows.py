"""Which rows a retraining trains on, and that those held out are the version's own."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from pipeline.core.errors import ConfigError, DataError, IntegrityError, SourceError
from tests.support.trained import (
    NEW,
    TEMPLATE,
    Trained,
    again,
    asked,
    before,
    examples,
    messages,
    trained_texts,
)


@pytest.fixture
def trained(tmp_path: Path) -> Trained:
    return Trained(tmp_path, messages(60)).finish_run()


def test_new_rows_follow_the_versions_own_and_what_is_held_out_is_the_same(trained: Trained) -> None:
    old = before(trained)
    _, new = again(trained, trained.retrain())
    assert trained_texts(new) == [*trained_texts(old), *map(asked, NEW)]
    for split in ("validation", "test"):
        kept, given = examples(old, split), examples(new, split)
        assert kept
        assert [(row.id, row.messages, row.label) for row in given] == [
            (row.id, row.messages, row.label) for row in kept
        ]
    assert new.artifact.leaked == {"validation": 0, "test": 0}


def test_new_rows_take_the_place_of_the_versions_own(trained: Trained) -> None:
    old = before(trained)
    _, new = again(trained, trained.retrain(combine="replace"))
    assert trained_texts(new) == [asked(row) for row in NEW]
    assert [row.id for row in examples(new, "test")] == [row.id for row in examples(old, "test")]


def test_a_new_row_that_asks_what_is_held_out_is_not_trained_on(trained: Trained) -> None:
    words = examples(before(trained), "test")[0].messages[1].content.removeprefix(TEMPLATE.split("{{")[0])
    _, new = again(trained, trained.retrain(rows=[*NEW, {"text": words, "intent": "login"}]))
    assert asked({"text": words}) not in trained_texts(new)
    assert {drop.reason: drop.count for drop in new.artifact.dropped}["contamination"] == 1


@pytest.mark.parametrize("given", ["test", "both"])
def test_held_out_files_that_were_given_are_used_as_they_are(tmp_path: Path, given: str) -> None:
    """Where both are given nothing is read of the training file if its rows are replaced, so it may be gone."""
    splits = {"test": ["test"], "both": ["test", "validation"]}[given]
    trained = Trained(tmp_path, messages(60), data={f"{split}_path": f"{split}.jsonl" for split in splits})
    for seed, split in enumerate(splits, start=1):
        trained._write(f"{split}.jsonl", messages(12, seed))
    trained.finish_run()
    made = trained.retrain(combine="replace")
    for split in splits:
        assert getattr(made.spec.data, f"{split}_path") == str(tmp_path / f"{split}.jsonl")
    assert [row.id for row in examples(again(trained, made)[1], "test")] == [
        row.id for row in examples(before(trained), "test")
    ]
    trained.source.unlink()
    if given == "both":
        assert trained.retrain(combine="replace").description == made.description
    with pytest.raises(SourceError, match="the data of triage@1 are no longer there"):
        trained.retrain()
    (tmp_path / "test.jsonl").write_text("{}\n")
    with pytest.raises(IntegrityError, match="changed since the run began"):
        trained.retrain(combine="replace")


def test_a_training_file_that_was_edited_is_not_mixed_in(trained: Trained) -> None:
    with trained.source.open("a") as stream:
        stream.write(json.dumps(NEW[0]) + "\n")
    with pytest.raises(IntegrityError, match="changed since the run began"):
        trained.retrain()


def _as_csv(trained: Trained, rows: Sequence[Mapping[str, Any]]) -> None:
    trained.source = trained.folder / "messages.csv"
    with trained.source.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, ["text", "intent", "note"])
        writer.writeheader()
        writer.writerows(rows)


def _as_parquet(trained: Trained, rows: Sequence[Mapping[str, Any]]) -> None:
    import datetime as dt

    import pyarrow as pa
    from pyarrow import parquet

    trained.source = trained.folder / "messages.parquet"
    more = {"at": dt.datetime(2026, 1, 1), "score": float("nan"), "of": {"a": None, "b": [1]}}
    parquet.write_table(pa.Table.from_pylist([{**row, **more} for row in rows]), trained.source)


def _as_folder(trained: Trained, rows: Sequence[Mapping[str, Any]]) -> None:
    trained.source.unlink()
    trained.source = trained.folder / "parts"
    trained.source.mkdir()
    for number, part in enumerate((rows[:20], rows[20:])):
        trained._write(f"parts/{number}.jsonl", part)


def test_tools_of_a_table_are_the_same_tools_again(tmp_path: Path) -> None:
    """A table gives every tool the members of all others, as nulls; they are part of a row's id where they stay."""
    import pyarrow as pa
    from pyarrow import parquet

    tools = [[{"name": "look_up", "strict": True}], [{"name": "call", "about": "a number"}]]
    rows = [
        {"prompt": row["text"], "completion": row["intent"], "tools": tools[number % 2]}
        for number, row in enumerate(messages(60))
    ]
    settings = {"columns": {}, "prompt_template": None, "path": "messages.parquet"}
    trained = Trained(tmp_path, [], task="generation", data=settings)
    parquet.write_table(pa.Table.from_pylist(rows), tmp_path / "messages.parquet")
    trained.finish_run()
    _, new = again(trained, trained.retrain(rows=[{"prompt": "what is new", "completion": "nothing"}]))
    assert [row.id for row in examples(new, "test")] == [row.id for row in examples(before(trained), "test")]


@pytest.mark.parametrize("write", [_as_csv, _as_parquet, _as_folder])
def test_rows_of_any_source_are_the_same_rows_again(tmp_path: Path, write: Any) -> None:
    trained = Trained(tmp_path, messages(60))
    write(trained, messages(60))
    trained.finish_run()
    old, (_, new) = before(trained), again(trained, trained.retrain())
    for split in ("validation", "test"):
        assert [row.id for row in examples(new, split)] == [row.id for row in examples(old, split)]
    assert [row.id for row in examples(new, "train")][: old.artifact.rows["train"]] == [
        row.id for row in examples(old, "train")
    ]


def test_a_column_that_few_rows_have_may_still_be_named(tmp_path: Path) -> None:
    rows = [{"question": f"q {row['text']}", "answer": row["text"]} for row in messages(60)]
    rows[0]["more"] = "context"
    settings = {"columns": {"prompt": "question", "completion": "answer", "input": "more"}, "prompt_template": None}
    trained = Trained(tmp_path, rows, task="generation", data=settings).finish_run()
    old = before(trained)
    new_rows = [{"question": "what is new under the sun", "answer": "nothing that is"}]
    _, new = again(trained, trained.retrain(rows=new_rows))
    assert [row.id for row in examples(new, "test")] == [row.id for row in examples(old, "test")]


@pytest.mark.parametrize("combine", ["append", "replace"])
@pytest.mark.parametrize("named", [True, False])
def test_new_rows_of_a_group_that_is_held_out_are_not_trained_on(tmp_path: Path, combine: str, named: bool) -> None:
    rows = [{**row, "customer": number % 10} for number, row in enumerate(messages(60)[:-1])]
    settings = {"columns": {"text": "text", "label": "intent", "group": "customer"}, "split": {"by": "group"}}
    trained = Trained(tmp_path, rows, data=settings).finish_run()
    taken, free = (examples(before(trained), "test")[0].row - 1) % 10, 77  # row 1 is customer 0's
    new = [{**NEW[0], "customer": str(taken)}, *({**row, "customer": free} for row in NEW[1:])]
    (trained.root / "uploads").mkdir()
    upload = trained.root / "uploads" / "new.jsonl"
    upload.write_text("".join(json.dumps(row) + "\n" for row in new))
    given = {"data": {"path": "uploads/new.jsonl"}} if named else {"rows": new}
    texts = trained_texts(again(trained, trained.retrain(**given, combine=combine))[1])
    assert [asked(row) in texts for row in new] == [False, True, True]
    with pytest.raises(DataError, match="every new row belongs to a group that triage@1 holds out"):
        trained.retrain(rows=new[:1], combine=combine)


def test_named_rows_are_read_below_uploads(trained: Trained) -> None:
    upload = trained.root / "uploads" / "new.csv"
    upload.parent.mkdir(exist_ok=True)
    upload.write_text("text,intent\nan uploaded complaint on clocks,setup\n")
    _, new = again(trained, trained.retrain(data={"path": "uploads/new.csv"}))
    assert trained_texts(new)[-1] == asked({"text": "an uploaded complaint on clocks"})
    made = trained.retrain(data={"path": "uploads/new.csv"}, combine="replace")
    assert made.spec.data.path == str(upload)
    assert again(trained, made)[1].artifact.rows["train"] == 1


@pytest.mark.parametrize("combine", ["append", "replace"])
def test_no_name_leads_out_of_uploads(trained: Trained, combine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    uploads = trained.root / "uploads"
    uploads.mkdir(exist_ok=True)
    (uploads / "link.jsonl").symlink_to(trained.source)
    (uploads / "folder").symlink_to(trained.folder)
    monkeypatch.chdir(trained.folder.parent)
    here = f"{trained.folder.name}/{trained.source.name}".replace("_", "-")
    (trained.folder.parent / here.split("/", maxsplit=1)[0]).mkdir(exist_ok=True)
    (trained.folder.parent / here).write_bytes(trained.source.read_bytes())
    for path in ("uploads/none.jsonl", "uploads/link.jsonl", f"uploads/folder/{trained.source.name}", here):
        with pytest.raises(ConfigError) as caught:
            trained.retrain(data={"path": path}, combine=combine)
        assert caught.value.where == "data.path"


@pytest.mark.parametrize("content", ["", "{}\n{broken\n"])
def test_named_rows_that_cannot_be_read_are_refused(trained: Trained, content: str) -> None:
    upload = trained.root / "uploads" / "new.jsonl"
    upload.parent.mkdir(exist_ok=True)
    upload.write_text(content)
    with pytest.raises(DataError):
        trained.retrain(data={"path": "uploads/new.jsonl"})


def test_any_text_arrives_as_it_was_sent(trained: Trained) -> None:
    text = 'snow ☃ and \U0001f600, a tab \t, a line\u2028separator and a quote "'
    _, new = again(trained, trained.retrain(rows=[{"text": text, "intent": "setup"}]))
    assert trained_texts(new)[-1] == asked({"text": text})
