"""The folder that a package goes to: it appears whole or not at all, and nothing of somebody else's is overwritten."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.core.errors import StorageError
from pipeline.core.workspace import fsync_directory, fsync_tree, hash_file

MANIFEST = "MANIFEST.json"
FORMAT = "hone-export-1"


def check_target(directory: Path) -> None:
    """Refuse a target that an export would destroy: anything but nothing, an empty folder or an untouched export.

    Raises:
        StorageError: the message names what is in the way.
    """
    if not directory.exists() and not directory.is_symlink():
        return
    if directory.is_symlink() or not directory.is_dir():
        raise StorageError("this is not a folder", where=str(directory), fix="name a new folder")
    present = {path.relative_to(directory).as_posix() for path in directory.rglob("*") if not path.is_dir()}
    if not present and not any(directory.iterdir()):
        return
    stated = _stated_files(directory / MANIFEST)
    if stated is None:
        raise StorageError(
            "the folder is not empty and is no earlier export", where=str(directory), fix="name a new folder"
        )
    changed = [name for name in sorted(present - {MANIFEST}) if stated.get(name) != hash_file(directory / name)]
    if changed:
        raise StorageError(
            "the earlier export in this folder was changed by hand",
            where=str(directory / changed[0]),
            fix="name a new folder, or move this file away",
        )


def _stated_files(path: Path) -> dict[str, str] | None:
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        if manifest["format"] != FORMAT:
            return None
        return {file["path"]: file["sha256"] for file in manifest["files"]}
    except (OSError, ValueError, KeyError, TypeError):
        return None


@contextmanager
def replacing(directory: Path) -> Iterator[Path]:
    """Yield a folder beside ``directory`` that takes its place if the block succeeds, and vanishes if not."""
    directory = directory.absolute()
    directory.parent.mkdir(parents=True, exist_ok=True)
    temporary = directory.with_name(f".{directory.name}.{os.getpid()}.new")
    old = directory.with_name(f".{directory.name}.{os.getpid()}.old")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        yield temporary
        fsync_tree(temporary)
        if directory.exists():
            directory.rename(old)
        temporary.rename(directory)
        fsync_directory(directory.parent)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        if old.exists() and not directory.exists():
            old.rename(directory)
        raise
    shutil.rmtree(old, ignore_errors=True)
