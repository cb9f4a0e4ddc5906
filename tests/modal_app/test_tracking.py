"""Versions and runs on an MLflow server: a real one that asks for a password, which the controller's Secret has."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from schemas.errors import EXIT_CODES
from tests.e2e.conftest import GATE_FAILED, hone
from tests.modal_app.plane import ModalHome, printed_json, serve_plane
from tests.modal_app.secrets import SECRETS as DEPLOYED
from tests.modal_app.serving_support import Site
from tests.support.mlflow_server import CREDENTIALS, PASSWORD, TrackingServer, serve_mlflow
from tests.support.smoke import write_smoke

pytestmark = [pytest.mark.modal, pytest.mark.slow, pytest.mark.timeout(1800)]

NAME = "support-triage"
SHORT = ("--set", "train.max_steps=2", "--set", "train.seeds=[0]", "--set", "variants=[]", "--set", "serve=false")
SECRETS = {**DEPLOYED, "mlflow": CREDENTIALS, "another": {**CREDENTIALS, "MLFLOW_TRACKING_PASSWORD": "another"}}
KEYS = "MLFLOW_TRACKING_USERNAME+MLFLOW_TRACKING_PASSWORD"


class Tracked:
    """The app whose registry is on the server, and a description."""

    def __init__(self, home: ModalHome, server: TrackingServer, spec: Path) -> None:
        self.home, self.server, self.spec = home, server, spec

    def run(self, home: ModalHome | None = None) -> Any:
        """Carry the description out, as far as it takes for a version."""
        used = home or self.home
        return used.run("--config", self.spec, *SHORT, "--yes", "--json", "--to", self.home.folder / "here")

    def client(self) -> Any:
        """Return MLflow's own client, which comes in by the other door."""
        from mlflow.tracking import MlflowClient

        return MlflowClient(self.server.inside, self.server.inside)


@pytest.fixture(scope="module")
def tracked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tracked]:
    folder = tmp_path_factory.mktemp("tracking")
    with serve_mlflow(folder) as server, serve_plane(folder / "plane", secrets=SECRETS) as plane:
        settings = {"HONE_MODAL_TRACKING_URI": server.uri, "HONE_MODAL_TRACKING_SECRET": f"mlflow:{KEYS}"}
        yield Tracked(ModalHome(plane, folder, settings), server, write_smoke(folder))


def test_credentials_that_the_server_refuses_end_the_run_in_its_preflight(tracked: Tracked) -> None:
    settings = {**tracked.home.settings, "HONE_MODAL_TRACKING_SECRET": f"another:{KEYS}"}
    refused = tracked.run(replace(tracked.home, settings=settings))
    assert refused.returncode == EXIT_CODES["registry"], refused.stdout
    assert "refuses the credentials" in refused.stdout
    assert tracked.home.started("control_run") == tracked.home.started("train_stage") == 0


@pytest.mark.full
def test_a_run_its_version_and_a_promotion_are_on_the_server_only(tracked: Tracked) -> None:
    done = tracked.run()
    assert done.returncode == GATE_FAILED, done.stdout
    printed = printed_json(done.stdout)
    assert printed["summary"]["version"] == f"{NAME}@1"
    client = tracked.client()
    version = client.get_model_version(NAME, "1")
    assert version.source.startswith("hone:/artifacts/register/")
    (shown,) = client.search_runs([client.get_experiment_by_name(NAME).experiment_id])
    assert (shown.info.run_name, shown.info.status) == (printed["run"], "FINISHED")
    assert shown.data.params["train.seed-0.max_steps"] == "2"
    moved = tracked.home.run("--version", f"{NAME}@1", "--reason", "a test", "--json", verb="promote")
    assert moved.returncode == 0, moved.stdout
    assert client.get_model_version_by_alias(NAME, "champion").version == version.version
    assert "mlflow.db" not in tracked.home.files()


@pytest.mark.full
def test_what_is_fetched_reads_the_same_server(tracked: Tracked, monkeypatch: pytest.MonkeyPatch) -> None:
    there = tracked.home.folder / "there"
    run = tracked.client().search_registered_models()[0].latest_versions[0]
    (name,) = {path.split("/")[1] for path in tracked.home.files() if path.startswith("runs/")}
    fetched = tracked.home.run("--run", name, "--to", there, verb="fetch")
    assert fetched.returncode == 0, fetched.stdout
    assert "HONE_TRACKING_URI=" in fetched.stdout
    monkeypatch.setenv("HONE_TRACKING_URI", tracked.server.uri)
    for variable, value in CREDENTIALS.items():
        monkeypatch.setenv(variable, value)
    shown = hone("show", "version", f"{NAME}@champion", "--workspace", str(there), "--json")
    assert shown.returncode == 0, shown.stderr
    assert json.loads(shown.stdout)["version"]["decision"]["verdict"] == run.tags["hone.verdict"]
    assert not (there / "mlflow.db").exists()


def test_only_what_reads_and_writes_the_registry_has_the_secret(tracked: Tracked) -> None:
    deployed = Site(tracked.home).deploy()
    assert deployed.returncode == 0, deployed.stdout
    functions = tracked.home.plane.functions
    with_secret = {name for name, function in functions.items() if "mlflow" in function.secrets}
    assert with_secret == {
        "prepare_run", "prepare_retraining_run", "control_run", "collect_garbage", "move_champion", "push_version",
        "Endpoint",
    }  # fmt: skip
    assert "train_stage" in functions
    assert not [path for path, content in tracked.home.files().items() if PASSWORD.encode() in content]
    assert PASSWORD not in "".join(app.logs.text for app in tracked.home.plane.apps)
