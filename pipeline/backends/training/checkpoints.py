"""Checkpoints that survive anything: written aside, hashed, made whole by their manifest, renamed into place.

``<directory>/step-<N>/`` holds the files and, written last, ``manifest.json`` with the sha256 of each. What was being
written when the process died is a ``.tmp`` directory that nobody reads. Before a checkpoint is loaded its hashes are
checked; one that is damaged is skipped, with an event that says which file and why.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pipeline.core.context import CallContext
from pipeline.core.errors import StorageError
from pipeline.core.workspace import MANIFEST, fsync_directory, fsync_tree, hash_file, write_atomic

KEPT = 2
"""How many of the newest checkpoints stay, besides the best one."""

_NAME = re.compile(r"step-(\d+)")


@dataclass(frozen=True)
class Checkpoint:
    """A whole checkpoint: the number of optimizer steps behind it, and its directory."""

    step: int
    path: Path


class CheckpointStore:
    """The checkpoints of one training.

    Args:
        directory: where they lie; made when the first is written.
        context: receives an event for each that is written, and a warning for each that is damaged.
    """

    def __init__(self, directory: Path, context: CallContext) -> None:
        self._directory = directory
        self._context = context

    def write(self, step: int, write_files: Callable[[Path], None], keep: Iterable[int] = ()) -> Checkpoint:
        """Store the files that ``write_files`` puts into the directory it is given; keep ``keep`` and the newest.

        Raises:
            StorageError: the disk is full or cannot be written; nothing half-written counts as a checkpoint.
        """
        target = self.path(step)
        temporary = self._directory / f"{target.name}.tmp"
        shutil.rmtree(temporary, ignore_errors=True)
        try:
            temporary.mkdir(parents=True)
            with _as_storage_error(self._directory):
                write_files(temporary)
                fsync_tree(temporary)
                write_atomic(temporary / MANIFEST, _manifest(step, _hashes(temporary)))
                fsync_directory(temporary)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        shutil.rmtree(target, ignore_errors=True)
        temporary.rename(target)
        fsync_directory(self._directory)
        self._prune({step, *keep})
        self._context.emit("checkpoint", f"saved step {step}", step=step)
        return Checkpoint(step, target)

    def newest_whole(self) -> Checkpoint | None:
        """Return the newest checkpoint whose files have the stated hashes; warn of each damaged one on the way."""
        for checkpoint in self._all():
            damage = find_damage(checkpoint.path)
            if damage is None:
                return checkpoint
            self._context.warn(
                f"checkpoint of step {checkpoint.step} is not used: {damage}",
                step=checkpoint.step,
                damage=damage,
            )
        return None

    def whole(self, step: int) -> Checkpoint | None:
        """Return the checkpoint of ``step`` if it is whole."""
        path = self.path(step)
        return Checkpoint(step, path) if path.is_dir() and find_damage(path) is None else None

    def path(self, step: int) -> Path:
        """Return where the checkpoint of ``step`` is, or would be."""
        return self._directory / f"step-{step:08d}"

    def _all(self) -> list[Checkpoint]:
        found = []
        if self._directory.is_dir():
            for path in self._directory.iterdir():
                match = _NAME.fullmatch(path.name)
                if match and path.is_dir():
                    found.append(Checkpoint(int(match[1]), path))
        return sorted(found, key=lambda checkpoint: checkpoint.step, reverse=True)

    def _prune(self, keep: set[int]) -> None:
        for checkpoint in self._all()[KEPT:]:
            if checkpoint.step not in keep:
                shutil.rmtree(checkpoint.path)


def find_damage(directory: Path) -> str | None:
    """Return what is wrong with a checkpoint, naming the file, or None if every hash is as stated."""
    try:
        text = (directory / MANIFEST).read_text(encoding="utf-8")
        stated: dict[str, str] = json.loads(text)["files"]
        whole = text == _manifest(_step_of(directory), stated)
    except FileNotFoundError:
        return f"{MANIFEST} is missing"
    except (ValueError, KeyError, TypeError):
        whole = False
    if not whole:
        return f"{MANIFEST} is damaged"
    found = {file.name for file in directory.iterdir()} - {MANIFEST}
    for name in sorted(stated.keys() | found):
        if name not in found:
            return f"{name} is missing"
        if name not in stated:
            return f"{name} is not in the manifest"
        if hash_file(directory / name) != stated[name]:
            return f"{name} has changed"
    return None


def _manifest(step: int, files: dict[str, str]) -> str:
    """Return the manifest's text; its own digest makes a change of any byte of it visible."""
    content = {"step": step, "files": files}
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    return json.dumps({**content, "digest": digest}, indent=2, sort_keys=True) + "\n"


def _step_of(directory: Path) -> int:
    match = _NAME.fullmatch(directory.name)
    return int(match[1]) if match else -1


def _hashes(directory: Path) -> dict[str, str]:
    return {file.name: hash_file(file) for file in sorted(directory.iterdir())}


@contextmanager
def _as_storage_error(directory: Path) -> Iterator[None]:
    """Turn a failed write, which every serializer reports in its own way, into one clear error."""
    try:
        yield
    except StorageError:
        raise
    except Exception as error:
        full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
        if full or "No space left" in str(error) or "PytorchStreamWriter" in str(error) or _is_full(directory):
            raise StorageError(
                "a checkpoint could not be written: the disk is full",
                where=str(directory),
                fix="free some space and run the same command again; it goes on from the last whole checkpoint",
            ) from error
        raise


def _is_full(directory: Path) -> bool:
    state = os.statvfs(directory)
    return state.f_bavail * state.f_frsize < (1 << 20)
