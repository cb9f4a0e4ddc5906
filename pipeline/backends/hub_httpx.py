"""The Hub by plain HTTP, where huggingface_hub and transformers are not installed: a commit, and a model's config."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

from pipeline.core.errors import ModelError, SourceError

HUB = "https://huggingface.co"
TIMEOUT_SECONDS = 20.0

_KINDS = {"model": "models", "dataset": "datasets"}
_NAMED = {"model": "model", "dataset": "data set"}
_TIED = ("gemma",)
"""Families whose class ties input and output embeddings where their config.json does not say."""


def find_commit(
    repo_id: str, kind: Literal["model", "dataset"], revision: str | None, token: str | None, where: str
) -> str | None:
    """Return the commit that ``revision`` of a Hub repository means now, None where the Hub cannot be reached.

    Raises:
        ModelError, SourceError: the Hub knows no such repository or revision, or does not show it to this token.
    """
    wrong = ModelError if kind == "model" else SourceError
    response = _get(f"/api/{_KINDS[kind]}/{repo_id}/revision/{quote(revision or 'main', safe='')}", token)
    if response is None or response.status_code >= 500:
        return None
    if response.status_code != 200:
        message, fix = _refusal(response, kind, revision)
        raise wrong(message, where=where, fix=fix)
    sha = _object(response.text).get("sha")
    if not isinstance(sha, str):
        raise wrong("the Hub named no commit for this repository", where=where, fix="give a revision")
    return sha


def load_config(source: str, *, revision: str | None = None, token: str | None = None) -> dict[str, Any]:
    """Return the config of a model folder or Hub id as its config.json states it.

    What it leaves to the model's class is not filled in, but for tied embeddings.

    Raises:
        ModelError: there is none, or it cannot be reached.
    """
    path = Path(source) / "config.json"
    if path.is_file():
        config = _object(path.read_text(encoding="utf-8"))
    else:
        response = _get(f"/{source}/resolve/{quote(revision or 'main', safe='')}/config.json", token)
        if response is None or response.status_code != 200:
            answer = "the Hub cannot be reached" if response is None else f"the Hub answers {response.status_code}"
            raise ModelError(
                f"no model config can be loaded: {answer}",
                where=source,
                fix="connect to the network; for a gated repository accept its terms and set HF_TOKEN",
            )
        config = _object(response.text)
    text = config.get("text_config") or config
    if str(text.get("model_type") or config.get("model_type") or "").startswith(_TIED):
        config.setdefault("tie_word_embeddings", True)
    return config


def _get(path: str, token: str | None) -> Any:
    """Return the Hub's answer, None where there is none."""
    import httpx

    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        return None
    address = os.environ.get("HF_ENDPOINT", HUB).rstrip("/")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        return httpx.get(address + path, headers=headers, timeout=TIMEOUT_SECONDS, follow_redirects=True)
    except httpx.HTTPError:
        return None


def _refusal(response: Any, kind: str, revision: str | None) -> tuple[str, str]:
    """Return what the Hub says against a name, and what to do."""
    code = response.headers.get("x-error-code", "")
    if code == "GatedRepo":
        return "access to this repository has to be granted", "accept its terms on the Hub and set HF_TOKEN"
    if code == "RevisionNotFound":
        return f"the repository has no revision {revision!r}", "check the revision"
    message = f"no such {_NAMED[kind]} folder here, and no such repository on the Hub (or it is private)"
    return message, "check the name; for a private repository set HF_TOKEN"


def _object(text: str) -> dict[str, Any]:
    try:
        value: Mapping[str, Any] = json.loads(text)
    except ValueError:
        return {}
    return dict(value) if isinstance(value, dict) else {}
