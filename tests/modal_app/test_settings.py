"""Settings: what variables choose, what is refused, and that an image's variables give the same settings again."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from modal_app.settings import PREFIX, NamedSecret, Settings
from pipeline.core.errors import ConfigError

ALL = {
    "HONE_MODAL_APP": "triage",
    "HONE_MODAL_DEVICE": "cpu",
    "HONE_MODAL_CONFIG": "examples/a run.yaml",
    "HONE_MODAL_SECRETS": "huggingface:HF_TOKEN, openai,huggingface : HF_TOKEN + HONE_SECRET_HUB,",
    "HONE_MODAL_WORKERS": "2",
    "HONE_MODAL_LEASE_SECONDS": "8.5",
    "HONE_MODAL_SERVE": "triage@3",
    "HONE_MODAL_PORT": "8001",
    "HONE_MODAL_NODES": "2",
    "HONE_MODAL_TRACKING_URI": "https://mlflow.example.com/",
    "HONE_MODAL_TRACKING_SECRET": "mlflow:MLFLOW_TRACKING_USERNAME+MLFLOW_TRACKING_PASSWORD",
}


def test_without_variables_stages_run_on_gpus_under_the_apps_own_name() -> None:
    assert Settings.read({}) == Settings("hone", "cuda", None, (), 4, 40.0, None, 8000, 1)


def test_every_variable_is_read_and_others_are_left_alone() -> None:
    read = Settings.read({**ALL, "HONE_DATA": "/data", "MODAL_TOKEN_ID": "x", "HOME": "/root"})
    secrets = (NamedSecret("huggingface", ("HF_TOKEN", "HONE_SECRET_HUB")), NamedSecret("openai"))
    tracking = NamedSecret("mlflow", ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"))
    uri = "https://mlflow.example.com"
    assert read == Settings("triage", "cpu", "examples/a run.yaml", secrets, 2, 8.5, "triage@3", 8001, 2, uri, tracking)


def test_an_empty_variable_is_as_none() -> None:
    assert Settings.read(dict.fromkeys(ALL, " ")) == Settings()


@pytest.mark.parametrize("given", [{}, ALL, {"HONE_MODAL_LEASE_SECONDS": "0.1"}])
def test_the_variables_of_an_image_give_the_same_settings(given: dict[str, str]) -> None:
    read = Settings.read(given)
    assert Settings.read(read.environment()) == read
    assert all(name.startswith(PREFIX) and value for name, value in read.environment().items())


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("APP", "two words", "'two words' cannot be an app's name"),
        ("APP", "-hone", "cannot be an app's name"),
        ("APP", "ap-" + 22 * "a", "cannot be an app's name"),
        ("APP", 55 * "a", "at most 54 characters, this one 55"),
        ("DEVICE", "gpu", "there is no device 'gpu'"),
        ("SECRETS", "openai,my key", "'my key' cannot be a Secret's name"),
        ("SECRETS", "openai:TOKEN", "'TOKEN' of openai is no key that stages see"),
        ("SECRETS", "openai:", "'' of openai is no key that stages see"),
        ("TRACKING_URI", "sqlite:///mlflow.db", "no MLflow server's address"),
        ("TRACKING_URI", "https://me:secret@host", "a tracking URI holds no credentials"),
        ("TRACKING_SECRET", "mlflow:HF_TOKEN", "'HF_TOKEN' of mlflow is none of MLFLOW_TRACKING_USERNAME"),
        ("TRACKING_SECRET", "mlflow", "there is no server for it"),
        ("NODES", "33", "'33' is not a number of containers"),
        ("WORKERS", "0", "'0' is not a number of workers"),
        ("WORKERS", "1.5", "'1.5' is not a number of workers"),
        ("LEASE_SECONDS", "0", "'0' is not a number of seconds"),
        ("LEASE_SECONDS", "inf", "'inf' is not a number of seconds"),
        ("LEASE_SECONDS", "soon", "'soon' is not a number of seconds"),
        ("SERVE", "triage@candidate", "'triage@candidate' names nothing that can be served"),
        ("SERVE", "triage@0", "'triage@0' names nothing that can be served"),
        ("PORT", "80", "'80' is not a port"),
        ("PORT", "65536", "'65536' is not a port"),
    ],
)
def test_what_cannot_be_is_refused_with_its_variable(name: str, value: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told) as caught:
        Settings.read({PREFIX + name: value})
    assert caught.value.where == PREFIX + name
    assert caught.value.fix


def test_modal_takes_the_names_of_the_longest_app_and_its_volumes() -> None:
    from modal._utils.name_utils import is_valid_object_name

    app = Settings.read({"HONE_MODAL_APP": 54 * "a"}).app
    assert is_valid_object_name(f"{app}-artifacts")
    assert not is_valid_object_name(f"{app}a-artifacts")


def test_an_unknown_setting_is_answered_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="no such setting") as caught:
        Settings.read({"HONE_MODAL_DEVCE": "cpu"})
    assert caught.value.fix == "did you mean HONE_MODAL_DEVICE?"


def test_a_wrong_setting_ends_modals_command_with_one_line() -> None:
    """Before Modal is asked for anything: no server is named here."""
    done = subprocess.run(
        [sys.executable, "-m", "modal", "deploy", "-m", "modal_app.settings"],
        env={**os.environ, "HONE_MODAL_DEVICE": "gpu"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 3  # the exit code of a wrong configuration
    assert done.stderr == "error: HONE_MODAL_DEVICE: there is no device 'gpu' (one of cpu, cuda)\n"
