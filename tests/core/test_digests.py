from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from pipeline.core import digests
from pipeline.core.digests import DigestCache
from pipeline.core.errors import SourceError


def test_a_file_has_the_digest_of_its_bytes(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"abc")
    assert DigestCache(None).digest(path) == hashlib.sha256(b"abc").hexdigest()


def test_a_folder_has_a_digest_of_names_and_bytes_without_hidden_files(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a").write_bytes(b"abc")
    before = DigestCache(None).digest(tmp_path)
    (tmp_path / ".cache").write_bytes(b"x")
    assert DigestCache(None).digest(tmp_path) == before
    (tmp_path / "sub" / "a").rename(tmp_path / "sub" / "b")
    assert DigestCache(None).digest(tmp_path) != before


def test_a_large_file_is_remembered_until_it_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digests, "_SMALL", 1)
    path, memory = tmp_path / "a", tmp_path / "memory.json"
    path.write_bytes(b"abc")
    first = DigestCache(memory).digest(path)
    monkeypatch.setattr(digests, "hash_file", lambda _path: pytest.fail("read again"))
    assert DigestCache(memory).digest(path) == first
    monkeypatch.undo()
    monkeypatch.setattr(digests, "_SMALL", 1)
    path.write_bytes(b"abd")
    assert DigestCache(memory).digest(path) == hashlib.sha256(b"abd").hexdigest()


def test_a_damaged_memory_only_costs_reading_again(tmp_path: Path) -> None:
    (tmp_path / "memory.json").write_text("[")
    (tmp_path / "a").write_bytes(b"abc")
    assert DigestCache(tmp_path / "memory.json").digest(tmp_path / "a") == hashlib.sha256(b"abc").hexdigest()


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="nothing"):
        DigestCache(None).digest(tmp_path / "nothing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceError, match="no files"):
        DigestCache(None).digest(tmp_path / "empty")
