from __future__ import annotations

import hashlib
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Annotated

import pytest

from pipeline.core.errors import IntegrityError, StorageError
from pipeline.core.workspace import (
    MANIFEST,
    Store,
    Workspace,
    artifact_digest,
    check_description,
    content_digest,
    list_files,
    write_atomic,
)
from schemas.artifacts import Artifact, Cost, Manifest, StoredFile
from schemas.base import ArtifactRef, NotFingerprinted

REF = ArtifactRef(stage="data", fingerprint="ab" * 32)


def manifest_for(workspace: Workspace) -> Manifest:
    files = list_files(workspace.output)
    return Manifest(
        stage=REF.stage,
        fingerprint=REF.fingerprint,
        content_digest=content_digest(files),
        stage_version="1",
        code_version="0",
        environment="main",
        environment_digest="0" * 64,
        created_at="2026-01-01T00:00:00+00:00",
        files=files,
        artifact={},
        cost=Cost(cpu_seconds=0.0, wall_seconds=0.0, peak_memory_bytes=0),
    )


def make(store: Store, text: str = "hello") -> Path:
    workspace = store.open_work(REF)
    workspace.file("sub/a.txt").write_text(text)
    (workspace.output / "config.json").write_text("{}")
    return store.commit(REF, workspace, manifest_for(workspace))


def test_content_digest_is_the_hash_of_sorted_path_and_hash_lines() -> None:
    # By hand: sha256 of "a 11..11\nb 22..22\n"; the order of the argument does not matter.
    one = StoredFile(path="b", sha256="2" * 64, size=1)
    two = StoredFile(path="a", sha256="1" * 64, size=1)
    expected = hashlib.sha256(f"a {'1' * 64}\nb {'2' * 64}\n".encode()).hexdigest()
    assert content_digest((one, two)) == content_digest((two, one)) == expected


def test_a_directory_without_a_manifest_does_not_exist(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.directory(REF).mkdir(parents=True)
    (store.directory(REF) / "model.safetensors").write_bytes(b"half")
    assert store.manifest(REF) is None
    assert list(store.list()) == []


def test_commit_leaves_files_manifest_and_no_work(tmp_path: Path) -> None:
    store = Store(tmp_path)
    directory = make(store)
    assert (directory / "sub" / "a.txt").read_text() == "hello"
    manifest = store.verify(REF)
    assert [file.path for file in manifest.files] == ["sub/a.txt"]  # records are not content
    assert not store.work_directory(REF).exists()
    assert list(store.list("data")) == [REF]
    assert list(store.list("train")) == []


def test_scratch_survives_an_attempt_and_output_does_not(tmp_path: Path) -> None:
    store = Store(tmp_path)
    first = store.open_work(REF)
    first.file("half.txt").write_text("half")
    (first.scratch / "checkpoint").write_text("kept")
    second = store.open_work(REF)
    assert not (second.output / "half.txt").exists()
    assert (second.scratch / "checkpoint").read_text() == "kept"


@pytest.mark.parametrize("damage", ["change", "remove", "add"])
def test_verify_names_the_damaged_file(tmp_path: Path, damage: str) -> None:
    store = Store(tmp_path)
    path = make(store) / "sub" / "a.txt"
    match damage:
        case "change":
            path.write_text("hellO")
        case "remove":
            path.unlink()
        case "add":
            (path.parent / "b.txt").write_text("")
    with pytest.raises(IntegrityError) as caught:
        store.verify(REF)
    assert "sub/" in str(caught.value)


def test_a_damaged_manifest_is_an_error_not_an_absence(tmp_path: Path) -> None:
    store = Store(tmp_path)
    (make(store) / MANIFEST).write_text("{")
    with pytest.raises(IntegrityError, match="manifest is damaged"):
        store.manifest(REF)


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "a/../../x"])
def test_a_stage_cannot_write_outside_its_output(tmp_path: Path, path: str) -> None:
    with pytest.raises(StorageError, match="leads out"):
        Store(tmp_path).open_work(REF).file(path)


def test_links_are_refused(tmp_path: Path) -> None:
    workspace = Store(tmp_path).open_work(REF)
    (workspace.output / "link").symlink_to("/etc/hostname")
    with pytest.raises(StorageError, match="links"):
        list_files(workspace.output)


def test_write_atomic_leaves_old_content_where_writing_fails(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    write_atomic(path, "old")
    with pytest.raises(UnicodeEncodeError):
        write_atomic(path, "\ud800")
    assert path.read_text() == "old"
    assert [found.name for found in tmp_path.iterdir()] == ["file.json"]


def test_discard_removes_artifact_and_work(tmp_path: Path) -> None:
    store = Store(tmp_path)
    make(store)
    store.discard(REF)
    assert store.manifest(REF) is None
    store.discard(REF)  # removing nothing is no error


def test_a_second_caller_waits_for_the_lease(tmp_path: Path) -> None:
    store, order = Store(tmp_path), []
    waiting = threading.Event()

    def second() -> None:
        with Store(tmp_path).leases.hold(REF, waiting.set):
            order.append("second")

    with store.leases.hold(REF):
        thread = threading.Thread(target=second)
        thread.start()
        assert waiting.wait(10)
        order.append("first")
    thread.join(10)
    assert order == ["first", "second"]


HOLD = """
import sys, time
from pathlib import Path
from typing import Annotated
from pipeline.core.workspace import Store
from schemas.base import ArtifactRef, NotFingerprinted
with Store(Path(sys.argv[1])).leases.hold(ArtifactRef(stage="data", fingerprint="ab" * 32)):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_killed_holder_frees_the_lease(tmp_path: Path) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    holder.stdout.close()
    started = time.monotonic()
    with Store(tmp_path).leases.hold(REF):
        assert time.monotonic() - started < 5


class Noted(Artifact):
    """An artifact whose clock is not part of what it is."""

    score: float
    seconds: Annotated[float, NotFingerprinted()] = 0.0


class Grown(Noted):
    """The same in a later version."""

    more: str = "new"


def test_a_description_has_the_digest_that_it_was_written_with_and_no_other(tmp_path: Path) -> None:
    noted = Noted(score=0.5, seconds=3.0)
    manifest = manifest_for(Workspace(output=tmp_path, scratch=tmp_path)).model_copy(
        update={"artifact": noted.model_dump(mode="json"), "content_digest": artifact_digest((), noted)}
    )
    check_description(manifest, noted, tmp_path)
    check_description(manifest, Grown.model_validate(manifest.artifact), tmp_path)
    better = manifest.model_copy(update={"artifact": {"score": 0.75, "seconds": 3.0}})
    with pytest.raises(IntegrityError, match="was changed"):
        check_description(better, Noted.model_validate(better.artifact), tmp_path)
    more = manifest.model_copy(update={"files": (StoredFile(path="a", sha256="1" * 64, size=1),)})
    with pytest.raises(IntegrityError, match="was changed"):
        check_description(more, noted, tmp_path)
