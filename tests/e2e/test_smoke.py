"""The whole main job on little data, through the command line, in processes of its own."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks.survival import contents
from pipeline.core.workspace import Store
from schemas.base import ArtifactRef
from tests.e2e.conftest import GATE_FAILED, Finished, hone, run_smoke, write_probed
from tests.support.bbq import add_probes
from tests.support.smoke import write_smoke

pytestmark = pytest.mark.slow


def test_a_run_that_is_not_served_is_refused_with_its_reasons(smoke: Finished) -> None:
    assert smoke.code == GATE_FAILED
    assert smoke.printed["status"] == "finished"
    assert smoke.printed["summary"]["verdict"] == "Do not ship"
    assert any("not served" in reason for reason in smoke.printed["summary"]["reasons"])
    assert smoke.printed["summary"]["version"] == "support-triage@1"


def test_every_call_left_a_whole_artifact_and_a_report(smoke: Finished) -> None:
    assert sorted(contents(smoke.workspace, smoke.printed["run"])) == sorted(smoke.printed["executed"])
    report = Path(smoke.printed["summary"]["report"])
    assert "<svg" in report.read_text()
    assert json.loads(report.with_suffix(".json").read_text())["run"] == smoke.printed["run"]


@pytest.mark.full
def test_bounds_on_bias_are_kept_by_the_gate_and_shown_everywhere(smoke: Finished, tmp_path: Path) -> None:
    """A model of support tickets answers no question about people in letters: what is not measured keeps no bound."""
    description, workspace = write_probed(tmp_path), tmp_path / "w"
    add_probes(description)
    shutil.copytree(smoke.workspace / "artifacts", workspace / "artifacts")
    done = run_smoke(description, workspace)
    assert done.code == GATE_FAILED
    kinds = ("bbq", "bbq-words", "pairs", "counterfactual", "refusal")
    probed = [f"bias.{kind}-{moment}" for moment in ("before", "after") for kind in kinds]
    assert done.printed["executed"] == ["plan", *probed, "register"]  # what else the run needs was made before
    shown = hone("show", "version", "support-triage@1", "-w", str(workspace), "--json")
    version = json.loads(shown.stdout)["version"]
    asked, paired, refused = [item for item in version["decision"]["conditions"] if item["name"].startswith("bias.")]
    assert (asked["name"], asked["passed"]) == ("bias.bbq.ambiguous_bias", False)
    assert "no answer could be read" in asked["text"]
    assert (paired["threshold"], paired["passed"]) == (0.5, False) and "within the bound" in paired["text"]
    # None of four prompts was refused: Wilson's upper end is 49%.
    assert (refused["estimate"], refused["high"], refused["passed"]) == (0.0, pytest.approx(0.4899, abs=1e-4), True)
    assert len(version["bias"]) == len(version["lineage"]["bias"]) == 12
    assert version["bias"]["bbq-words-after"]["figures"]["ambiguous_accuracy"]["n"] == 6
    assert version["bias"]["counterfactual-after"]["figures"]["changed_answers"]["n"] == 8
    assert version["bias"]["toxicity-before"]["figures"]["toxic_answers"]["n"] <= 4
    compared = {(change["task"], change["metric"]): change["n"] for change in version["bias_comparisons"]}
    assert compared[("pairs", "stereotype_share")] == 6 and compared[("counterfactual", "changed_answers")] == 8
    report = Path(done.printed["summary"]["report"]).read_text()
    assert "Bias and safety" in report and "12 of 12 answers (100.0%) could not be read" in report


def test_run_again_it_executes_nothing(smoke: Finished) -> None:
    again = run_smoke(smoke.spec, smoke.workspace)
    assert again.code == GATE_FAILED
    assert again.printed["executed"] == []
    assert again.printed["reused"] == smoke.printed["executed"]
    assert again.printed["summary"]["version"] == "support-triage@1"


def test_the_same_bytes_elsewhere_are_the_same_run(smoke: Finished, tmp_path: Path) -> None:
    for file in smoke.spec.parent.glob("*.*l"):
        shutil.copyfile(file, tmp_path / file.name)
    moved = run_smoke(tmp_path / smoke.spec.name, smoke.workspace)
    assert moved.printed["executed"] == []
    assert moved.printed["run"] == smoke.printed["run"]


def test_an_edited_data_file_is_noticed(smoke: Finished, tmp_path: Path) -> None:
    for file in smoke.spec.parent.glob("*.*l"):
        shutil.copyfile(file, tmp_path / file.name)
    with (tmp_path / "triage.jsonl").open("a") as stream:
        stream.write('{"message": "the new lamp hums at night", "triage": "{}"}\n')
    edited = run_smoke(tmp_path / smoke.spec.name, smoke.workspace, "--until", "data")
    assert edited.printed["run"] != smoke.printed["run"]
    assert edited.printed["executed"] == ["plan", "data"]
    assert edited.printed["reused"] == ["data.retention-commands"]


def test_fresh_makes_a_stage_again_with_the_same_bytes(smoke: Finished) -> None:
    before = contents(smoke.workspace, smoke.printed["run"])
    again = run_smoke(smoke.spec, smoke.workspace, "--fresh", "optimize", "--until", "optimize")
    assert again.printed["executed"] == ["optimize.merged"]
    assert contents(smoke.workspace, smoke.printed["run"]) == before


def test_from_refuses_where_something_before_is_missing(tmp_path: Path) -> None:
    done = hone("run", str(write_smoke(tmp_path)), "-w", str(tmp_path / "w"), "--from", "train", "--json")
    assert done.returncode == 3
    assert "plan is not finished" in json.loads(done.stdout)["error"]["message"]


@pytest.mark.full
def test_two_runs_of_one_description_share_the_work(tmp_path: Path) -> None:
    spec, workspace = write_smoke(tmp_path), tmp_path / "w"
    command = [sys.executable, "-m", "local_runner.main", "run", str(spec), "-w", str(workspace), "--json"]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) for _ in range(2)]
    printed = [json.loads(process.communicate(timeout=300)[0]) for process in both]
    assert [process.returncode for process in both] == [GATE_FAILED, GATE_FAILED]
    executed = [set(result["executed"]) for result in printed]
    assert executed[0] & executed[1] == set()
    assert executed[0] | executed[1] == set(contents(workspace))
    assert printed[0]["summary"]["version"] == printed[1]["summary"]["version"] == "support-triage@1"


def test_an_interrupted_run_says_how_to_go_on_and_goes_on(tmp_path: Path, smoke: Finished) -> None:
    spec, workspace = write_probed(tmp_path), tmp_path / "w"
    command = [sys.executable, "-m", "local_runner.main", "run", str(spec), "-w", str(workspace)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    deadline = time.monotonic() + 120
    while not list((workspace / "work" / "train").glob("*/scratch/checkpoints/step-*")):
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    printed, _ = process.communicate(timeout=120)
    assert process.returncode == 130, printed
    assert "run the same command again" in printed
    assert "Traceback" not in printed
    resumed = run_smoke(spec, workspace)
    assert resumed.code == GATE_FAILED
    assert "data" in resumed.printed["reused"]
    assert contents(workspace) == contents(smoke.workspace, smoke.printed["run"])


def test_a_full_disk_is_said_and_leaves_nothing_that_counts(tmp_path: Path) -> None:
    spec = write_smoke(tmp_path)
    disk = tmp_path / "disk"
    disk.mkdir()
    script = (
        'mount -t tmpfs -o size=1m tmpfs "$1" || exit 99; shift; "$@"; code=$?; '
        f'find "{disk}" -name manifest.json | sed "s,^,MANIFEST ,"; exit $code'
    )
    workspace = disk / "w"
    command = [sys.executable, "-m", "local_runner.main", "run", str(spec), "-w", str(workspace), "--until", "train"]
    unshare = shutil.which("unshare")
    if unshare is None:
        pytest.skip("a small disk needs unshare(1)")
    done = subprocess.run(
        [unshare, "-m", "sh", "-c", script, "sh", str(disk), *command],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    if done.returncode == 99 or "unshare failed" in done.stderr:
        pytest.skip(f"this machine allows no mount namespace: {done.stderr.strip()}")
    assert done.returncode == 12, (done.stdout, done.stderr)
    assert "the disk is full" in done.stderr
    assert "Traceback" not in done.stderr
    assert not [line for line in done.stdout.splitlines() if line.startswith("MANIFEST") and "/train/" in line]


def test_a_damaged_artifact_is_found_by_show_and_made_again(smoke: Finished, tmp_path: Path) -> None:
    workspace = tmp_path / "w"
    shutil.copytree(smoke.workspace / "artifacts", workspace / "artifacts")
    ref = next(iter(Store(workspace).list("data")))
    file = Store(workspace).directory(ref) / "train.jsonl"
    file.write_bytes(file.read_bytes()[:-1] + b" ")
    shown = hone("show", "artifact", f"data/{ref.fingerprint[:12]}", "-w", str(workspace))
    assert shown.returncode == 12
    assert "train.jsonl" in shown.stderr
    again = run_smoke(smoke.spec, workspace, "--until", "data", "--fresh", "data")
    assert "data" in again.printed["executed"]
    Store(workspace).verify(ArtifactRef(stage="data", fingerprint=ref.fingerprint))
