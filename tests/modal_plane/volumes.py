"""Volumes: a tree of committed entries, and each container's own copy of it.

A container sees the last commit of the moment when it started or last reloaded. What it writes is its own until it
commits; then each path that it changed replaces that path (last write wins). A reload with an open file is refused,
and commits what was not committed (modal/volume.py says that it may).
"""

from __future__ import annotations

import itertools
import os
import shutil
import stat
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from modal_proto import api_pb2

from .ids import conflict, new_id

OPEN_FILES = "there are open files preventing the operation"
"""The words that the client looks for before it names the open file (modal/volume.py, reload)."""


@dataclass(frozen=True)
class Entry:
    """One committed file, link or folder; ``content`` is a file's immutable copy, ``target`` what a link names."""

    kind: str
    mode: int
    mtime: float
    size: int = 0
    content: Path | None = None
    target: str = ""


@dataclass
class Volume:
    """A named or ephemeral Volume and its last commit."""

    id: str
    name: str
    version: int
    created_at: float
    tree: dict[str, Entry] = field(default_factory=dict)
    commits: int = 0

    def files(self) -> dict[str, bytes]:
        """Return what is committed, by path."""
        return {path: entry.content.read_bytes() for path, entry in sorted(self.tree.items()) if entry.content}

    def place(self, path: str, entry: Entry) -> None:
        """Put an entry at a path, with the folders above it."""
        for parent in reversed(Path(path).parents[:-1]):
            self.tree.setdefault(str(parent), Entry("dir", 0o755, time.time()))
        self.tree[path] = entry

    def remove(self, path: str) -> None:
        for name in [name for name in self.tree if name == path or name.startswith(path + "/")]:
            del self.tree[name]


class VolumeStore:
    """All Volumes, and the immutable files that their commits point to."""

    def __init__(self, root: Path) -> None:
        self.objects = root / "objects"
        self.objects.mkdir(parents=True)
        self.by_id: dict[str, Volume] = {}
        self._numbers = itertools.count(1)

    def create(self, name: str, version: int) -> Volume:
        volume = Volume(new_id("vo"), name, version, time.time())
        self.by_id[volume.id] = volume
        return volume

    def named(self, name: str) -> Volume | None:
        return next((volume for volume in self.by_id.values() if volume.name == name), None)

    def new_object(self) -> Path:
        return self.objects / str(next(self._numbers))

    def keep(self, source: Path) -> Entry:
        """Return an entry for a file that is copied into the store."""
        content = self.new_object()
        shutil.copyfile(source, content)
        info = source.stat()
        return Entry("file", stat.S_IMODE(info.st_mode), info.st_mtime, content.stat().st_size, content)


Stamp = tuple[int, int, int, int]


def _stamp(info: os.stat_result) -> Stamp:
    return info.st_ino, info.st_mode, info.st_size, info.st_ctime_ns


class Snapshot:
    """One container's copy of a Volume, in ``folder``."""

    def __init__(self, store: VolumeStore, volume: Volume, folder: Path, read_only: bool) -> None:
        self.volume = volume
        self.folder = folder
        self.read_only = read_only
        self._store = store
        self._seen: dict[str, Entry] = {}
        self._stamps: dict[str, Stamp] = {}
        folder.mkdir(parents=True)
        self._refresh()

    def _walk(self) -> Iterator[tuple[str, os.stat_result]]:
        for folder, folders, files in os.walk(self.folder):
            for name in [*folders, *files]:
                path = Path(folder, name)
                try:
                    yield str(path.relative_to(self.folder)), path.lstat()
                except FileNotFoundError:
                    continue

    def commit(self) -> bool:
        """Make this copy's changes the Volume's; return whether there were any."""
        if self.read_only:
            return False
        found = {path: _stamp(info) for path, info in self._walk()}
        changed = [path for path, stamp in found.items() if stamp != self._stamps.get(path)]
        gone = [path for path in self._stamps if path not in found]
        for path in gone:
            self.volume.remove(path)
            self._seen.pop(path, None)
        written = 0
        for path in changed:
            before = self._seen.get(path)
            entry = self._read(self.folder / path, before)
            if entry is not None and entry is not before:
                self.volume.place(path, entry)
                self._seen[path] = entry
                written += 1
        self._stamps = found
        self.volume.commits += bool(written or gone)
        return bool(written or gone)

    def _read(self, path: Path, before: Entry | None) -> Entry | None:
        try:
            info = path.lstat()
            if stat.S_ISLNK(info.st_mode):
                return Entry("link", 0o777, info.st_mtime, target=str(path.readlink()))
            if stat.S_ISDIR(info.st_mode):
                same = before is not None and before.kind == "dir" and before.mode == stat.S_IMODE(info.st_mode)
                return before if same else Entry("dir", stat.S_IMODE(info.st_mode), info.st_mtime)
            return self._store.keep(path) if stat.S_ISREG(info.st_mode) else None
        except FileNotFoundError:
            return None

    def reload(self, pids: Iterable[int]) -> None:
        """Show the last commit.

        Raises:
            GRPCError: FAILED_PRECONDITION while one of ``pids`` has a file of it open or stands in it.
        """
        if self._open(pids):
            raise conflict(OPEN_FILES)
        self.commit()
        self._refresh()

    def _refresh(self) -> None:
        tree = dict(self.volume.tree)
        for path in sorted(self._seen.keys() - tree.keys(), reverse=True):
            _delete(self.folder / path)
        for path, entry in sorted(tree.items()):
            if self._seen.get(path) is not entry:
                _write(self.folder / path, entry)
        self._seen = tree
        self._stamps = {path: _stamp(info) for path, info in self._walk()}

    def _open(self, pids: Iterable[int]) -> bool:
        inodes = {(info.st_dev, info.st_ino) for _, info in self._walk()}
        own = self.folder.stat()
        inodes.add((own.st_dev, own.st_ino))
        return any(held in inodes for pid in pids for held in _held(pid))


def _held(pid: int) -> Iterator[tuple[int, int]]:
    """Yield device and inode of the files that a process has open or mapped, and of its working directory."""
    process = Path("/proc") / str(pid)
    try:
        links = [process / "cwd", *(process / "fd").iterdir()]
        maps = (process / "maps").read_text().splitlines()
    except OSError:
        return
    for link in links:
        try:
            info = link.stat()
        except OSError:
            continue
        yield info.st_dev, info.st_ino
    for line in maps:
        _, _, _, device, inode, *_ = line.split()
        major, minor = (int(part, 16) for part in device.split(":"))
        yield os.makedev(major, minor), int(inode)


def _delete(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _write(path: Path, entry: Entry) -> None:
    if entry.kind == "dir":
        if path.is_symlink() or path.is_file():
            path.unlink()
        path.mkdir(parents=True, exist_ok=True)
        path.chmod(entry.mode)
        return
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    part = path.with_name(f".{path.name}.part")
    part.unlink(missing_ok=True)
    if entry.kind == "link":
        part.symlink_to(entry.target)
    else:
        assert entry.content is not None
        shutil.copyfile(entry.content, part)
        part.chmod(entry.mode)
        os.utime(part, (entry.mtime, entry.mtime))
    part.replace(path)


def file_type(entry: Entry) -> int:
    """Return the FileEntry type that the client prints."""
    kinds = {"file": api_pb2.FileEntry.FILE, "dir": api_pb2.FileEntry.DIRECTORY, "link": api_pb2.FileEntry.SYMLINK}
    return int(kinds[entry.kind])
