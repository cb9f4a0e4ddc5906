from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from pipeline.backends.data_datasets import load_hub, load_saved
from pipeline.core.errors import DataError, SourceError


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the library's cache out of the home folder."""
    import datasets.config

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


def saved(path: Path, **splits: list[str]) -> Path:
    from datasets import ClassLabel, Dataset, DatasetDict, Features, Value

    features = Features({"text": Value("string"), "label": ClassLabel(names=["no", "yes"])})
    parts = {
        name: Dataset.from_dict({"text": texts, "label": [index % 2 for index in range(len(texts))]}, features=features)
        for name, texts in splits.items()
    }
    whole = DatasetDict(parts) if len(parts) > 1 else next(iter(parts.values()))
    whole.save_to_disk(str(path))
    return path


def test_a_saved_data_set_has_names_for_its_classes(tmp_path: Path) -> None:
    loaded = load_saved(saved(tmp_path / "saved", train=["a", "b"]), ("train",))
    assert (loaded.split, loaded.size, loaded.others) == (None, 2, ())
    assert list(loaded.rows) == [{"text": "a", "label": "no"}, {"text": "b", "label": "yes"}]


def test_the_split_is_found_by_its_names(tmp_path: Path) -> None:
    path = saved(tmp_path / "saved", train=["a"], dev=["b"], test=["c"])
    loaded = load_saved(path, ("validation", "valid", "dev"))
    assert (loaded.split, loaded.others) == ("dev", ("train", "test"))
    assert [row["text"] for row in loaded.rows] == ["b"]


def test_a_split_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    path = saved(tmp_path / "saved", train=["a"], test=["c"])
    with pytest.raises(DataError, match="no validation split; there are train, test"):
        load_saved(path, ("validation",))


def test_a_damaged_folder_is_an_error(tmp_path: Path) -> None:
    path = saved(tmp_path / "saved", train=["a"])
    (path / "state.json").write_text("{")
    with pytest.raises(DataError, match="not a readable data set folder"):
        load_saved(path, ("train",))


def test_the_hub_out_of_reach_is_a_source_error() -> None:
    with pytest.raises(SourceError, match="org/name: no such data set folder here, the Hub cannot be reached"):
        load_hub("org/name", None, ("train",))


COMMIT = "0123456789abcdef0123456789abcdef01234567"
FILES = {"train.jsonl": b'{"prompt": "a", "completion": "b"}\n', "test.jsonl": b'{"prompt": "c", "completion": "d"}\n'}


class _Hub(BaseHTTPRequestHandler):
    """The three calls of the Hub's API that loading a public data set takes."""

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._json([self._entry(name) for name in FILES])

    def _answer(self, *, with_body: bool) -> None:
        path = self.path.split("?")[0]
        name = path.rsplit("/", 1)[-1]
        if "/resolve/" in path and name in FILES:
            self._send(FILES[name] if with_body else b"", name, len(FILES[name]))
        elif "/tree/" in path:
            self._json([self._entry(name) for name in FILES])
        elif path.startswith("/api/datasets/org/name"):
            siblings = [{"rfilename": name} for name in FILES]
            self._json({"id": "org/name", "sha": COMMIT, "private": False, "tags": [], "siblings": siblings})
        else:
            self.send_response(404)
            self.send_header("X-Error-Code", "EntryNotFound")
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("Content-Length", "0")
            self.end_headers()

    def _entry(self, name: str) -> dict[str, object]:
        return {"type": "file", "path": name, "size": len(FILES[name]), "oid": "0" * 40}

    def _json(self, value: object) -> None:
        import json

        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _send(self, body: bytes, name: str, size: int) -> None:
        self.send_response(200)
        self.send_header("ETag", f'"{name}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Content-Length", str(size))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Stay silent."""


@pytest.fixture
def hub() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Hub)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.slow
def test_a_data_set_of_the_hub_is_loaded_at_its_commit(hub: str, tmp_path: Path) -> None:
    """The library asks a server on this machine that speaks the Hub's protocol."""
    script = (
        "from pipeline.backends.data_datasets import load_hub\n"
        f"loaded = load_hub('org/name', {COMMIT!r}, ('test',))\n"
        "print(loaded.split, loaded.size, list(loaded.rows))\n"
    )
    environment = {**os.environ, "HF_ENDPOINT": hub, "HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "0"}
    environment |= {"HF_HUB_DISABLE_XET": "1", "NO_PROXY": "127.0.0.1"}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "test 1 [{'prompt': 'c', 'completion': 'd'}]", done.stderr[-2000:]
