"""A real Label Studio on loopback, from an environment of its own: `make label-studio` builds it."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from pipeline.core.process import start_kept, stop_kept

PROJECT = Path(__file__).resolve().parents[2]
VARIABLE = "HONE_LABEL_STUDIO"
USER, PASSWORD, TOKEN = "first@people.test", "not-for-logs-8d1f", "0123456789abcdef" * 2 + "01234567"
SECONDS = 240.0
"""How long it may take to start on a machine that does other work as well."""

QUIET = {
    "COLLECT_ANALYTICS": "false",
    "LATEST_VERSION_CHECK": "false",
    "SENTRY_DSN": "",
    "FRONTEND_SENTRY_DSN": "",
    "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN": "true",
}


def label_studio_command() -> Path:
    """Return the command that starts it; skip where it is not installed."""
    named = os.environ.get(VARIABLE)
    command = Path(named) if named else PROJECT / ".venv-label-studio" / "bin" / "label-studio"
    if not command.is_file():
        pytest.skip(f"Label Studio is not installed: make label-studio, or name its command in {VARIABLE}")
    return command


class LabelStudio:
    """The server as somebody who runs a project uses it."""

    def __init__(self, url: str) -> None:
        self.client = httpx.Client(base_url=url, headers={"Authorization": f"Token {TOKEN}"}, timeout=60.0)

    def call(self, method: str, path: str, **options: Any) -> Any:
        """Make one request and return its JSON."""
        answer = self.client.request(method, path, **options)
        assert answer.is_success, (answer.status_code, answer.text[:500])
        return answer.json()

    def add_user(self, email: str) -> int:
        """Return the id of a new user."""
        told = {"email": email, "username": email.partition("@")[0], "password": PASSWORD}
        return int(self.call("POST", "/api/users", json=told)["id"])

    def new_project(self, title: str, tasks: Path, config: Path) -> int:
        """Make a project of an exported sheet, its two files as they are, and return its id."""
        told = {"title": title, "label_config": config.read_text(), "maximum_annotations": 2}
        project = int(self.call("POST", "/api/projects", json=told)["id"])
        content = {"file": (tasks.name, tasks.read_bytes(), "application/json")}
        found = self.call("POST", f"/api/projects/{project}/import", files=content)
        assert found["task_count"] > 0
        return project

    def tasks(self, project: int) -> dict[str, int]:
        """Return the ids of a project's tasks by the codes of their items."""
        found = self.call("GET", "/api/tasks", params={"project": project, "page_size": 1000, "fields": "all"})
        return {task["data"]["item"]: int(task["id"]) for task in found["tasks"]}

    def annotate(self, task: int, user: int, name: str, to: str, value: dict[str, Any], *, skip: bool = False) -> None:
        """Answer a task as a user, or skip it."""
        kind = "choices" if "choices" in value else "rating"
        result = [] if skip else [{"from_name": name, "to_name": to, "type": kind, "value": value}]
        told = {"result": result, "completed_by": user, "was_cancelled": skip}
        self.call("POST", f"/api/tasks/{task}/annotations", json=told)

    def export(self, project: int, to: Path) -> Path:
        """Write the project's JSON export."""
        answer = self.client.get(f"/api/projects/{project}/export", params={"exportType": "JSON"})
        assert answer.is_success, answer.text[:500]
        to.write_bytes(answer.content)
        return to


@contextmanager
def label_studio(command: Path, folder: Path) -> Iterator[LabelStudio]:
    """Serve Label Studio with an empty database while the block runs."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    arguments = [
        "start",
        "--no-browser",
        "--port",
        str(port),
        "--internal-host",
        "127.0.0.1",
        "--data-dir",
        str(folder),
    ]
    user = ["--username", USER, "--password", PASSWORD, "--user-token", TOKEN, "--enable-legacy-api-token"]
    environment = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ}
    environment |= {**QUIET, "HOME": str(folder), "LABEL_STUDIO_BASE_DATA_DIR": str(folder)}
    with (folder / "server.log").open("wb") as log:
        process = start_kept(
            [str(command), *arguments, *user],
            stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, env=environment, cwd=folder,
        )  # fmt: skip
        try:
            url = f"http://127.0.0.1:{port}"
            _await(process, url, folder / "server.log")
            server = LabelStudio(url)
            with server.client:
                yield server
        finally:
            stop_kept(process, 10.0)


def _await(process: subprocess.Popen[Any], url: str, log: Path) -> None:
    ends = time.monotonic() + SECONDS
    while time.monotonic() < ends and process.poll() is None:
        try:
            if httpx.get(f"{url}/health", timeout=5.0).is_success:
                return
        except httpx.TransportError:
            time.sleep(0.5)
    raise AssertionError(f"Label Studio did not start:\n{log.read_text(errors='replace')[-3000:]}")
