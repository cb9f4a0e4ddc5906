from __future__ import annotations

import pytest

from pipeline.core.errors import ConfigError, IntegrityError
from pipeline.core.workspace import Store
from pipeline.report.record import RunRecord
from pipeline.report.show import find_artifact, show_artifact, show_run, show_version
from schemas.base import ArtifactRef
from tests.support.run_fixture import RunFixture


def test_a_run_shows_its_verdict_and_calls(record: RunRecord) -> None:
    view = show_run(record)
    assert view.answer == "ship" and len(view.calls) == 15
    assert view.gain is not None and view.gain.reference == "base"


def test_a_version_is_hashed_again_from_end_to_end(fixture: RunFixture) -> None:
    fixture.build()
    store = Store(fixture.root)
    view = show_version(store, fixture.refs["register"])
    assert view.whole and view.variants == ("adapter", "merged", "w4a16")
    # decision, data, one model, two variants, four evaluations, serve
    assert len(view.checks) == 10

    changed = store.directory(fixture.refs["train.seed-0"]) / "model" / "adapter_model.safetensors"
    changed.write_bytes(changed.read_bytes()[:-1] + b"\x00")
    view = show_version(store, fixture.refs["register"])
    problems = {check.role: check.problem for check in view.checks if check.problem is not None}
    assert list(problems) == ["model seed-0"] and "changed" in str(problems["model seed-0"])
    assert not view.whole


def test_a_model_that_was_made_again_with_other_content_is_not_the_version_s(fixture: RunFixture) -> None:
    fixture.build()
    fixture.remake("train.seed-0", "model/adapter_model.safetensors")
    view = show_version(Store(fixture.root), fixture.refs["register"])
    problems = {check.role: str(check.problem) for check in view.checks if check.problem is not None}
    assert list(problems) == ["model seed-0"]
    assert "was made again since this version was registered" in problems["model seed-0"]


def test_a_version_without_its_data_is_no_version(fixture: RunFixture) -> None:
    fixture.build()
    store = Store(fixture.root)
    store.discard(fixture.refs["data"])
    with pytest.raises(IntegrityError, match="does not exist"):
        show_version(store, fixture.refs["register"])


def test_an_artifact_shows_its_manifest_and_whether_it_is_whole(fixture: RunFixture) -> None:
    fixture.build()
    store = Store(fixture.root)
    view = show_artifact(store, fixture.refs["train.seed-0"])
    assert view.check.problem is None and view.check.files == len(view.manifest.files) == 6
    assert view.config["learning_rate"] == 0.005
    (store.directory(fixture.refs["train.seed-0"]) / "extra").write_text("x")
    assert "not in the manifest" in str(show_artifact(store, fixture.refs["train.seed-0"]).check.problem)
    with pytest.raises(IntegrityError, match="does not exist"):
        show_artifact(store, ArtifactRef(stage="data", fingerprint="0" * 64))


def test_an_artifact_is_found_by_the_first_digits(fixture: RunFixture) -> None:
    fixture.build()
    store, ref = Store(fixture.root), fixture.refs["serve"]
    assert find_artifact(store, str(ref)) == ref
    assert find_artifact(store, ref.fingerprint[:10].upper()) == ref
    for text, message in (("abc", "too short"), ("data/" + ref.fingerprint, "no artifact")):
        with pytest.raises(ConfigError, match=message):
            find_artifact(store, text)
