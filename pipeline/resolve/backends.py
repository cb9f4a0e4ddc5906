"""The one door of resolving to pipeline.backends: what a revision of the Hub means now."""

from __future__ import annotations

from typing import Literal


def resolve_commit(
    repo_id: str, kind: Literal["model", "dataset"], revision: str | None, token: str | None, key: str
) -> str:
    """Return the commit of a repository; ``key`` of the run description names it in errors.

    Raises:
        HoneError: it cannot be had.
    """
    from pipeline.backends import revision_huggingface

    return revision_huggingface.resolve_commit(repo_id, kind, revision, token, key)


def find_commit(repo_id: str, revision: str | None, token: str | None, key: str) -> str | None:
    """Return the commit of a model, None where the Hub cannot be asked; see `resolve_commit`."""
    from pipeline.backends import revision_huggingface

    return revision_huggingface.find_commit(repo_id, "model", revision, token, key)
