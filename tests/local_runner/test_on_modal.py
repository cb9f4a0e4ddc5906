"""`hone run --on modal`: options become those of ``modal run``, its exit code is passed on, a missing token is told."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from local_runner.main import run_command
from local_runner.on_modal import ModalExport, ModalRun, require_token
from pipeline.core.errors import EnvironmentMissing

PROJECT = Path(__file__).resolve().parents[2]


def test_every_option_is_passed_on() -> None:
    run = ModalRun(
        spec=Path("a run.yaml"), overrides=("train.learning_rate=1e-4", "name=x"), first="data", last="train",
        fresh=("evaluate", "train"), max_cost=0.1, yes=True, to=Path("/records"), detach=True, as_json=True,
    )  # fmt: skip
    assert run.command == [
        sys.executable, "-P", "-m", "modal", "run", "--quiet", "--detach", "-m", "modal_app.main",
        "--config", "a run.yaml", "--set", "train.learning_rate=1e-4", "--set", "name=x", "--from", "data",
        "--until", "train", "--fresh", "evaluate", "--fresh", "train", "--max-cost", "0.1", "--yes",
        "--to", "/records", "--json",
    ]  # fmt: skip


def test_what_is_not_given_is_not_passed_on() -> None:
    command = ModalRun(spec=Path("run.yaml")).command
    assert command[4:] == ["run", "-m", "modal_app.main", "--config", "run.yaml"]


def test_an_export_is_that_of_a_container() -> None:
    export = ModalExport("triage@3", "hf://org/triage", "merged", public=True, as_json=True)
    assert export.command == [
        sys.executable, "-P", "-m", "modal", "run", "--quiet", "-m", "modal_app.main::export",
        "--version", "triage@3", "--to", "hf://org/triage", "--variant", "merged", "--public", "--json",
    ]  # fmt: skip
    plain = ModalExport("triage", "hf://org/triage").command
    assert plain[4:] == ["run", "-m", "modal_app.main::export", "--version", "triage", "--to", "hf://org/triage"]


def test_a_container_exports_to_no_folder(capsys: pytest.CaptureFixture[str]) -> None:
    code = run_command(["export", "triage", "--to", "./model", "--on", "modal"])
    assert code == 3
    assert "write hf://organization/name" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "variables"),
    [
        ("", {"MODAL_TOKEN_ID": "ak-1"}),
        ("", {"MODAL_OAUTH_REFRESH_TOKEN": "r"}),
        ('[one]\ntoken_id = "ak-1"\ntoken_secret = "as-1"\n', {}),
        ('[one]\nactive = true\n[two]\noauth_refresh_token = "r"\n', {}),
        ("this is no TOML", {}),
    ],
)
def test_a_token_is_found_where_modal_looks_and_its_file_is_left_to_it(
    text: str, variables: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "modal.toml").write_text(text)
    require_token({"MODAL_CONFIG_PATH": str(tmp_path / "modal.toml"), **variables})


@pytest.mark.parametrize("text", [None, "", "[one]\nactive = true\n", 'environment = "main"\n'])
def test_a_missing_token_is_told_with_what_to_do(text: str | None, tmp_path: Path) -> None:
    file = tmp_path / "modal.toml"
    if text is not None:
        file.write_text(text)
    with pytest.raises(EnvironmentMissing, match="no token for Modal") as caught:
        require_token({"MODAL_CONFIG_PATH": str(file), "MODAL_TOKEN_ID": ""})
    assert caught.value.where == str(file)
    assert "modal token new" in (caught.value.fix or "")


@pytest.fixture
def stand_in(tmp_path: Path) -> dict[str, str]:
    """Return variables under which ``-m modal`` is a script that tells its arguments and ends as it is told to."""
    (tmp_path / "modal.py").write_text(
        "import os, sys, time\n"
        "print(sys.argv[1:], flush=True)\n"
        "try:\n"
        "    time.sleep(float(os.environ.get('STAND_IN_SECONDS', '0')))\n"
        "except KeyboardInterrupt:\n"
        "    sys.exit(130)\n"
        "sys.exit(10)\n"
    )
    return {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{PROJECT}", "MODAL_TOKEN_ID": "ak-1"}


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "local_runner.main", "run", "run.yaml", *arguments]


def test_the_exit_code_is_passed_on_and_a_workspace_receives_the_record(
    stand_in: dict[str, str], tmp_path: Path
) -> None:
    arguments = ("--on", "modal", "--set", "name=x", "--workspace", "records")
    done = subprocess.run(command(*arguments), env=stand_in, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 10, done.stderr
    words = [
        "run",
        "-m",
        "modal_app.main",
        "--config",
        "run.yaml",
        "--set",
        "name=x",
        "--to",
        str(tmp_path / "records"),
    ]
    assert done.stdout == f"{words}\n"


def test_without_a_token_nothing_is_started(stand_in: dict[str, str], tmp_path: Path) -> None:
    variables = {**stand_in, "MODAL_TOKEN_ID": "", "MODAL_CONFIG_PATH": str(tmp_path / "none.toml")}
    done = subprocess.run(
        command("--on", "modal"), env=variables, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (5, "")
    assert "this machine has no token for Modal" in done.stderr and "modal token new" in done.stderr


def as_a_job() -> None:
    """Ignore interruptions, as a shell has its jobs in the background do."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@pytest.mark.slow
@pytest.mark.parametrize("begin", [None, as_a_job])
def test_a_termination_is_passed_on_as_an_interruption(
    begin: Callable[[], None] | None, stand_in: dict[str, str], tmp_path: Path
) -> None:
    variables = {**stand_in, "STAND_IN_SECONDS": "60"}
    with subprocess.Popen(
        command("--on", "modal"),
        env=variables,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=begin,
    ) as process:
        assert process.stdout is not None and process.stdout.readline().startswith("['run'")
        time.sleep(0.3)  # until the stand-in sleeps
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 130


@pytest.mark.parametrize("option", [("--yes",), ("--max-cost", "1"), ("--detach",)])
def test_options_of_modal_are_refused_here(option: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["run", "run.yaml", *option]) == 2
    told = capsys.readouterr().err
    assert f"{option[0]} is for runs on Modal" in told and "--on modal" in told
