"""The registry over a real MLflow with SQLite."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.core.context import CallContext
from pipeline.core.errors import RegistryError
from pipeline.core.registry import TrackedCall, resolve
from pipeline.registry.backends import open_registry
from pipeline.registry.stage import run
from schemas.artifacts import Cost, Manifest, StoredFile
from schemas.base import ArtifactRef
from schemas.register import RegisterArtifact
from tests.registry.builders import config, passing_inputs
from tests.support.stored import workspace

ROOT = Path(__file__).parents[2]
# The tests ask MLflow's client itself, which uses what SQLAlchemy 2.1 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

FIRST = ArtifactRef(stage="register", fingerprint="1" * 64)
SECOND = ArtifactRef(stage="register", fingerprint="2" * 64)


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> RegisterArtifact:
    directory = tmp_path_factory.mktemp("register")
    return run(config(), passing_inputs(directory), CallContext(), workspace(directory / "work"))


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory, artifact: RegisterArtifact) -> bytes:
    """An MLflow database with its tables and one version of another name: made once, copied by each test."""
    database = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    register(database, artifact, ArtifactRef(stage="register", fingerprint="0" * 64), name="other")
    return database.read_bytes()


@pytest.fixture
def database(tmp_path: Path, empty: bytes) -> Iterator[Path]:
    path = tmp_path / "mlflow.db"
    path.write_bytes(empty)
    yield path
    assert not (tmp_path / "mlruns").exists()


def register(database: Path, artifact: RegisterArtifact, ref: ArtifactRef, name: str = "triage") -> int:
    source = f"artifacts/register/{ref.fingerprint}"
    return open_registry(database).register_version(name, artifact, ref, "d" * 64, source)


def test_a_version_is_registered_once_and_read_as_mlflow_holds_it(database: Path, artifact: RegisterArtifact) -> None:
    from mlflow.tracking import MlflowClient

    assert register(database, artifact, FIRST) == 1
    assert register(database, artifact, SECOND) == 2
    assert register(database, artifact, FIRST) == 1
    registry = open_registry(database)
    registry.set_alias("triage", "champion", 2, None)
    version = registry.get_version("triage", 2)
    client = MlflowClient(f"sqlite:///{database}", f"sqlite:///{database}")
    held = client.get_model_version("triage", "2")
    assert (version.source, version.verdict) == (held.source, "promoted")
    assert held.tags["hone.fingerprint"] == version.ref.fingerprint == SECOND.fingerprint
    assert held.tags["hone.content_digest"] == version.content_digest
    assert held.tags["hone.digest.data_source"] == version.digests["data_source"] == "source"
    assert list(held.aliases) == list(version.aliases) == ["champion"]
    assert "a significant gain" in held.description
    assert client.get_model_version_by_alias("triage", "champion").version == held.version
    assert [str(v) for v in registry.list_versions("triage")] == ["triage@1", "triage@2"]
    assert [str(v) for v in registry.list_versions()] == ["other@1", "triage@1", "triage@2"]
    assert registry.find_version(SECOND, "d" * 64) == version
    assert registry.find_version(SECOND, "e" * 64) is None
    assert registry.find_version(ArtifactRef(stage="register", fingerprint="9" * 64), "d" * 64) is None


def test_aliases_move_by_compare_and_set(database: Path, artifact: RegisterArtifact) -> None:
    register(database, artifact, FIRST)
    register(database, artifact, SECOND)
    registry = open_registry(database)
    assert registry.alias("triage", "champion") is None
    registry.set_alias("triage", "champion", 1, None)
    with pytest.raises(RegistryError, match="points at version 1, not at nothing"):
        registry.set_alias("triage", "champion", 2, None)
    assert registry.alias("triage", "champion") == 1
    registry.set_alias("triage", "champion", 2, 1)
    registry.set_alias("triage", "champion", 2, 1)  # repeated: it is there already
    registry.set_alias("triage", "champion", 1, 2)
    assert registry.alias_history("triage", "champion") == (1, 2, 1)
    assert registry.alias("triage", "candidate") is None
    assert registry.alias_history("triage", "candidate") == ()
    with pytest.raises(RegistryError, match="triage has 1, 2"):
        registry.set_alias("triage", "champion", 3, 1)


def test_a_history_cut_by_a_kill_still_ends_with_the_present(database: Path, artifact: RegisterArtifact) -> None:
    from mlflow.tracking import MlflowClient

    register(database, artifact, FIRST)
    client = MlflowClient(f"sqlite:///{database}", f"sqlite:///{database}")
    client.set_registered_model_alias("triage", "champion", "1")
    assert open_registry(database).alias_history("triage", "champion") == (1,)


def test_overrides_stay_on_the_version(database: Path, artifact: RegisterArtifact) -> None:
    register(database, artifact, FIRST)
    registry = open_registry(database)
    registry.record_override("triage", 1, "the target is met on live traffic – see ticket 7")
    registry.record_override("triage", 1, "the target is met on live traffic – see ticket 7")
    registry.record_override("triage", 1, "second reason")
    reasons = [override.reason for override in registry.get_version("triage", 1).overrides]
    assert reasons == ["the target is met on live traffic – see ticket 7", "second reason"]
    with pytest.raises(RegistryError, match="needs a reason"):
        registry.record_override("triage", 1, "  ")


def test_references_resolve_or_say_what_there_is(database: Path, artifact: RegisterArtifact) -> None:
    register(database, artifact, FIRST)
    registry = open_registry(database)
    assert resolve(registry, "triage@1").version == 1
    with pytest.raises(RegistryError, match=r"triage has no champion.*triage@1"):
        resolve(registry, "triage")
    registry.set_alias("triage", "champion", 1, None)
    assert resolve(registry, "triage") == resolve(registry, "triage@champion") == registry.get_version("triage", 1)
    with pytest.raises(RegistryError, match="did you mean triage"):
        resolve(registry, "triaje@1")
    with pytest.raises(RegistryError, match="neither a version number nor an alias"):
        resolve(registry, "triage@champ")
    with pytest.raises(RegistryError, match="no version of nothing is registered"):
        resolve(registry, "nothing@candidate")


def test_an_artifact_that_was_made_again_with_other_content_is_a_version_of_its_own(
    database: Path, artifact: RegisterArtifact
) -> None:
    register(database, artifact, FIRST)
    registry = open_registry(database)
    before = registry.get_version("triage", 1)
    for _ in range(2):
        assert registry.register_version("triage", artifact, FIRST, "e" * 64, before.source) == 2
    assert registry.get_version("triage", 1) == before
    assert registry.find_version(FIRST, "e" * 64) == registry.get_version("triage", 2)


def test_other_names_and_absolute_sources_are_refused(database: Path, artifact: RegisterArtifact) -> None:
    register(database, artifact, FIRST)
    registry = open_registry(database)
    with pytest.raises(RegistryError, match="is registered as triage@1"):
        registry.register_version("tickets", artifact, FIRST, "d" * 64, "artifacts/register/1")
    for source in ("/tmp/model", "../model"):
        with pytest.raises(RegistryError, match="not a path inside the workspace"):
            registry.register_version("triage", artifact, SECOND, "d" * 64, source)


def test_a_missing_or_broken_database(tmp_path: Path) -> None:
    registry = open_registry(tmp_path / "none.db")
    assert registry.list_versions() == ()
    assert registry.alias("triage", "champion") is None
    assert registry.alias_history("triage", "champion") == ()
    assert not (tmp_path / "none.db").exists()
    broken = tmp_path / "broken.db"
    broken.write_text("this is no database, and long enough to be looked at as one" * 20)
    with pytest.raises(RegistryError, match="cannot be read"):
        open_registry(broken).list_versions()


KILLED = """
import os, signal, sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("PRAGMA cache_size = 1")  # pages reach the file before the transaction ends
connection.execute("BEGIN")
connection.execute("UPDATE model_versions SET source = 'torn'")
connection.execute("UPDATE model_version_tags SET value = 'torn'")
connection.execute("CREATE TABLE large AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 9999) "
                   "SELECT i, hex(randomblob(50)) FROM n")
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_writer_is_rolled_back_by_the_next_reader(database: Path, artifact: RegisterArtifact) -> None:
    register(database, artifact, FIRST)
    before = open_registry(database).list_versions()
    killed = subprocess.run([sys.executable, "-c", KILLED, str(database)], timeout=60)
    journal = database.with_name("mlflow.db-journal")
    assert killed.returncode == -signal.SIGKILL
    assert journal.stat().st_size > 0
    assert open_registry(database).list_versions() == before
    assert not journal.exists()


@pytest.mark.slow
def test_a_journal_whose_database_was_moved_away_does_not_touch_the_new_one(
    database: Path, artifact: RegisterArtifact
) -> None:
    subprocess.run([sys.executable, "-c", KILLED, str(database)], timeout=60)
    database.unlink()
    assert register(database, artifact, FIRST) == 1
    assert [str(version) for version in open_registry(database).list_versions()] == ["triage@1"]


def tracked(directory: Path, fingerprint: str, loss: float) -> TrackedCall:
    directory.mkdir(parents=True, exist_ok=True)
    lines = [{"step": 1, "loss": 2.5, "learning_rate": 0.1}, {"step": 2, "loss": loss, "learning_rate": 0.05}]
    (directory / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    manifest = Manifest(
        stage="train",
        fingerprint=fingerprint * 64,
        content_digest="b" * 64,
        stage_version="1",
        code_version="1",
        environment="main",
        environment_digest="c" * 64,
        created_at="2026-11-23T08:00:00+00:00",
        files=(StoredFile(path="log.jsonl", sha256="a" * 64, size=1),),
        artifact={"train_loss": loss, "kind": "adapter", "rendered": {"rows": 7}, "stopped_early": False},
        cost=Cost(cpu_seconds=1.5, wall_seconds=2.0, peak_memory_bytes=1000),
    )
    settings = {
        "learning_rate": 0.1,
        "lora": {"r": 8},
        "base": {"weights": {"location": "/home/me", "digest": "x"}},
    }
    return TrackedCall.of("train.seed-0", manifest, settings, directory)


def test_a_run_is_projected_once(database: Path, tmp_path: Path) -> None:
    from mlflow.tracking import MlflowClient

    registry = open_registry(database)
    call = tracked(tmp_path / "train", "a", 1.25)
    registry.log_run("triage", "triage-1", [], "running")
    registry.log_run("triage", "triage-1", [call], "finished")
    registry.log_run("triage", "triage-1", [call], "finished")
    client = MlflowClient(f"sqlite:///{database}", f"sqlite:///{database}")
    experiment = client.get_experiment_by_name("triage")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    assert len(runs) == 1
    held = runs[0]
    assert held.info.status == "FINISHED"
    assert held.data.params["train.seed-0.learning_rate"] == "0.1"
    assert held.data.params["train.seed-0.lora.r"] == "8"
    assert "/home/me" not in str(held.data.params)
    assert held.data.metrics["train.seed-0.train_loss"] == 1.25
    assert held.data.metrics["train.seed-0.rendered.rows"] == 7.0
    assert held.data.metrics["train.seed-0.cost.cpu_seconds"] == 1.5
    curve = client.get_metric_history(held.info.run_id, "train.seed-0.curve.loss")
    assert [(point.step, point.value) for point in curve] == [(1, 2.5), (2, 1.25)]


def test_a_projection_that_was_killed_is_done_again_without_doubling(database: Path, tmp_path: Path) -> None:
    from mlflow.tracking import MlflowClient

    registry = open_registry(database)
    call = tracked(tmp_path / "train", "a", 1.25)
    registry.log_run("triage", "triage-1", [call], "running")
    client = MlflowClient(f"sqlite:///{database}", f"sqlite:///{database}")
    experiment = client.get_experiment_by_name("triage")
    assert experiment is not None
    (held,) = client.search_runs([experiment.experiment_id])
    # The tag is the last thing written: without it the call counts as not logged.
    client.delete_tag(held.info.run_id, "hone.call.train.seed-0")
    registry.log_run("triage", "triage-1", [call], "finished")
    assert len(client.get_metric_history(held.info.run_id, "train.seed-0.curve.loss")) == 2
    assert len(client.get_metric_history(held.info.run_id, "train.seed-0.train_loss")) == 1


def test_another_artifact_for_a_call_begins_another_run(database: Path, tmp_path: Path) -> None:
    from mlflow.tracking import MlflowClient

    registry = open_registry(database)
    registry.log_run("triage", "triage-1", [tracked(tmp_path / "a", "a", 1.25)], "finished")
    registry.log_run("triage", "triage-1", [tracked(tmp_path / "b", "b", 1.0)], "finished")
    registry.log_run("triage", "triage-1", [tracked(tmp_path / "b", "b", 1.0)], "finished")
    client = MlflowClient(f"sqlite:///{database}", f"sqlite:///{database}")
    experiment = client.get_experiment_by_name("triage")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    assert sorted(run.data.metrics["train.seed-0.train_loss"] for run in runs) == [1.0, 1.25]


READ = """
import sys
from pathlib import Path
from pipeline.core.registry import resolve
from pipeline.registry.backends import open_registry
registry = open_registry(Path(sys.argv[1]))
version = resolve(registry, "triage@champion")
assert version.version == 1
assert registry.alias_history("triage", "champion") == (1,)
heavy = {"mlflow", "pandas", "numpy", "sqlalchemy"} & set(sys.modules)
assert not heavy, heavy
"""


def test_reading_imports_nothing_heavy(database: Path, artifact: RegisterArtifact) -> None:
    register(database, artifact, FIRST)
    open_registry(database).set_alias("triage", "champion", 1, None)
    subprocess.run([sys.executable, "-c", READ, str(database)], cwd=ROOT, check=True, timeout=60)


WRITE = """
import sys
from pathlib import Path
from pipeline.registry.backends import open_registry
from schemas.base import ArtifactRef
from schemas.register import RegisterArtifact
artifact = RegisterArtifact.model_validate_json(Path(sys.argv[2]).read_text())
ref = ArtifactRef(stage="register", fingerprint="1" * 64)
print(open_registry(Path(sys.argv[1])).register_version("triage", artifact, ref, "d" * 64, "artifacts/register/1"))
"""


@pytest.mark.slow
def test_two_processes_register_one_version_in_a_new_database(tmp_path: Path, artifact: RegisterArtifact) -> None:
    (tmp_path / "artifact.json").write_text(artifact.model_dump_json())
    database = tmp_path / "new" / "mlflow.db"
    command = [sys.executable, "-c", WRITE, str(database), str(tmp_path / "artifact.json")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    writers = [
        subprocess.Popen(
            command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    ended = [writer.communicate(timeout=120) for writer in writers]
    assert [writer.returncode for writer in writers] == [0, 0], ended
    assert ended == [("1\n", ""), ("1\n", "")]
    assert [version.version for version in open_registry(database).list_versions()] == [1]
    assert sorted(path.name for path in database.parent.iterdir()) == ["mlflow.db", "mlflow.db.lock"]
    assert not (tmp_path / "mlruns").exists()


def test_a_version_of_somebody_else_is_not_hones(database: Path, artifact: RegisterArtifact) -> None:
    from mlflow.tracking import MlflowClient

    client = MlflowClient(f"sqlite:///{database}", f"sqlite:///{database}")
    client.create_registered_model("triage")
    client.create_model_version("triage", "elsewhere", await_creation_for=0)
    registry = open_registry(database)
    assert registry.list_versions("triage") == ()
    assert register(database, artifact, FIRST) == 2
