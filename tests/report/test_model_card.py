from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from pipeline.core.errors import ConfigError
from pipeline.core.workspace import Store
from pipeline.report.model_card import base_license, model_card
from pipeline.report.types import OverrideNote, Registration
from pipeline.report.version import VersionRecord
from schemas.optimize import Variant
from tests.support.run_fixture import RunFixture


def metadata(card: str) -> dict[str, object]:
    _, front, _ = card.split("---\n", 2)
    value = yaml.safe_load(front)
    assert isinstance(value, dict)
    return value


def load(fixture: RunFixture) -> VersionRecord:
    fixture.build()
    return VersionRecord.load(Store(fixture.root), fixture.refs["register"])


def test_an_adapter_on_a_local_base_takes_its_license_and_names_no_hub_model(version: VersionRecord) -> None:
    found = metadata(model_card(version, "adapter"))
    assert found["license"] == "apache-2.0"
    assert found["library_name"] == "peft"
    assert "base_model" not in found and "datasets" not in found


@pytest.mark.parametrize(
    ("variant", "relation", "library"),
    [("adapter", "adapter", "peft"), ("merged", "finetune", "transformers"), ("w4a16", "quantized", "transformers")],
)
def test_a_hub_base_and_data_set_are_linked(fixture: RunFixture, variant: str, relation: str, library: str) -> None:
    fixture.hub = True
    found = metadata(model_card(load(fixture), variant))
    assert (found["base_model"], found["base_model_relation"]) == ("org/tiny", relation)
    assert found["library_name"] == library
    assert found["datasets"] == ["org/messages"]


def test_the_metadata_are_what_the_hub_library_reads(version: VersionRecord) -> None:
    from huggingface_hub import ModelCard

    data = ModelCard(model_card(version, "w4a16")).data
    assert data.eval_results is not None
    (result,) = data.eval_results
    # the evaluation of this form: 17 of 20
    assert (result.metric_type, result.metric_value, result.dataset_split) == ("exact_match", 0.85, "test")


def test_the_card_of_an_archived_librarys_variant_says_so_and_what_loads_it(version: VersionRecord) -> None:
    made = version.variants["w4a16"]
    variant = Variant.model_validate({"name": "w4a16", "backend": "auto_gptq"})
    version.variants["w4a16"] = replace(made, artifact=made.artifact.model_copy(update={"variant": variant}))
    card = model_card(version, "w4a16")
    assert metadata(card)["tags"] == ["hone", "sft", "lora", "gptq", "4-bit"]
    assert "auto-gptq, which is archived upstream and succeeded by gptqmodel" in card
    assert "From this folder, with transformers (gptqmodel and optimum installed):" in card
    assert "archived" not in model_card(version, "merged")


def test_the_card_says_what_was_decided_measured_and_not_known(version: VersionRecord) -> None:
    card = model_card(version, "merged", Registration(version="triage@4", aliases=("candidate",)))
    assert "triage@4, candidate now" in card
    assert "**Promoted.** Better than the best baseline; the target is reached." in card
    assert "+70.0 points, 95% interval +45.0 to +90.0" in card
    assert "69.9% to 97.2% | 20 |" in card
    assert "One seed was trained" in card
    assert version.model.manifest.content_digest in card
    assert "/home/" not in card and str(version.store.root) not in card


def test_an_override_and_its_reason_stay_on_the_card(fixture: RunFixture) -> None:
    fixture.promoted = False
    note = OverrideNote(reason="needed for the *fair*", time="2026-11-24T09:00:00+00:00")
    card = model_card(load(fixture), "adapter", Registration(version="triage@2", overrides=(note,)))
    assert "**Refused.**" in card
    assert "2026-11-24T09:00:00+00:00" in card and r"needed for the \*fair\*" in card


def test_an_unknown_form_is_answered_with_the_nearest(version: VersionRecord) -> None:
    with pytest.raises(ConfigError) as raised:
        model_card(version, "w4a61")
    assert raised.value.fix == "did you mean w4a16? this version has adapter, merged, w4a16"


@pytest.mark.parametrize(
    "text", ["", "# no front matter", "---\nlicense: [mit]\n---\n", "---\n: : :\n---\n", "---\n- a\n---\n"]
)
def test_a_base_that_states_no_license_has_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "README.md").write_text(text)
    assert base_license(tmp_path) is None
    assert base_license(tmp_path / "missing") is None


def test_a_license_is_read_from_the_base_s_card(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("---\nlicense: mit\ntags: [a]\n---\ntext\n")
    assert base_license(tmp_path) == "mit"
