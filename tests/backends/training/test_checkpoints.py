"""Checkpoints: whole or not there."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.backends.training.checkpoints import Checkpoint, CheckpointStore, find_damage
from pipeline.core.context import CallContext
from pipeline.core.errors import StorageError
from schemas.events import Event

FILES = ("journal.json", "optimizer.pt", "weights.safetensors")


def writer(step: int) -> Callable[[Path], None]:
    def write(directory: Path) -> None:
        for name in FILES:
            (directory / name).write_bytes(f"{name} of {step}".encode() * 20)

    return write


def store(directory: Path, events: list[Event] | None = None) -> CheckpointStore:
    return CheckpointStore(directory, CallContext(sink=(events if events is not None else []).append))


def steps(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_the_newest_two_and_the_best_are_kept(tmp_path: Path) -> None:
    checkpoints = store(tmp_path)
    for step in (1, 2, 3, 4):
        checkpoints.write(step, writer(step), keep=(1,))
    assert steps(tmp_path) == ["step-00000001", "step-00000003", "step-00000004"]
    assert checkpoints.newest_whole() == Checkpoint(4, tmp_path / "step-00000004")


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


@pytest.mark.parametrize("damage", [truncate, flip, Path.unlink])
@pytest.mark.parametrize("name", [*FILES, "manifest.json"])
def test_a_damaged_file_is_said_and_the_previous_checkpoint_used(
    tmp_path: Path, name: str, damage: Callable[[Path], None]
) -> None:
    events: list[Event] = []
    checkpoints = store(tmp_path, events)
    for step in (5, 10):
        checkpoints.write(step, writer(step))
    damage(tmp_path / "step-00000010" / name)
    found = checkpoints.newest_whole()
    assert found is not None
    assert found.step == 5
    warning = events[-1]
    assert warning.kind == "warning"
    assert warning.message.startswith("checkpoint of step 10 is not used: ")
    assert name in warning.message


def test_a_file_too_many_is_damage(tmp_path: Path) -> None:
    path = store(tmp_path).write(1, writer(1)).path
    (path / "stray").touch()
    assert find_damage(path) == "stray is not in the manifest"


def test_another_steps_directory_under_this_name_is_damage(tmp_path: Path) -> None:
    store(tmp_path).write(1, writer(1)).path.rename(tmp_path / "step-00000009")
    assert find_damage(tmp_path / "step-00000009") == "manifest.json is damaged"


def test_half_written_checkpoints_do_not_exist(tmp_path: Path) -> None:
    class Killed(BaseException):
        pass

    def die(directory: Path) -> None:
        (directory / FILES[0]).touch()
        raise Killed

    checkpoints = store(tmp_path)
    with pytest.raises(Killed):
        checkpoints.write(3, die)
    assert checkpoints.newest_whole() is None
    assert steps(tmp_path) == []
    (tmp_path / "step-00000003.tmp").mkdir()  # what a SIGKILL leaves
    assert checkpoints.newest_whole() is None
    assert checkpoints.write(3, writer(3)).step == 3
    assert steps(tmp_path) == ["step-00000003"]


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
        RuntimeError("[enforce fail] . PytorchStreamWriter failed writing file data/0: file write failed"),
        ValueError("I/O error: No space left on device (os error 28)"),
    ],
)
def test_a_full_disk_is_one_clear_error(tmp_path: Path, error: Exception) -> None:
    def fail(directory: Path) -> None:
        raise error

    with pytest.raises(StorageError, match="the disk is full"):
        store(tmp_path).write(1, fail)
    assert steps(tmp_path) == []


def test_other_errors_keep_their_type(tmp_path: Path) -> None:
    def fail(directory: Path) -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        store(tmp_path).write(1, fail)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(FILES))
def test_any_flipped_bit_is_found(tmp_path_factory: pytest.TempPathFactory, position: int, name: str) -> None:
    directory = tmp_path_factory.mktemp("flip")
    path = store(directory).write(1, writer(1)).path
    data = bytearray((path / name).read_bytes())
    data[position % len(data)] ^= 1 << (position % 8)
    (path / name).write_bytes(bytes(data))
    assert find_damage(path) == f"{name} has changed"
