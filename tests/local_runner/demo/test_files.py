from __future__ import annotations

import json
from dataclasses import astuple
from pathlib import Path

import pytest

from local_runner.demo.commands import SEPARATION
from local_runner.demo.files import DemoFiles, write_demo_data, write_jsonl
from local_runner.demo.similarity import bigrams, jaccard


def _contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(directory.iterdir())}


@pytest.mark.slow
def test_same_seed_same_bytes(tmp_path: Path, small_directory: Path) -> None:
    write_demo_data(tmp_path, rows=1000, test_rows=100, seed=3)
    assert _contents(tmp_path) == _contents(small_directory)


@pytest.mark.slow
def test_another_seed_is_another_draw(tmp_path: Path, small_directory: Path) -> None:
    write_demo_data(tmp_path, rows=1000, test_rows=100, seed=4)
    first, second = _contents(tmp_path), _contents(small_directory)
    assert first.keys() == second.keys()
    assert all(first[name] != second[name] for name in first)


@pytest.mark.slow
def test_no_other_file_is_left(demo_files: DemoFiles) -> None:
    assert {path.name for path in demo_files.triage.parent.iterdir()} == {path.name for path in astuple(demo_files)}


def test_command_files_have_no_line_in_common_nor_nearly(demo_files: DemoFiles) -> None:
    train, test = (
        [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        for path in (demo_files.commands, demo_files.commands_test)
    )
    assert (len(train), len(test)) == (5000, 600)
    assert all(row.keys() == {"utterance", "command"} for row in train + test)
    known = [bigrams(row["utterance"]) for row in train]
    assert all(jaccard(bigrams(row["utterance"]), pairs) < SEPARATION for row in test[::20] for pairs in known)


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    write_jsonl(path, [{"a": 1}])
    with pytest.raises(UnicodeEncodeError):
        write_jsonl(path, [{"lone surrogate": "\ud800"}])
    with pytest.raises(TypeError):
        write_jsonl(path, [{"not JSON": object()}])
    assert _contents(tmp_path) == {"rows.jsonl": b'{"a": 1}\n'}
