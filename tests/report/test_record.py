from __future__ import annotations

import json

import pytest

from pipeline.core.errors import IntegrityError, SourceError
from pipeline.report.record import RunRecord
from tests.support.run_fixture import RunFixture


def test_a_finished_run_is_read_by_what_each_call_is_for(record: RunRecord) -> None:
    assert list(record.baselines) == ["base", "few-shot"]
    assert list(record.models) == ["seed-0"] == list(record.evaluations)
    assert list(record.variants) == ["merged", "w4a16"] == list(record.variant_evaluations)
    assert {task: sorted(moments) for task, moments in record.retention.items()} == {"commands": ["after", "before"]}
    assert record.register is not None and record.shipped == "seed-0"
    assert record.models["seed-0"].config()["learning_rate"] == 0.005


def test_an_unfinished_run_has_what_was_reached(fixture: RunFixture) -> None:
    record = RunRecord.load(fixture.root, fixture.build(until="train.seed-0"))
    assert record.register is None and record.serve is None
    assert record.evaluations == {} == record.variants
    assert list(record.models) == ["seed-0"]


def test_a_call_whose_artifact_was_removed_counts_as_missing(fixture: RunFixture) -> None:
    run = fixture.build()
    record = RunRecord.load(fixture.root, run)
    record.store.discard(fixture.refs["serve"])
    assert RunRecord.load(fixture.root, run).serve is None


def test_a_run_without_calls_is_a_run(fixture: RunFixture) -> None:
    run = fixture.build()
    (fixture.root / "runs" / run / "calls.json").unlink()
    assert RunRecord.load(fixture.root, run).calls == {}


def test_an_unknown_run_is_answered_with_the_nearest(fixture: RunFixture) -> None:
    run = fixture.build()
    with pytest.raises(SourceError) as raised:
        RunRecord.load(fixture.root, run[:-1])
    assert raised.value.fix == f"did you mean {run}?"


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"run": 1}'])
def test_a_damaged_record_is_named(fixture: RunFixture, text: str) -> None:
    run = fixture.build()
    path = fixture.root / "runs" / run / "run.json"
    path.write_text(text)
    with pytest.raises(IntegrityError) as raised:
        RunRecord.load(fixture.root, run)
    assert str(path.parent) in str(raised.value.where)


def test_a_manifest_of_another_version_is_refused(fixture: RunFixture) -> None:
    run = fixture.build()
    record = RunRecord.load(fixture.root, run)
    path = record.store.directory(fixture.refs["serve"]) / "manifest.json"
    manifest = json.loads(path.read_text())
    del manifest["artifact"]["prompts"]
    path.write_text(json.dumps(manifest))
    with pytest.raises(IntegrityError, match="another version"):
        _ = RunRecord.load(fixture.root, run).serve
