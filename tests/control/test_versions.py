from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.control.versions import open_version
from pipeline.core.errors import IntegrityError
from pipeline.core.registry import Registry
from pipeline.core.workspace import Store
from pipeline.execute import load
from tests.support.registered import OneVersion
from tests.support.run_fixture import RunFixture, flip


@pytest.fixture
def fixture(tmp_path: Path) -> RunFixture:
    made = RunFixture(tmp_path / "workspace")
    made.build()
    return made


def registry(fixture: RunFixture) -> Registry:
    return OneVersion(load(Store(fixture.root), fixture.refs["register"]))


def test_a_version_opens_with_what_it_was_registered_with(fixture: RunFixture) -> None:
    version = open_version(fixture.root, registry(fixture), "triage@1")
    assert version.model().ref == fixture.refs["optimize.merged"]
    assert version.model("adapter").ref == fixture.refs["train.seed-0"]


def test_a_record_that_was_made_again_with_other_content_is_not_opened(fixture: RunFixture) -> None:
    before = registry(fixture)
    fixture.remake("register", "decision.json")
    with pytest.raises(IntegrityError, match="the record of triage@1 was made again and has other content"):
        open_version(fixture.root, before, "triage@1")


def test_a_model_that_was_made_again_with_other_content_is_not_served(fixture: RunFixture) -> None:
    fixture.remake("train.seed-0", "model/adapter_model.safetensors")
    version = open_version(fixture.root, registry(fixture), "triage@1")
    with pytest.raises(IntegrityError, match="was made again since this version was registered"):
        version.model("adapter")


@pytest.mark.parametrize("variant", ["merged", "adapter", None])
def test_a_model_with_a_flipped_byte_is_not_served(fixture: RunFixture, variant: str | None) -> None:
    version = open_version(fixture.root, registry(fixture), "triage@1")
    version.files(variant)
    call, name = ("train.seed-0", "adapter_model") if variant == "adapter" else ("optimize.merged", "model")
    flip(Store(fixture.root).directory(fixture.refs[call]) / f"model/{name}.safetensors")
    with pytest.raises(IntegrityError, match="file is changed"):
        version.files(variant)
