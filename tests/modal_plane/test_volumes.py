"""Volumes: what a container sees and when, the errors of Modal, and the client's file commands."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.modal_plane.conftest import Write
from tests.modal_plane.server import Plane

pytestmark = pytest.mark.modal

SHARED = """
    import os, time, modal

    app = modal.App("shared")
    volume = modal.Volume.from_name("artifacts", create_if_missing=True, version=2)
    meeting = modal.Dict.from_name("meeting", create_if_missing=True)

    def wait(word):
        while word not in meeting:
            time.sleep(0.05)

    @app.function(volumes={"/artifacts": volume})
    def writer():
        with open("/artifacts/half.txt", "w") as file:
            file.write("half")
        os.symlink("half.txt", "/artifacts/link")
        os.makedirs("/artifacts/deep/er")
        meeting["written"] = True
        wait("looked")
        volume.commit()
        meeting["committed"] = True
        wait("reloaded")
        os.remove("/artifacts/half.txt")
        os.remove("/artifacts/link")
        with open("/artifacts/uncommitted.txt", "w") as file:
            file.write("at exit")

    @app.function(volumes={"/artifacts": volume})
    def reader():
        seen = []
        wait("written")
        volume.reload()
        seen.append(sorted(os.listdir("/artifacts")))
        meeting["looked"] = True
        wait("committed")
        seen.append(sorted(os.listdir("/artifacts")))
        volume.reload()
        seen.append(sorted(os.listdir("/artifacts")))
        seen.append(open("/artifacts/link").read())
        with open("/artifacts/half.txt"):
            try:
                volume.reload()
            except RuntimeError as error:
                seen.append(str(error))
        os.chdir("/artifacts/deep")
        try:
            volume.reload()
        except RuntimeError as error:
            seen.append(str(error))
        os.chdir("/")
        volume.reload()
        meeting["reloaded"] = True
        return seen

    @app.local_entrypoint()
    def main():
        first, second = writer.spawn(), reader.spawn()
        for line in second.get():
            print(f"seen: {line}")
        first.get()
"""


def test_others_see_a_commit_after_their_reload_and_nothing_before(modal_plane: Plane, write: Write) -> None:
    done = modal_plane.modal("run", str(write(SHARED)))
    assert done.returncode == 0, done.stdout
    seen = [line.removeprefix("seen: ") for line in done.stdout.splitlines() if line.startswith("seen: ")]
    assert seen[:4] == ["[]", "[]", "['deep', 'half.txt', 'link']", "half"]
    assert seen[4] == "there are open files preventing the operation: path half.txt is open"
    assert seen[5] == "there are open files preventing the operation: cwd is inside volume"
    assert len(seen) == 6
    # the reader wrote nothing, so its own commit at the end brings back nothing that the writer removed
    assert modal_plane.volumes["artifacts"].files() == {"uncommitted.txt": b"at exit"}


def test_a_killed_container_leaves_only_what_it_committed(modal_plane: Plane, write: Write) -> None:
    path = write("""
        import os, modal

        app = modal.App("killed")
        volume = modal.Volume.from_name("v1", create_if_missing=True)

        @app.function(volumes={"/data": volume}, retries=0)
        def work():
            with open("/data/kept", "w") as file:
                file.write("kept")
            volume.commit()
            with open("/data/kept", "w") as file:
                file.write("lost")
            os._exit(9)

        @app.function(volumes={"/data": volume.with_mount_options(read_only=True)})
        def look():
            try:
                open("/data/new", "w")
            except OSError as error:
                return open("/data/kept").read(), error.strerror

        @app.local_entrypoint()
        def main():
            try:
                work.remote()
            except modal.exception.RemoteError:
                print(look.remote())
    """)
    done = modal_plane.modal("run", str(path))
    assert "('kept', 'Read-only file system')" in done.stdout


@pytest.mark.parametrize("version", [1, 2])
def test_the_volume_commands_move_files_of_many_blocks(modal_plane: Plane, tmp_path: Path, version: int) -> None:
    def modal(*arguments: str) -> str:
        done = modal_plane.modal(*arguments)
        assert done.returncode == 0, done.stdout
        return done.stdout

    modal("volume", "create", "files", "--version", str(version))
    source = tmp_path / "source"
    source.mkdir()
    # three blocks of 8 MiB: random, zeros (of which nothing is sent), and a part that ends in zeros
    content = os.urandom(8 * 2**20) + bytes(8 * 2**20) + os.urandom(1000) + bytes(24)
    (source / "big.bin").write_bytes(content)
    (source / "empty").write_bytes(b"")
    modal("volume", "put", "files", str(source), "/into/here")
    assert modal_plane.volumes["files"].files() == {"into/here/big.bin": content, "into/here/empty": b""}
    modal("volume", "get", "files", "into/here", str(tmp_path))
    assert (tmp_path / "here" / "big.bin").read_bytes() == content
    assert (tmp_path / "here" / "empty").read_bytes() == b""


def test_the_volume_commands_list_refuse_to_overwrite_and_remove(modal_plane: Plane, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a")
    assert modal_plane.modal("volume", "create", "files", "--version", "2").returncode == 0
    put = ("volume", "put", "files", str(tmp_path / "a.txt"), "into/a.txt")
    assert modal_plane.modal(*put).returncode == 0
    assert "already exists" in modal_plane.modal(*put).stdout
    assert "into/a.txt" in modal_plane.modal("volume", "ls", "files", "into").stdout
    assert modal_plane.modal("volume", "rm", "files", "into", "-r").returncode == 0
    assert modal_plane.volumes["files"].files() == {}


def test_a_name_that_was_not_created_and_a_version_that_differs_are_refused(modal_plane: Plane, write: Write) -> None:
    path = write("""
        import modal

        modal.Volume.from_name("there", create_if_missing=True, version=2).hydrate()
        for arguments in ({"name": "absent"}, {"name": "there", "version": 1}):
            try:
                modal.Volume.from_name(**arguments).hydrate()
            except Exception as error:
                print(type(error).__name__, error)

        app = modal.App("unmounted")

        @app.local_entrypoint()
        def main():
            try:
                modal.Volume.from_name("there").commit()
            except RuntimeError as error:
                print(error)
    """)
    done = modal_plane.modal("run", str(path))
    assert "NotFoundError Volume 'absent' not found in environment 'main'" in done.stdout
    assert "InvalidError" in done.stdout
    assert "not mounted here" in done.stdout
