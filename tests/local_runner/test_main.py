"""What the command line says of a wrong command, for people and as one JSON object."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.control.versions import promote, roll_back
from pipeline.core.errors import GateRefused, IntegrityError, RegistryError
from pipeline.core.workspace import Store
from pipeline.execute import load
from schemas.errors import ExitCode
from tests.local_runner.conftest import Hone
from tests.support.memory_registry import MemoryRegistry
from tests.support.run_fixture import RunFixture


@pytest.mark.parametrize(
    ("arguments", "command"),
    [
        (("nonsense", "--json"), "hone"),
        (("run", "--json"), "hone run"),
        (("--json", "run"), "hone"),
        (("run", "x.yaml", "--fast", "--json"), "hone run"),
        (("run", "x.yaml", "--from", "nowhere", "--json"), "hone run"),
        (("show", "nothing", "--json"), "hone show"),
    ],
)
def test_a_wrong_command_is_one_json_object(hone: Hone, arguments: tuple[str, ...], command: str) -> None:
    ran = hone(*arguments)
    assert ran.code == ExitCode.USAGE
    assert (ran.json["error"]["code"], ran.json["error"]["where"]) == ("usage", command)
    assert ran.json["error"]["message"] and ran.json["error"]["fix"] == f"see {command} --help"
    assert ran.err == ""


def test_a_wrong_command_without_json_is_told_on_standard_error(hone: Hone) -> None:
    ran = hone("nonsense")
    assert (ran.code, ran.out) == (ExitCode.USAGE, "")
    assert "nonsense" in ran.err


def test_stages_in_the_wrong_order_are_refused(hone: Hone, tmp_path: Path) -> None:
    ran = hone("run", tmp_path / "x.yaml", "--from", "serve", "--until", "data", "-w", tmp_path, "--json")
    assert ran.code == ExitCode.CONFIG
    assert ran.json["error"]["message"] == "stage serve comes after stage data, so nothing would be called"


def test_lists_are_told_as_objects(hone: Hone, tmp_path: Path) -> None:
    assert {found["name"] for found in hone("env", "list", "--json").json["environments"]} >= {"main", "serve-vllm"}
    assert "python" in {check["name"] for check in hone("doctor", "-w", tmp_path, "--json").json["checks"]}


def registered(tmp_path: Path, *, promoted: bool) -> tuple[RunFixture, MemoryRegistry]:
    """Return a run, and a registry with its version, triage@1."""
    fixture = RunFixture(tmp_path / "workspace", promoted=promoted)
    fixture.build()
    record = load(Store(fixture.root), fixture.refs["register"])
    registry = MemoryRegistry()
    registry.register_version("triage", record.artifact, record.ref, record.content_digest, "")
    return fixture, registry


def test_a_refused_version_and_an_unknown_one_have_codes_of_their_own(tmp_path: Path) -> None:
    fixture, registry = registered(tmp_path, promoted=False)
    for reason in (None, "", " \n", ".", "\u200b"):
        with pytest.raises(GateRefused) as caught:
            promote(fixture.root, registry, "triage@1", reason)
    assert caught.value.exit_code is ExitCode.GATE_FAILED
    assert promote(fixture.root, registry, "triage@1", "a demonstration").after == 1
    with pytest.raises(RegistryError) as unknown:
        promote(fixture.root, registry, "triage@9", None)
    assert unknown.value.exit_code is ExitCode.STAGE_FAILED


def test_rolling_back_a_name_that_is_not_registered_names_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match="no version of triag is registered") as caught:
        roll_back(tmp_path, registered(tmp_path, promoted=False)[1], "triag", None, None)
    assert caught.value.fix == "did you mean triage?"


def test_a_verdict_that_was_changed_promotes_nothing(tmp_path: Path) -> None:
    fixture, registry = registered(tmp_path, promoted=False)
    # What a tracking store says of the verdict decides nothing,
    version = registry.get_version("triage", 1)
    registry.held[0] = replace(version, verdict="promoted")
    with pytest.raises(GateRefused):
        promote(fixture.root, registry, "triage@1", None)
    # and the record's own cannot be changed unseen.
    manifest = Store(fixture.root).directory(fixture.refs["register"]) / "manifest.json"
    changed = manifest.read_text().replace('"verdict": "refused"', '"verdict": "promoted"')
    assert changed != manifest.read_text()
    manifest.write_text(changed)
    with pytest.raises(IntegrityError, match="the manifest was changed"):
        promote(fixture.root, registry, "triage@1", None)
    assert registry.alias("triage", "champion") is None


@pytest.mark.parametrize("call", ["register", "optimize.merged"])
def test_nothing_whose_evidence_or_model_is_gone_takes_traffic(tmp_path: Path, call: str) -> None:
    fixture, registry = registered(tmp_path, promoted=True)
    shutil.rmtree(Store(fixture.root).directory(fixture.refs[call]))
    with pytest.raises(IntegrityError, match="does not exist"):
        promote(fixture.root, registry, "triage@1", None)
    with pytest.raises(IntegrityError, match="does not exist"):
        roll_back(fixture.root, registry, "triage", 1, None)
    assert registry.alias("triage", "champion") is None
