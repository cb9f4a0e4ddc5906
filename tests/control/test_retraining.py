"""A version's run is retrained: the data stage is the real one, everything else of the run is written by hand."""

from __future__ import annotations

import csv
import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from local_runner.caller import LocalCaller
from pipeline.backends.track_mlflow import MlflowRegistry
from pipeline.control.retraining import Retraining, prepare_retraining, write_retraining
from pipeline.control.runs import RunList
from pipeline.control.session import Session
from pipeline.control.versions import open_version
from pipeline.core.context import CallContext
from pipeline.core.errors import ConfigError, DataError, IntegrityError, RegistryError, SourceError
from pipeline.core.examples import read_examples
from pipeline.core.spec import read_spec
from pipeline.core.workspace import Store
from pipeline.embedded import EMBEDDED
from pipeline.execute import execute, load
from pipeline.flow import next_calls
from pipeline.resolve import Resolver, data_options
from schemas.artifacts import StageCall
from schemas.base import ArtifactRef, Reference, canonical
from schemas.data import DataConfig, DataFiles, Example, Split
from schemas.register import RegisterArtifact
from schemas.resolved import ResolvedRun
from schemas.run import RunSpec
from schemas.train import BaseModelRef
from schemas.webhook import RetrainRequest
from tests.e2e.conftest import GATE_FAILED, hone, run_smoke
from tests.support.memory_registry import MemoryRegistry
from tests.support.run_fixture import RunFixture, write_base
from tests.support.smoke import write_smoke

INTENTS = ("refund", "login", "setup")
NEW = [{"text": f"entirely new complaint number {number} on clocks", "intent": INTENTS[number]} for number in range(3)]
TEMPLATE = "Name the intent of this message: {{ text }}"


def messages(count: int, seed: int = 0) -> list[dict[str, Any]]:
    """Return rows of unlike words, one of them given twice, and a column that few rows have."""
    draw = random.Random(seed)
    rows = [
        {
            "text": " ".join(f"w{draw.randrange(10_000)}" for _ in range(8)),
            "intent": INTENTS[number % 3],
            **({"note": "seen"} if number == 0 else {}),
        }
        for number in range(count)
    ]
    return [*rows, rows[1]]


class Trained(RunFixture):
    """A finished run on ``data`` of a description, whose version is the champion of ``registry``."""

    def __init__(self, folder: Path, rows: Sequence[Mapping[str, Any]], **spec: Any) -> None:
        super().__init__(folder / "workspace")
        self.folder = folder
        self.source = self._write("messages.jsonl", rows)
        self.asked = spec
        self.registry = MemoryRegistry()

    def _write(self, name: str, rows: Sequence[Mapping[str, Any]]) -> Path:
        path = self.folder / name
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return path

    def resolver(self, folder: Path) -> Resolver:
        return Resolver(folder, Store(self.root), lambda: self.registry, RunList(self.root), EMBEDDED)

    def resolved(self) -> ResolvedRun:
        data = {
            "path": self.source.name,
            "columns": {"text": "text", "label": "intent"},
            "prompt_template": TEMPLATE,
            "system": "You sort messages.",
            **self.asked.get("data", {}),
        }
        spec = {"name": "triage", "task": "classification", "base_model": str(self.base_folder), **self.asked}
        return self.resolver(self.folder).resolve(RunSpec.model_validate({**spec, "data": data}))

    def _data(self, call_id: str) -> None:
        if call_id == "data":
            run = self.resolved()
            stored = data_stage(self, run)
            self.refs[call_id], self.contents[stored.ref.fingerprint] = stored.ref, stored.content_digest
        else:
            super()._data(call_id)

    def _data_retention_commands(self, call_id: str) -> None:
        super()._data(call_id)

    def finish_run(self) -> Trained:
        write_base(self.base_folder)
        self.build()
        record = load(Store(self.root), self.refs["register"])
        assert isinstance(record.artifact, RegisterArtifact)
        number = self.registry.register_version("triage", record.artifact, record.ref, record.content_digest, "")
        self.registry.set_alias("triage", "champion", number, None)
        return self

    def retrain(self, **asked: Any) -> Retraining:
        given = {"type": "retrain", "version": "triage@champion", **asked}
        if "data" not in given:
            given.setdefault("rows", NEW)
        request = RetrainRequest.model_validate_json(json.dumps(given), strict=True)
        return write_retraining(request, self.root, self.registry, self.root / "uploads" / "retraining")


def data_stage(trained: Trained, run: ResolvedRun) -> Any:
    """Carry the data stage of a run out and return its artifact."""
    config = DataConfig(files=run.data, options=data_options(run.spec.data))
    call = StageCall(id="data", stage="data", config=config.model_dump(mode="json"), inputs={})
    result = execute(call, trained.root, CallContext())
    assert result.ref is not None, result.error
    return load(Store(trained.root), result.ref)


def examples(stored: Any, split: Split) -> list[Example]:
    return read_examples(stored.file(stored.artifact.files[split])) if split in stored.artifact.files else []


def again(trained: Trained, made: Retraining) -> tuple[ResolvedRun, Any]:
    """Resolve a retraining's file as `Session.resolve` does, and carry its data stage out."""
    run = trained.resolver(made.description.parent).resolve(read_spec(made.description))
    made.check(run)
    return run, data_stage(trained, run)


def before(trained: Trained) -> Any:
    return load(Store(trained.root), trained.refs["data"])


def trained_texts(stored: Any) -> list[str]:
    return [example.messages[1].content for example in examples(stored, "train")]


@pytest.fixture
def trained(tmp_path: Path) -> Trained:
    return Trained(tmp_path, messages(60)).finish_run()


def asked(row: Mapping[str, Any]) -> str:
    return TEMPLATE.replace("{{ text }}", row["text"])


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


def test_the_run_is_the_versions_own_with_the_champion_to_beat(tmp_path: Path) -> None:
    """Every setting stays but the paths; the champion is asked even where the first run asked none."""
    settings = {
        "description": "Sort messages",
        "train": {"learning_rate": 0.001, "lora": {"r": 4}},
        "evaluate": {"baselines": {"champion": False, "few_shot": 0}, "target": {"accuracy": 0.7}, "max_items": 9},
        "gate": {"minimum_gain": 0.01},
        "variants": ["merged"],
        "constraints": {"max_hours": 2},
    }
    trained = Trained(tmp_path, messages(60), **settings).finish_run()
    first, spec = trained.resolved().spec, trained.retrain().spec
    assert (spec.name, spec.task, spec.description) == ("triage", "classification", "Sort messages")
    assert spec.train == first.train
    assert spec.gate == first.gate
    assert spec.variants == first.variants
    assert spec.constraints == first.constraints
    assert data_options(spec.data) == data_options(first.data)
    assert spec.evaluate.baselines.champion
    unlike = {"baselines": first.evaluate.baselines}
    assert spec.evaluate.model_copy(update=unlike) == first.evaluate


def test_the_same_request_is_the_same_run(trained: Trained) -> None:
    first, second = trained.retrain(), trained.retrain()
    assert first.description == second.description
    assert again(trained, first)[0].run_id() == again(trained, second)[0].run_id()
    assert again(trained, first)[0].run_id() != trained.resolved().run_id()
    other = trained.retrain(rows=NEW[:2])
    assert again(trained, other)[0].run_id() != again(trained, first)[0].run_id()
    folders = sorted(path.name for path in first.description.parent.parent.iterdir())
    assert folders == sorted({first.description.parent.name, other.description.parent.name})


def test_a_prepared_retraining_is_a_run_that_has_the_champion_to_beat(trained: Trained) -> None:
    session = Session(trained.root, lambda: trained.registry, LocalCaller())
    request = RetrainRequest.model_validate({"type": "retrain", "version": "triage", "rows": NEW})
    first, second = prepare_retraining(session, request), prepare_retraining(session, request)
    assert first.directory.run == second.directory.run
    assert first.run.champion is not None
    assert first.run.champion.version == 1
    assert [call.id for call in next_calls(first.run, {})][:1] == ["plan"]
    assert len(session.runs.all()) == 2


def test_the_file_says_what_it_is_and_reads_as_the_description(trained: Trained) -> None:
    made = trained.retrain()
    text = made.description.read_text()
    assert text.startswith("# A retraining of triage@1: 3 rows follow its training rows; what is held out is the same.")
    assert read_spec(made.description) == made.spec
    assert yaml.safe_load(text)["data"]["path"] == "train.jsonl"


def test_overrides_and_constraints_are_those_of_the_request(trained: Trained) -> None:
    made = trained.retrain(
        overrides={"train.learning_rate": 1e-5, "train.lora.r": 8, "serve": False, "variants": ["merged"]},
        constraints={"max_cost": 2.5},
    )
    assert made.spec.train.learning_rate == 1e-5
    assert made.spec.train.lora.r == 8
    assert made.spec.serve is False
    assert [variant.name for variant in made.spec.variants] == ["merged"]
    assert made.spec.constraints.max_cost == 2.5


def test_overrides_that_do_not_fit_are_all_named(trained: Trained) -> None:
    with pytest.raises(ConfigError) as caught:
        trained.retrain(overrides={"train.learning_rat": 1, "train.lora.r": -1})
    assert caught.value.where == "overrides"
    assert "did you mean learning_rate?" in caught.value.message
    assert "train.lora.r" in caught.value.message
    with pytest.raises(ConfigError, match="'0' is no index of a list of 0"):
        trained.retrain(overrides={"variants.0.group_size": 32})
    assert list((trained.root / "uploads" / "retraining").iterdir()) == []


def test_a_version_may_be_trained_on(trained: Trained) -> None:
    made = trained.retrain(start_from="version")
    assert made.spec.base_model.name == "triage@1"
    run, _ = again(trained, made)
    assert run.parent == trained.refs["register"]
    assert [task.name for task in run.retention] == ["triage"]


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


def test_relative_names_lead_to_the_same_files_from_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "score.py").write_text("def score(prediction, reference):\n    return 1.0\n")
    task = {"name": "commands", "metric": "exact_match", "data": {"path": "c.jsonl", "test_path": "d.jsonl"}}
    evaluate = {"metrics": ["./score.py:score"], "target": {"./score.py:score": 0.5}, "retention": [task]}
    trained = Trained(tmp_path, messages(60), evaluate=evaluate)
    for name in ("c", "d"):
        trained._write(f"{name}.jsonl", [{"prompt": name, "completion": "x"}])
    trained.finish_run()
    made = trained.retrain()
    run, _ = again(trained, made)
    first = trained.resolved()
    assert canonical(run.retention[0].files) == canonical(first.retention[0].files)
    assert run.metrics[0].code == first.metrics[0].code
    assert made.spec.evaluate.target == {f"{tmp_path / 'score.py'}:score": 0.5}
    (tmp_path / "score.py").write_text("def score(prediction, reference):\n    return 0.0\n")
    changed = trained.resolver(made.description.parent).resolve(made.spec)
    with pytest.raises(IntegrityError, match="the metric is no longer what triage@1 was measured by"):
        made.check(changed)


def test_another_base_under_the_same_name_is_refused(trained: Trained) -> None:
    made = trained.retrain()
    (trained.base_folder / "config.json").write_text('{"model_type": "qwen3"}')
    run = trained.resolver(made.description.parent).resolve(made.spec)
    with pytest.raises(IntegrityError, match="no longer the base that triage@1 was trained from"):
        made.check(run)


def test_the_embedded_base_keeps_its_name(tmp_path: Path) -> None:
    trained = Trained(tmp_path, messages(60), base_model="hone:tiny").finish_run()
    made = trained.retrain()
    assert made.spec.base_model.name == "hone:tiny"
    again(trained, made)


class OnHub(Trained):
    """A run whose base and retention task came from the Hub, each at a commit."""

    def resolved(self) -> ResolvedRun:
        run = super().resolved()
        base = BaseModelRef(name="org/tiny", weights=Reference(location="org/tiny", digest="c" * 40))
        spec = run.spec.model_copy(update={"base_model": run.spec.base_model.model_copy(update={"name": "org/tiny"})})
        files = DataFiles(train=Reference(location="org/commands", digest="d" * 40))
        task = run.retention[0].model_copy(update={"files": files})
        return run.model_copy(update={"base": base, "spec": spec, "retention": (task,)})


def test_what_came_from_the_hub_is_pinned_to_its_commit(tmp_path: Path) -> None:
    task = {"name": "commands", "data": {"path": "commands.jsonl"}}
    trained = OnHub(tmp_path, messages(60), evaluate={"retention": [task]})
    trained._write("commands.jsonl", [{"prompt": "a", "completion": "b"}])
    spec = trained.finish_run().retrain().spec
    assert (spec.base_model.name, spec.base_model.revision) == ("org/tiny", "c" * 40)
    assert spec.evaluate.retention is not None
    assert (spec.evaluate.retention[0].data.path, spec.evaluate.retention[0].data.revision) == (
        "org/commands",
        "d" * 40,
    )


def test_a_base_without_weights_keeps_its_architecture(tmp_path: Path) -> None:
    base = {"init": {"model_type": "llama", "config": {"hidden_size": 64}, "tokenizer": "tiny-base"}}
    write_base(tmp_path / "tiny-base")
    trained = Trained(tmp_path, messages(60), base_model=base, train={"adapter": "full"}).finish_run()
    made = trained.retrain()
    assert made.spec.base_model.init is not None
    assert made.spec.base_model.init.config == {"hidden_size": 64}
    run, _ = again(trained, made)
    assert canonical(run.base) == canonical(trained.resolved().base)


def test_a_version_that_there_is_not_is_said(trained: Trained) -> None:
    for version in ("triage@7", "triage@candidate", "other"):
        with pytest.raises(RegistryError):
            trained.retrain(version=version)


def test_a_version_whose_run_is_gone_is_said(trained: Trained) -> None:
    record = next((trained.root / "runs").glob("*/run.json"))
    other = json.loads(record.read_text()) | {"spec_digest": "0" * 64}
    record.write_text(json.dumps(other))
    with pytest.raises(IntegrityError, match="the run that made triage@1 is not the one recorded here"):
        trained.retrain()
    record.unlink()
    with pytest.raises(IntegrityError, match="the run that made triage@1 is gone") as caught:
        trained.retrain()
    assert caught.value.where == str(record)


def test_a_version_whose_data_are_damaged_is_said(trained: Trained) -> None:
    path = before(trained).path / "test.jsonl"
    path.write_bytes(path.read_bytes()[:-1] + b" ")
    with pytest.raises(IntegrityError, match="file is changed"):
        trained.retrain()


def test_data_files_of_the_fixture_are_those_of_the_run(trained: Trained) -> None:
    """The fixture resolves anew for every question; this says that it is one run throughout."""
    (directory,) = RunList(trained.root).all()
    assert directory.read().resolved() == trained.resolved()
    assert isinstance(directory.read().data, DataFiles)


@pytest.mark.slow
def test_a_real_version_is_retrained_and_meets_the_champion_on_the_same_items(tmp_path: Path) -> None:
    """Twice: the second retraining starts from the version that the first one made."""
    workspace = tmp_path / "workspace"
    run_smoke(write_smoke(tmp_path), workspace)
    promoted = hone("promote", "support-triage@1", "--reason", "a test", "-w", str(workspace))
    assert promoted.returncode == 0, promoted.stderr
    registry, store = MlflowRegistry(workspace / "mlflow.db"), Store(workspace)
    items: dict[int, list[str]] = {}
    for number in (1, 2):
        data = open_version(workspace, registry, f"support-triage@{number}").data
        items[number] = [row.id for row in examples(data, "test")]
        record = {"intent": "setup", "product": "lamp", "urgency": "low"}
        rows = [{"message": f"new {number} of {n}: the lamp flickers", "triage": json.dumps(record)} for n in range(20)]
        body = {"type": "retrain", "version": f"support-triage@{number}", "rows": rows}
        request = RetrainRequest.model_validate_json(json.dumps(body), strict=True)
        made = write_retraining(request, workspace, registry, workspace / "uploads" / "retraining")
        again = run_smoke(made.description, workspace)
        assert again.code == GATE_FAILED, again.printed
        assert again.printed["summary"]["version"] == f"support-triage@{number + 1}"
        assert "evaluate.baseline-champion" in again.printed["executed"]
        new = open_version(workspace, registry, f"support-triage@{number + 1}")
        assert [row.id for row in examples(new.data, "test")] == items[1]
        assert new.data.artifact.rows["train"] > data.artifact.rows["train"]
        compared = {found.reference: found.n for found in new.record.artifact.baseline_comparisons}
        assert compared["champion"] == 60
        calls = RunList(workspace).directory(again.printed["run"]).calls()
        ref = ArtifactRef(stage="evaluate", fingerprint=calls["evaluate.baseline-champion"]["fingerprint"])
        assert load(store, ref).artifact.n == 60
