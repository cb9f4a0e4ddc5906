"""What run a retraining is, and when there is none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from local_runner.caller import LocalCaller
from pipeline.backends.track_mlflow import MlflowRegistry
from pipeline.control.retraining import prepare_retraining, write_retraining
from pipeline.control.runs import RunList
from pipeline.control.session import Session
from pipeline.control.versions import open_version
from pipeline.core.errors import ConfigError, DataError, IntegrityError, RegistryError
from pipeline.core.spec import read_spec
from pipeline.core.workspace import Store
from pipeline.execute import load
from pipeline.flow import next_calls
from pipeline.resolve import data_options
from schemas.base import ArtifactRef, Reference, canonical
from schemas.base_model import BaseModelRef
from schemas.data import DataFiles
from schemas.resolved import ResolvedRun
from schemas.webhook import RetrainRequest
from tests.e2e.conftest import GATE_FAILED, hone, run_smoke
from tests.support.run_fixture import write_base
from tests.support.smoke import write_smoke
from tests.support.trained import (
    NEW,
    Trained,
    again,
    before,
    examples,
    messages,
)


@pytest.fixture
def trained(tmp_path: Path) -> Trained:
    return Trained(tmp_path, messages(60)).finish_run()


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


def test_a_share_of_the_new_rows_is_held_out_with_the_versions_own(trained: Trained) -> None:
    rows = [{"text": f"new complaint {number} on clock {number * 7919}", "intent": "setup"} for number in range(40)]
    made = trained.retrain(rows=rows, hold_out=0.25)
    test = [json.loads(line) for line in (made.description.parent / "test.jsonl").read_text().splitlines()]
    train = [json.loads(line) for line in (made.description.parent / "train.jsonl").read_text().splitlines()]
    held_out = [row for row in test if row in rows]
    # Of 40 rows at .25 fewer than 3 or more than 19 are held out with probability .001.
    assert 3 <= len(held_out) <= 19
    assert sorted(held_out + [row for row in train if row in rows], key=str) == sorted(rows, key=str)
    own = examples(before(trained), "test")
    assert len(test) == len(own) + len(held_out)
    places = [place for place, row in enumerate(test) if row in rows]
    assert places != list(range(len(places))) and places != list(range(len(own), len(test)))
    _, data = again(trained, made)
    assert {row.id for row in own} < {row.id for row in examples(data, "test")}
    assert trained.retrain(rows=rows, hold_out=0.25).description == made.description
    assert trained.retrain(rows=rows).description != made.description


def test_a_share_that_leaves_a_side_empty_is_refused(trained: Trained) -> None:
    with pytest.raises(DataError, match="of 1 new rows"):
        trained.retrain(rows=NEW[:1], hold_out=0.25)


def test_a_version_that_is_to_be_rolled_out_is_asked_for(trained: Trained) -> None:
    made = trained.retrain(promote="candidate")
    assert made.spec.promote == "candidate"
    assert again(trained, made)[0].run_id() == again(trained, trained.retrain())[0].run_id()


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
    assert run.trained == {"triage@1": trained.refs["data"]}
    assert [task.name for task in run.retention] == ["triage"]


def test_relative_names_lead_to_the_same_files_from_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "score.py").write_text("def score(prediction, reference):\n    return 1.0\n")
    task = {"name": "commands", "metric": "exact_match", "data": {"path": "c.jsonl", "test_path": "d.jsonl"}}
    probes = [{"kind": "bbq", "path": "c.jsonl"}, {"kind": "refusal", "harmful": "c.jsonl", "harmless": "d.jsonl"}]
    evaluate = {
        "metrics": ["./score.py:score", {"name": "bert_score", "params": {"model": "bert"}}],
        "target": {"./score.py:score": 0.5},
        "retention": [task],
        "bias": probes,
        "judge": {"base_url": "http://127.0.0.1:1/v1", "model": "j", "template": "judge.txt"},
    }
    (tmp_path / "judge.txt").write_text("Which is better?")
    (tmp_path / "bert").mkdir()
    (tmp_path / "bert" / "config.json").write_text("{}")
    judging = {"name": "reward_model", "params": {"model": "./bert"}}
    train = {"method": "grpo", "rewards": ["chrf", {"name": "./score.py:score", "weight": 0.5}, judging]}
    more = {"preflight": {"benchmarks": ["d.jsonl"]}, "train": train}
    trained = Trained(tmp_path, messages(60), evaluate=evaluate, **more)
    for name in ("c", "d"):
        trained._write(f"{name}.jsonl", [{"prompt": name, "completion": "x"}])
    trained.finish_run()
    made = trained.retrain()
    run, _ = again(trained, made)
    first = trained.resolved()
    assert canonical(run.retention[0].files) == canonical(first.retention[0].files)
    assert run.metrics[0].code == first.metrics[0].code
    assert [reward.code for reward in run.rewards] == [reward.code for reward in first.rewards]
    assert run.rewards[2] == first.rewards[2] and run.rewards[2].model is not None
    assert first.rewards[1].code is not None and run.rewards[1].weight == 0.5
    assert run.metrics[1].model == first.metrics[1].model
    assert run.judge == first.judge and first.judge is not None and first.judge.template is not None
    assert canonical(run.bias) == canonical(first.bias)
    assert [probe.paths["harmless"] for probe in made.spec.evaluate.bias[1:]] == [str(tmp_path / "d.jsonl")]
    assert canonical(run.benchmarks) == canonical(first.benchmarks)
    assert made.spec.preflight.benchmarks == (str(tmp_path / "d.jsonl"),)
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
