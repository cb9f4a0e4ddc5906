"""``modal run -m modal_app.main``: a whole run through containers, and the verbs that look at it afterwards."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.survival import contents
from tests.e2e.conftest import GATE_FAILED, Finished, hone, smoke
from tests.modal_app.plane import ModalHome, printed_json, serve_plane
from tests.support.hub import TOKEN, Large, serve_hub

__all__ = ["smoke"]

pytestmark = [pytest.mark.modal, pytest.mark.slow, pytest.mark.timeout(1800)]


class Done:
    """The smoke run as Modal carried it out."""

    def __init__(self, home: ModalHome, spec: Path) -> None:
        self.home, self.spec = home, spec
        self.here = home.folder / "here"
        command = home.run("--config", spec, "--yes", "--to", self.here, "--json")
        assert command.returncode == GATE_FAILED, command.stdout
        self.printed: dict[str, Any] = printed_json(command.stdout)
        self.run: str = self.printed["run"]


@pytest.fixture(scope="module")
def done(smoke: Finished, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Done]:
    folder = tmp_path_factory.mktemp("modal")
    with serve_plane(folder / "plane") as plane:
        yield Done(ModalHome(plane, folder), smoke.spec)


def test_every_artifact_is_the_one_that_is_made_on_one_machine(done: Done, smoke: Finished) -> None:
    assert done.run == smoke.printed["run"]
    assert done.home.digests(done.run) == contents(smoke.workspace, done.run)
    assert sorted(done.printed["executed"]) == sorted(name for name in smoke.printed["executed"] if name != "plan")


def test_the_report_comes_back(done: Done) -> None:
    report = Path(done.printed["report"])
    assert report == done.here / "runs" / done.run / "report" / "report.html"
    assert "<svg" in report.read_text()
    assert done.printed["summary"]["version"] == "support-triage@1"


def test_each_stage_ran_once_in_the_image_of_its_environment(done: Done) -> None:
    made = [call.function.name for call in done.home.plane.calls]
    assert made.count("train_stage") == 1
    assert made.count("prepare_run") == made.count("control_run") == 1
    assert all(call.statuses == ["SUCCESS"] for call in done.home.plane.calls)
    assert done.home.plane.running == []
    assert done.home.plane.app("hone-test").stopped


def test_the_money_is_told_by_call(done: Done) -> None:
    money = done.printed["money"]
    assert {row["call"] for row in money["calls"]} >= {"preflight", "data", "train.seed-0", "register"}
    assert money["kinds"]["preflight"]["dollars"] > 0.0
    assert 0.0 < money["spent"]["dollars"] < money["max_cost"]
    assert money["reserved"]["dollars"] == 0.0


def test_the_gate_is_told_what_was_spent(done: Done) -> None:
    report = json.loads((Path(done.printed["report"]).with_name("report.json")).read_text())
    found = next(item for item in report["conditions"] if item["name"] == "budget.max_cost")
    money = done.printed["money"]
    assert found["passed"] and found["threshold"] == money["max_cost"]
    assert 0.0 < found["estimate"] <= money["spent"]["dollars"]


def test_the_same_description_again_executes_nothing(done: Done) -> None:
    before = done.home.started("train_stage")
    again = done.home.run("--config", done.spec, "--yes", "--to", done.here, "--json")
    assert again.returncode == GATE_FAILED, again.stdout
    printed = printed_json(again.stdout)
    assert (printed["run"], printed["executed"]) == (done.run, [])
    assert done.home.started("train_stage") == before


def test_status_is_that_of_the_newest_run(done: Done) -> None:
    told = done.home.run("--to", done.here, "--json", verb="status")
    assert told.returncode == 0, told.stdout
    status = printed_json(told.stdout)
    assert (status["run"], status["state"]) == (done.run, "finished")
    assert {call["state"] for call in status["calls"]} == {"finished"}


def test_what_is_fetched_is_a_workspace(done: Done) -> None:
    there = done.home.folder / "fetched"
    assert done.home.run("--run", done.run, "--to", there, verb="fetch").returncode == 0
    shown = hone("show", "version", "support-triage@1", "--workspace", str(there), "--json")
    assert shown.returncode == 0, shown.stderr
    assert json.loads(shown.stdout)["version"]["name"] == "support-triage"
    again = hone("run", str(done.spec), "--workspace", str(there), "--json")
    assert json.loads(again.stdout)["executed"] == []


def test_a_container_pushes_a_version_to_the_hub(done: Done) -> None:
    with serve_hub() as hub:
        created = done.home.plane.modal(
            *("secret", "create", "huggingface", f"HF_TOKEN={TOKEN}", f"HF_ENDPOINT={hub.address}"),
            cwd=done.home.folder,
        )
        assert created.returncode == 0, created.stdout
        home = replace(done.home, settings={"HONE_MODAL_SECRETS": "huggingface:HF_TOKEN"})
        options = ("--version", "support-triage@1", "--variant", "merged", "--to", "hf://org/triage", "--json")
        pushed = home.run(*options, verb="export")
        assert pushed.returncode == 0, pushed.stdout
        assert printed_json(pushed.stdout)["location"] == f"{hub.address}/org/triage"
        repository = hub.repositories["org/triage"]
    assert repository["private"]
    files: dict[str, bytes | Large] = repository["files"]
    manifest = json.loads(files.pop("MANIFEST.json"))
    assert {file["path"]: file["sha256"] for file in manifest["files"]} == {
        name: content.sha256 if isinstance(content, Large) else hashlib.sha256(content).hexdigest()
        for name, content in files.items()
    }
    assert isinstance(files["model.safetensors"], Large) and hub.blocks and hub.shards and not hub.refused
    (ref,) = [call for name, call in home.calls(done.run).items() if name == "optimize.merged"]
    assert manifest["model"]["fingerprint"] == ref["fingerprint"]
    assert "export uploading: " in home.plane.app("hone-test").logs.text
    assert TOKEN not in pushed.stdout + home.plane.app("hone-test").logs.text
    assert not [path for path, content in home.files().items() if TOKEN.encode() in content]


def test_what_a_container_cannot_export_to_is_refused(done: Done, tmp_path: Path) -> None:
    folder = done.home.run("--version", "support-triage@1", "--to", str(tmp_path), verb="export")
    assert folder.returncode == 3 and "a container exports to the Hub only" in folder.stdout
    no_token = done.home.run("--version", "support-triage@1", "--to", "hf://org/triage", verb="export")
    assert no_token.returncode == 3 and "no Secret of the app has HF_TOKEN" in no_token.stdout


def test_nothing_is_garbage_while_the_run_is_there(done: Done) -> None:
    told = done.home.run("--dry-run", "--json", verb="gc")
    assert told.returncode == 0, told.stdout
    assert printed_json(told.stdout)["artifacts"] == []


def test_an_unknown_run_is_told_by_name(done: Done) -> None:
    told = done.home.run("--run", "nothing-123", verb="resume")
    assert told.returncode == 3, told.stdout
    assert "the Volume has no such run" in told.stdout and done.run in told.stdout
