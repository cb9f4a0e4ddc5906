"""The registry on a real MLflow server that asks for a user and a password."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

import pipeline.backends.read_mlflow_server as read
from pipeline.backends.read_mlflow_server import MlflowServerReader, credentials
from pipeline.backends.track_mlflow import MlflowRegistry
from pipeline.core.context import CallContext
from pipeline.core.errors import RegistryError
from pipeline.core.registry import TrackedCall, resolve
from pipeline.registry.stage import run
from schemas.artifacts import Cost, Manifest
from schemas.base import ArtifactRef
from schemas.register import RegisterArtifact
from tests.registry.builders import config, passing_inputs
from tests.support.mlflow_server import CREDENTIALS, PASSWORD, TrackingServer, serve_mlflow
from tests.support.stored import workspace

slow = pytest.mark.slow

FIRST = ArtifactRef(stage="register", fingerprint="1" * 64)
SECOND = ArtifactRef(stage="register", fingerprint="2" * 64)


@pytest.fixture(autouse=True)
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read, "_WAITS", (0.01, 0.01))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrackingServer]:
    with serve_mlflow(tmp_path_factory.mktemp("mlflow")) as found:
        yield found


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> RegisterArtifact:
    directory = tmp_path_factory.mktemp("register")
    return run(config(), passing_inputs(directory), CallContext(), workspace(directory / "work"))


def register(registry: MlflowRegistry, artifact: RegisterArtifact, ref: ArtifactRef, name: str) -> int:
    return registry.register_version(name, artifact, ref, "d" * 64, f"artifacts/register/{ref.fingerprint}")


@slow
def test_versions_and_aliases_are_those_that_mlflow_holds(
    server: TrackingServer, artifact: RegisterArtifact, tmp_path: Path
) -> None:
    from mlflow.tracking import MlflowClient

    registry = MlflowRegistry(tmp_path / "mlflow.db", server.uri)
    assert registry.list_versions("triage") == () and registry.alias("triage", "champion") is None
    assert registry.find_version(FIRST, "d" * 64) is None and registry.alias_history("triage", "champion") == ()
    assert [register(registry, artifact, ref, "triage") for ref in (FIRST, SECOND, FIRST)] == [1, 2, 1]
    with pytest.raises(RegistryError, match="is registered as triage@1"):
        register(registry, artifact, FIRST, "other")
    registry.set_alias("triage", "champion", 1, None)
    with pytest.raises(RegistryError, match="points at version 1, not at nothing"):
        registry.set_alias("triage", "champion", 2, None)
    registry.set_alias("triage", "champion", 2, 1)
    assert registry.alias_history("triage", "champion") == (1, 2)
    registry.record_override("triage", 2, "the target is met – see ticket 7")
    version = resolve(registry, "triage")
    held = MlflowClient(server.inside, server.inside).get_model_version("triage", "2")
    assert (version.version, version.source) == (2, f"artifacts/register/{SECOND.fingerprint}")
    assert held.source == f"hone:/{version.source}"
    assert held.tags["hone.fingerprint"] == version.ref.fingerprint == SECOND.fingerprint
    assert list(held.aliases) == list(version.aliases) == ["champion"]
    assert [override.reason for override in version.overrides] == ["the target is met – see ticket 7"]
    assert registry.find_version(SECOND, "d" * 64) == version
    assert [str(one) for one in registry.list_versions()] == ["triage@1", "triage@2"]
    assert not (tmp_path / "mlflow.db").exists() and not (tmp_path / "mlruns").exists()


@slow
def test_more_versions_than_a_page_holds_are_all_found(
    server: TrackingServer, artifact: RegisterArtifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read, "_PAGE", 2)
    registry = MlflowRegistry(tmp_path / "mlflow.db", server.uri)
    for digit in "34567":
        register(registry, artifact, ArtifactRef(stage="register", fingerprint=digit * 64), "paged")
    assert [one.version for one in registry.list_versions("paged")] == [1, 2, 3, 4, 5]


@slow
def test_a_run_is_shown_once_and_goes_on(server: TrackingServer, tmp_path: Path) -> None:
    from mlflow.tracking import MlflowClient

    def call(name: str) -> TrackedCall:
        manifest = Manifest(
            stage="train", stage_version="1", fingerprint="f" * 64, content_digest="c" * 64, files=(),
            environment="main", environment_digest="e" * 64, code_version="0", created_at="2026-11-26T10:00:00+00:00",
            cost=Cost(wall_seconds=2.0, cpu_seconds=1.0, peak_memory_bytes=1), artifact={"loss": 0.5},
        )  # fmt: skip
        return TrackedCall(name, manifest, {"learning_rate": 1e-4})

    registry = MlflowRegistry(tmp_path / "mlflow.db", server.uri)
    registry.log_run("shown", "shown-1", [call("train.seed-0")], "running")
    registry.log_run("shown", "shown-1", [call("train.seed-0"), call("train.seed-1")], "finished")
    client = MlflowClient(server.inside, server.inside)
    (found,) = client.search_runs([client.get_experiment_by_name("shown").experiment_id])
    assert (found.info.status, found.info.run_name) == ("FINISHED", "shown-1")
    assert found.data.params["train.seed-1.learning_rate"] == "0.0001"
    assert found.data.metrics["train.seed-0.loss"] == 0.5
    written = len(server.requests)
    registry.log_run("shown", "shown-1", [call("train.seed-0"), call("train.seed-1")], "finished")
    assert [one for one in server.requests[written:] if "runs/search" not in one and one.startswith("POST")] == []


@slow
def test_wrong_credentials_are_told_and_not_shown(
    server: TrackingServer, artifact: RegisterArtifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "wrong-" + PASSWORD)
    with pytest.raises(RegistryError, match="refuses the credentials") as caught:
        register(MlflowRegistry(tmp_path / "mlflow.db", server.uri), artifact, FIRST, "triage")
    assert "MLFLOW_TRACKING_PASSWORD" in (caught.value.fix or "")
    assert PASSWORD not in f"{caught.value} {caught.value.detail}"


@slow
def test_what_the_client_meets_while_it_writes_is_told_too(
    server: TrackingServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reader is answered; the credentials are withdrawn before anything is written."""
    registry = MlflowRegistry(tmp_path / "mlflow.db", server.uri)
    registry.list_versions("triage")
    with pytest.raises(RegistryError, match="refuses the credentials"), registry._writing() as client:
        monkeypatch.delenv("MLFLOW_TRACKING_USERNAME")
        client.create_registered_model("never")
    with pytest.raises(RegistryError, match="HTTP 400"), registry._writing() as client:
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", CREDENTIALS["MLFLOW_TRACKING_USERNAME"])
        client.create_model_version("triage", "a/path/of/the/server")


@pytest.mark.usefixtures("impatient")
def test_a_server_that_is_gone_is_told() -> None:
    with pytest.raises(RegistryError, match="cannot be reached") as caught:
        MlflowServerReader("http://127.0.0.1:9").versions()
    assert caught.value.where == "http://127.0.0.1:9"


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    ("status", "content", "told", "requests"),
    [
        (200, "<html>a shop</html>", "there is no MLflow server", 1),
        (404, "<html>nothing here</html>", "there is no MLflow server", 1),
        (400, json.dumps({"error_code": "X", "message": "no such filter"}), "HTTP 400: no such filter", 1),
        (503, "<html>busy</html>", "answers HTTP 503", 3),
    ],
)
def test_answers_of_what_is_no_server_or_is_busy(status: int, content: str, told: str, requests: int) -> None:
    asked: list[str] = []

    class Other(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content.encode())

        def log_message(self, *arguments: object) -> None:
            """Stay silent."""

    with HTTPServer(("127.0.0.1", 0), Other) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        with pytest.raises(RegistryError, match=told):
            MlflowServerReader(f"http://127.0.0.1:{server.server_address[1]}/mlflow").alias("triage", "champion")
        server.shutdown()
    assert asked == requests * ["/mlflow/api/2.0/mlflow/registered-models/get?name=triage"]


@pytest.mark.parametrize(
    ("variables", "options"),
    [
        ({}, {}),
        ({"MLFLOW_TRACKING_USERNAME": "a", "MLFLOW_TRACKING_PASSWORD": "b"}, {"auth": ("a", "b")}),
        ({"MLFLOW_TRACKING_TOKEN": "t"}, {"headers": {"Authorization": "Bearer t"}}),
        ({"MLFLOW_TRACKING_INSECURE_TLS": "true"}, {"verify": False}),
    ],
)
def test_credentials_are_mlflows_variables(variables: dict[str, str], options: dict[str, Any]) -> None:
    assert credentials(variables) == options
