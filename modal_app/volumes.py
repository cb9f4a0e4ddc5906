"""The Volumes and Dicts of the app, and where containers find them.

``<app>-artifacts`` is a workspace; ``<app>-models`` the Hub's cache; ``<app>-compile`` what vLLM compiled. The Dicts
hold what changes by the second: leases, calls in flight, meters, what is served.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import modal

from modal_app.settings import SETTINGS

ROOT = Path("/hone")
"""The workspace, in containers."""
MODEL_CACHE = "/models"
COMPILE_CACHE = "/compile"

NAMES = tuple(f"{SETTINGS.app}-{kind}" for kind in ("artifacts", "models", "compile"))


def _volume(name: str) -> modal.Volume:
    return modal.Volume.from_name(name, create_if_missing=True, version=2)


ARTIFACTS, MODELS, COMPILED = (_volume(name) for name in NAMES)

DICTS = tuple(f"{SETTINGS.app}-{kind}" for kind in ("leases", "state"))

LEASES, STATE = (modal.Dict.from_name(name, create_if_missing=True) for name in DICTS)

WORKSPACE: dict[str | PurePosixPath, modal.Volume | modal.CloudBucketMount] = {
    str(ROOT): ARTIFACTS,
    MODEL_CACHE: MODELS,
}
"""Mounts of every function that works in the workspace."""
ENGINE = {**WORKSPACE, COMPILE_CACHE: COMPILED}
"""Mounts of functions that start an engine."""
