from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.core.errors import ConfigError, IntegrityError, ModelError, SourceError
from pipeline.core.references import is_unresolved
from pipeline.core.workspace import Store
from pipeline.execute import load
from pipeline.plan.backends import revision_of
from pipeline.resolve import Resolver
from schemas.base import Reference, canonical_digest
from schemas.evaluate import MetricSpec
from schemas.run import RunSpec
from tests.support.harness_task import write_task
from tests.support.registered import OneVersion
from tests.support.run_fixture import RunFixture, flip, write_base


@pytest.fixture
def fixture(tmp_path: Path) -> RunFixture:
    made = RunFixture(tmp_path / "workspace")
    made.build()
    (tmp_path / "rows.jsonl").write_text('{"prompt": "a", "completion": "b"}\n')
    return made


def resolver(fixture: RunFixture) -> Resolver:
    """Return a resolver for which ``triage@1`` is the fixture's version."""
    record = load(Store(fixture.root), fixture.refs["register"])
    return Resolver(
        folder=fixture.root.parent,
        store=Store(fixture.root),
        registry=lambda: OneVersion(record),
        runs=None,  # type: ignore[arg-type]
        embedded={},
    )


def spec(base_model: Any, **more: Any) -> RunSpec:
    values = {"name": "next", "task": "extraction", "base_model": base_model, "data": {"path": "rows.jsonl"}}
    return RunSpec.model_validate({**values, **more})


def test_a_version_is_the_same_base_as_a_copy_of_its_folder(fixture: RunFixture, tmp_path: Path) -> None:
    found = resolver(fixture)
    base = found.resolve(spec("triage@1")).base
    assert base.weights is not None
    shutil.copytree(base.weights.location, tmp_path / "copy")
    copied = found.resolve(spec(str(tmp_path / "copy"))).base
    assert base.name != copied.name
    assert canonical_digest(base) == canonical_digest(copied)


def test_the_record_that_a_base_comes_from_is_named(fixture: RunFixture) -> None:
    assert resolver(fixture).resolve(spec("triage@1")).parent == fixture.refs["register"]


def test_a_version_has_no_revisions(fixture: RunFixture) -> None:
    with pytest.raises(ConfigError, match=r"base_model\.revision: a version has no revisions \(remove the key\)"):
        resolver(fixture).resolve(spec({"name": "triage@1", "revision": "main"}))


def test_a_version_whose_model_was_made_again_is_neither_base_nor_champion(fixture: RunFixture) -> None:
    fixture.remake("optimize.merged", "model/model.safetensors")
    found = resolver(fixture)
    with pytest.raises(IntegrityError, match="was made again since this version was registered"):
        found.resolve(spec("triage@1"))
    with pytest.raises(IntegrityError, match="was made again since this version was registered") as caught:
        found.champion(spec("triage@1"))
    assert (caught.value.where, caught.value.fix) == (
        "evaluate.baselines.champion",
        "promote another version (hone promote next@N), or set evaluate.baselines.champion to false",
    )


def test_a_champion_whose_record_was_made_again_need_not_be_compared_with(fixture: RunFixture, tmp_path: Path) -> None:
    found = resolver(fixture)
    write_base(tmp_path / "base")
    wanted = spec(str(tmp_path / "base"), evaluate={"retention_waived": "a test"})
    fixture.remake("register", "decision.json")
    with pytest.raises(IntegrityError, match="the champion triage@1 cannot be compared with: the record of triage@1"):
        found.champion(wanted)
    without = spec(str(tmp_path / "base"), evaluate={"retention_waived": "a test", "baselines": {"champion": False}})
    found.resolve(without)
    assert found.champion(without) is None


def test_a_version_with_a_flipped_byte_is_no_base(fixture: RunFixture) -> None:
    found = resolver(fixture)
    found.resolve(spec("triage@1"))
    flip(Store(fixture.root).directory(fixture.refs["optimize.merged"]) / "model/model.safetensors")
    with pytest.raises(IntegrityError, match=r"model\.safetensors: file is changed"):
        found.resolve(spec("triage@1"))


def test_what_the_base_was_decided_by_is_what_must_not_be_forgotten(fixture: RunFixture) -> None:
    code = Reference(location="/metrics/mine.py", digest="a" * 64)
    metric = MetricSpec(name="./mine.py:score", params={"strict": True}, code=code)
    record = load(Store(fixture.root), fixture.refs["register"]).artifact
    fixture.describe("register", record.model_copy(update={"metric": metric}))
    (task,) = resolver(fixture).resolve(spec("triage@1")).retention
    assert (task.name, task.metric, task.artifact) == ("triage", metric, fixture.refs["data"])


HUB = "org/model"


def on_hub(fixture: RunFixture, monkeypatch: pytest.MonkeyPatch, commits: dict[str | None, str]) -> Resolver:
    """Return a resolver whose Hub knows ``commits`` by revision, of any repository."""
    found = "pipeline.backends.revision_huggingface.find_commit"
    monkeypatch.setattr(found, lambda repo, kind, revision, token=None, key=None: commits.get(revision))
    return replace(resolver(fixture), for_plan=True)


def test_a_base_without_a_commit_can_be_planned_and_not_run(
    fixture: RunFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = on_hub(fixture, monkeypatch, {})
    main, other = (found.resolve(spec({"name": HUB, "revision": name})) for name in (None, "other"))
    assert main.base.weights is not None and other.base.weights is not None
    assert is_unresolved(main.base.weights) and is_unresolved(other.base.weights)
    assert main.run_id() != other.run_id()
    assert revision_of(main.base.weights) is None  # no commit is made up
    assert found.resolve(spec({"name": HUB, "revision": "main"})).base == main.base
    with pytest.raises(ModelError, match=r"base_model: org/model: .* the Hub cannot be reached"):
        replace(found, for_plan=False).resolve(spec(HUB))


def test_a_revision_is_recorded_as_the_commit_that_it_means(
    fixture: RunFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = on_hub(fixture, monkeypatch, {None: "a" * 40, "v1": "b" * 40})
    for for_plan in (True, False):
        now = replace(found, for_plan=for_plan)
        assert now.resolve(spec(HUB)).base.weights == Reference(location=HUB, digest="a" * 40)
        assert now.resolve(spec({"name": HUB, "revision": "v1"})).base.weights == Reference(
            location=HUB, digest="b" * 40
        )
    # A full commit needs no network to be planned with.
    given = found.resolve(spec({"name": HUB, "revision": "c" * 40})).base.weights
    assert given == Reference(location=HUB, digest="c" * 40)


def test_a_data_set_has_a_revision(fixture: RunFixture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = on_hub(fixture, monkeypatch, {None: "a" * 40, "v1": "b" * 40})
    data = {"path": "org/rows", "test_path": "org/rows", "revision": "v1"}
    files = found.resolve(spec(HUB, data=data)).data
    assert files.test is not None
    assert (files.train.digest, files.test.digest) == ("b" * 40, "b" * 40)
    mixed = found.resolve(spec(HUB, data={**data, "test_path": "rows.jsonl"})).data
    assert mixed.test is not None and mixed.test.location == str(tmp_path / "rows.jsonl")
    with pytest.raises(ConfigError, match=r"data\.revision: files and folders have no revisions"):
        found.resolve(spec(HUB, data={"path": "rows.jsonl", "revision": "v1"}))
    with pytest.raises(SourceError, match=r"data\.path: org/rows@v2: .*the Hub cannot be reached"):
        found.resolve(spec(HUB, data={**data, "revision": "v2"}))
    retention = [{"name": "own", "data": {"path": "org/own", "revision": "v1"}}]
    (own,) = found.resolve(spec(HUB, evaluate={"retention": retention})).retention
    assert own.files is not None and own.files.train.digest == "b" * 40


def test_the_files_of_a_harness_task_are_digested(fixture: RunFixture, tmp_path: Path) -> None:
    folder = fixture.root.parent / "tasks"
    path = write_task(folder)
    asked = {"name": "support", "task": "tasks/support.yaml", "limit": 5, "margin": 0.1}
    found = spec("triage@1", evaluate={"harness": [asked]})
    before = resolver(fixture).resolve(found)
    own, task = before.retention
    assert task.harness is not None and own.harness is None
    assert (task.margin, task.metric.name, task.harness.limit) == (0.1, "acc", 5)
    assert set(task.harness.files) == {"shots.jsonl", "items.jsonl"}
    for file in (path, folder / "items.jsonl"):
        run = resolver(fixture).resolve(found)
        file.write_text(file.read_text() + "\n")
        assert resolver(fixture).resolve(found).digest() != run.digest()
    with pytest.raises(SourceError, match=r"did you mean support\.yaml"):
        resolver(fixture).resolve(spec("triage@1", evaluate={"harness": [{**asked, "task": "tasks/suport.yaml"}]}))
    (folder / "items.jsonl").unlink()
    with pytest.raises(SourceError, match="no such file beside the task's"):
        resolver(fixture).resolve(found)


def test_the_model_of_a_metric_is_held_by_its_content(fixture: RunFixture, tmp_path: Path) -> None:
    (tmp_path / "bert").mkdir()
    (tmp_path / "bert" / "config.json").write_text("{}")
    metrics = ["exact_match", {"name": "bert_score", "params": {"model": "bert"}}]
    run = resolver(fixture).resolve(spec("triage@1", evaluate={"metrics": metrics}))
    model = run.metrics[1].model
    assert model is not None and model.location == str(tmp_path / "bert")
    assert run.metrics[1].params == {"model": model.digest}
    (tmp_path / "bert" / "config.json").write_text("{ }")
    changed = resolver(fixture).resolve(spec("triage@1", evaluate={"metrics": metrics}))
    assert changed.digest() != run.digest()
    with pytest.raises(SourceError, match="no such file or folder"):
        resolver(fixture).resolve(
            spec("triage@1", evaluate={"metrics": [{"name": "bert_score", "params": {"model": "brt"}}]})
        )


@pytest.mark.parametrize(
    ("metric", "says"),
    [
        ({"name": "json_schema", "params": {"schema": {"type": 7}}}, "no JSON schema"),
        ({"name": "code_execution", "params": {"timeout": 0}}, "is no limit"),
        ({"name": "exact_match", "params": {"strict": True}}, "do not fit"),
        ("exact_macth", "no such metric"),
    ],
)
def test_a_metric_that_cannot_be_built_is_refused_before_anything_is_made(
    fixture: RunFixture, metric: Any, says: str
) -> None:
    with pytest.raises(ConfigError, match=says):
        resolver(fixture).resolve(spec("triage@1", evaluate={"metrics": [metric]}))


def test_a_reward_model_counts_by_what_it_is(fixture: RunFixture, tmp_path: Path) -> None:
    write_base(tmp_path / "base")
    write_base(tmp_path / "judge")
    scoring = {"model_type": "llama", "architectures": ["LlamaForSequenceClassification"]}
    (tmp_path / "judge" / "config.json").write_text(json.dumps(scoring))
    shutil.copytree(tmp_path / "judge", tmp_path / "elsewhere")
    found = resolver(fixture)

    def rewards(model: str) -> Any:
        reward = {"name": "reward_model", "params": {"model": model}, "weight": 2.0}
        return found.resolve(spec("base", train={"method": "grpo", "rewards": [reward]})).rewards

    here, there = rewards("judge"), rewards("elsewhere")
    assert canonical_digest(here[0]) == canonical_digest(there[0])
    assert here[0].model is not None and here[0].params == {"model": here[0].model.digest}
    assert (tmp_path / "judge").samefile(here[0].model.location)
    with pytest.raises(ModelError, match=r"train\.rewards: reward_model: nowhere"):
        rewards("nowhere")
    with pytest.raises(ModelError, match="scores texts and writes none"):
        found.resolve(spec("judge"))
    trained = {"train": {"method": "reward"}, "serve": False}
    assert [metric.name for metric in found.resolve(spec("judge", **trained)).metrics] == ["pairwise_accuracy"]


def test_a_teacher_is_named_as_a_base_is(fixture: RunFixture, tmp_path: Path) -> None:
    write_base(tmp_path / "base")
    found = resolver(fixture)
    teacher = found.resolve(spec("base", train={"method": "gkd", "gkd": {"teacher": "triage@1"}})).teacher
    assert teacher is not None and teacher.weights is not None
    assert teacher.weights == found.resolve(spec("triage@1")).base.weights
    assert found.resolve(spec("base", train={"method": "sft"})).teacher is None
    with pytest.raises(ModelError, match=r"train\.seq_kd\.teacher: nowhere"):
        found.resolve(spec("base", train={"method": "seq_kd", "seq_kd": {"teacher": "nowhere"}}))


@pytest.mark.parametrize(
    ("train", "says"),
    [
        ({"method": "gkd"}, "name it in train.gkd.teacher"),
        ({"method": "sft", "gkd": {"teacher": "base"}}, "this is who gkd learns from, and method is sft"),
    ],
)
def test_a_teacher_without_its_method_and_a_method_without_its_teacher_are_refused(
    train: dict[str, Any], says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        spec("base", train=train)
