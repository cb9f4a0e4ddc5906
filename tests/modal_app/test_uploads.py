"""What a description names on this machine is sent once, under its content's digest, and named where it lies then."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from modal_app.client.uploads import local_sources, upload_sources
from pipeline.core.digests import DigestCache
from pipeline.core.errors import ConfigError
from pipeline.core.spec import validate_spec
from schemas.run import RunSpec
from tests.support.harness_task import write_task


class Folder:
    """A Volume in a folder, as far as uploads go; it counts what is sent."""

    def __init__(self, root: Path) -> None:
        self.root, self.sent = root, list[str]()

    def listdir(self, place: str) -> list[Path]:
        path = self.root / place.strip("/")
        if not path.exists():
            raise FileNotFoundError(place)
        return [path]

    @contextmanager
    def batch_upload(self, force: bool) -> Iterator[Folder]:
        yield self

    def put_file(self, source: Path, place: str) -> None:
        self.sent.append(place)
        (self.root / place.strip("/")).parent.mkdir(parents=True, exist_ok=True)
        (self.root / place.strip("/")).write_bytes(source.read_bytes())

    def put_directory(self, source: Path, place: str) -> None:
        for file in source.iterdir():
            self.put_file(file, f"{place}/{file.name}")


@pytest.fixture
def here(tmp_path: Path) -> Path:
    (tmp_path / "rows.jsonl").write_text('{"prompt": "a", "completion": "b"}\n')
    (tmp_path / "own.py").write_text("def score(answer, reference):\n    return 1.0\n")
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "config.json").write_text("{}")
    return tmp_path


def described(**changes: Any) -> RunSpec:
    values = {
        "name": "up",
        "task": "generation",
        "base_model": "./base",
        "data": {"path": "rows.jsonl", "test_path": "org/held-out"},
        "evaluate": {
            "metrics": ["exact_match", "./own.py:score", {"name": "bert_score", "params": {"model": "base"}}],
            "bias": [
                {"kind": "bbq", "path": "rows.jsonl"},
                {"kind": "toxicity", "prompts": "org/no", "classifier": {"path": "base", "label": "toxic"}},
            ],
            "judge": {"base_url": "http://127.0.0.1:1/v1", "model": "j", "template": "own.py", "labels": "rows.jsonl"},
            "retention": [{"name": "old", "data": {"path": "rows.jsonl"}, "metric": "own.py:score"}],
        },
        "train": {
            "method": "grpo",
            "rewards": ["chrf", "own.py:score", {"name": "reward_model", "params": {"model": "base"}}],
        },
        "preflight": {"benchmarks": ["rows.jsonl", "org/items"]},
    }
    return validate_spec({**values, **changes}, source="test")


def test_every_key_that_names_something_here_is_found_and_no_other(here: Path) -> None:
    found = {source.key: (source.path.name, source.suffix) for source in local_sources(described(), here)}
    assert found == {
        "data.path": ("rows.jsonl", ""),
        "base_model.name": ("base", ""),
        "evaluate.metrics.1.name": ("own.py", ":score"),
        "train.rewards.1.name": ("own.py", ":score"),
        "train.rewards.2.params.model": ("base", ""),
        "evaluate.metrics.2.params.model": ("base", ""),
        "evaluate.retention.0.data.path": ("rows.jsonl", ""),
        "evaluate.retention.0.metric.name": ("own.py", ":score"),
        "evaluate.bias.0.path": ("rows.jsonl", ""),
        "evaluate.judge.template": ("own.py", ""),
        "evaluate.judge.labels": ("rows.jsonl", ""),
        "evaluate.bias.1.classifier.path": ("base", ""),
        "preflight.benchmarks.0": ("rows.jsonl", ""),
    }
    embedded = described(
        base_model="hone:tiny", data={"path": "org/rows"}, evaluate={"retention_waived": "none"}, preflight={}, train={}
    )
    assert list(local_sources(embedded, here)) == []


def test_what_is_sent_lies_under_its_digest_and_is_sent_once(here: Path, tmp_path: Path) -> None:
    volume: Any = Folder(tmp_path / "volume")
    sent = upload_sources(described(), here, volume)
    rows = f"uploads/{DigestCache(None).digest(here / 'rows.jsonl')[:16]}/rows.jsonl"
    assert sent.data.path == rows
    assert sent.data.test_path == "org/held-out"
    assert sent.preflight.benchmarks == (rows, "org/items")
    assert sent.evaluate.retention is not None and sent.evaluate.retention[0].data.path == rows
    assert sent.evaluate.metrics[1].name.endswith("/own.py:score")
    assert sent.evaluate.metrics[2].params["model"] == sent.base_model.name
    assert sent.base_model.name is not None
    for place in (rows, f"{sent.base_model.name}/config.json", sent.evaluate.metrics[1].name.removesuffix(":score")):
        assert (volume.root / place).is_file()
    assert sorted(volume.sent) == sorted(set(volume.sent))
    before = len(volume.sent)
    assert upload_sources(described(), here, volume) == sent
    assert len(volume.sent) == before
    (here / "rows.jsonl").write_text('{"prompt": "a", "completion": "c"}\n')
    assert upload_sources(described(), here, volume).data.path != rows


def test_a_harness_task_is_sent_with_the_files_beside_it(here: Path, tmp_path: Path) -> None:
    write_task(here / "tasks")
    asked = {"harness": [{"name": "own", "task": "tasks/support.yaml"}, {"name": "arc", "task": "arc_easy"}]}
    volume: Any = Folder(tmp_path / "volume")
    sent = upload_sources(described(evaluate=asked), here, volume)
    own, arc = (task.task for task in sent.evaluate.harness)
    assert arc == "arc_easy"
    assert own.endswith("/support.yaml") and (volume.root / own).is_file()
    assert (volume.root / own).with_name("items.jsonl").is_file()
    write_task(here)
    with pytest.raises(ConfigError, match="folder of their own"):
        upload_sources(described(evaluate={"harness": [{"name": "own", "task": "support.yaml"}]}), here, volume)
