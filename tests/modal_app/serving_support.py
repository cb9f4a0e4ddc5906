"""A workspace of registered versions that can be served, and the endpoint on a plane with that workspace."""

from __future__ import annotations

import socket
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openai

from pipeline.backends.track_mlflow import MlflowRegistry
from schemas.artifacts import Stored
from schemas.data import DataArtifact
from schemas.serve import EngineOptions
from schemas.train import TrainArtifact
from tests.modal_app.plane import APP, TIMEOUT, ModalHome
from tests.modal_app.secrets import API_KEY
from tests.modal_plane.containers import Container
from tests.support.version import version_files

SECRET = f"{APP}-endpoint"

SECONDS = 240.0
"""How long an engine may take to start on a machine that does other work as well."""


def free_port() -> int:
    """Return a port that is free now: containers share the machine's network."""
    with socket.socket() as probe:
        probe.bind(("", 0))
        return int(probe.getsockname()[1])


def add_version(
    root: Path,
    name: str,
    base: Path,
    adapter: Stored[TrainArtifact],
    data: Stored[DataArtifact],
    *,
    champion: bool,
) -> int:
    """Register an adapter as a version of ``name`` in the workspace ``root`` and return its number."""
    made = version_files(
        root, base, trained=adapter, variants={}, data=data, served="adapter", launch=None,
        options=EngineOptions(max_model_len=256), name=name,
    )  # fmt: skip
    registry = MlflowRegistry(root / "mlflow.db")
    record = made.record
    number = registry.register_version(name, record.artifact, record.ref, record.content_digest, made.version.source)
    if champion:
        registry.set_alias(name, "champion", number, registry.alias(name, "champion"))
    return number


def wait_until(what: Callable[[], object], seconds: float = SECONDS) -> None:
    """Wait for something to become true; fail where it does not."""
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)


@dataclass
class Site:
    """The deployed endpoint."""

    home: ModalHome

    @property
    def url(self) -> str:
        return self.home.plane.functions["Endpoint"].url

    @property
    def log(self) -> str:
        return self.home.plane.functions["Endpoint"].app.logs.text

    @property
    def containers(self) -> list[Container]:
        """Those of the endpoint that run."""
        return [one for one in self.home.plane.running if one.function.name == "Endpoint"]

    def put(self, root: Path) -> None:
        """Put a workspace on the app's Volume."""
        for name in ("artifacts", "mlflow.db"):
            done = self.home.plane.modal("volume", "put", "--force", f"{APP}-artifacts", str(root / name), f"/{name}")
            assert done.returncode == 0, done.stdout

    def client(self, key: str = API_KEY) -> openai.OpenAI:
        return openai.OpenAI(base_url=f"{self.url}/v1", api_key=key, timeout=SECONDS, max_retries=0)

    def ask(self, model: str = "triage", text: str = "hello", tokens: int = 12) -> str:
        """Return the greedy answer to one message."""
        asked: Any = [{"role": "user", "content": text}]
        answer = self.client().chat.completions.create(
            model=model, messages=asked, temperature=0, max_tokens=tokens, extra_body={"ignore_eos": True}
        )
        return str(answer.choices[0].message.content)

    def deploy(self, **environment: str) -> subprocess.CompletedProcess[str]:
        """Carry out ``modal deploy -m modal_app.main``."""
        variables = {**self.home.environment, **environment}
        return self.home.plane.modal(
            "deploy", "-m", "modal_app.main", cwd=self.home.folder, env=variables, timeout=TIMEOUT
        )


class Asking:
    """Asks again and again in a thread while used as a context manager; ``answers`` and ``errors`` as they came."""

    def __init__(self, site: Site) -> None:
        self.answers: list[str] = []
        self.errors: list[Exception] = []
        self._site = site
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._ask, daemon=True)

    def __enter__(self) -> Asking:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _ask(self) -> None:
        while not self._ended.is_set():
            try:
                self.answers.append(self._site.ask(tokens=100))
            except openai.OpenAIError as error:
                self.errors.append(error)
