"""Resolving a Hub id to a commit: from the Hub, or from the local cache where there is no network."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from pipeline.core.errors import ModelError, SourceError

Kind = Literal["model", "dataset"]

_NAMED = {"model": "model", "dataset": "data set"}


def resolve_commit(
    repo_id: str, kind: Kind, revision: str | None, token: str | None = None, key: str | None = None
) -> str:
    """Return the commit (40 hexadecimal digits) that ``revision`` of a Hub repository means now.

    ``key`` is the key of the run description that names the repository; errors name it.

    Raises:
        ModelError: the model repository, its revision or the permission is missing.
        SourceError: the same for a data set, or the Hub cannot be reached and the cache does not have it.
    """
    found = find_commit(repo_id, kind, revision, token, key)
    if found is not None:
        return found
    wrong = ModelError if kind == "model" else SourceError
    raise wrong(
        f"no such {_NAMED[kind]} folder here, the Hub cannot be reached and the local cache does not have it",
        where=_where(repo_id, revision, key),
        fix="name an existing folder, or connect to the network and unset HF_HUB_OFFLINE",
    )


def find_commit(
    repo_id: str, kind: Kind, revision: str | None, token: str | None = None, key: str | None = None
) -> str | None:
    """Return what `resolve_commit` returns, None where the Hub cannot be reached and the cache does not have it.

    Without huggingface_hub (an installation that only plans and starts runs) the Hub is asked by plain HTTP.

    Raises:
        ModelError: the model repository, its revision or the permission is missing.
        SourceError: the same for a data set.
    """
    where = _where(repo_id, revision, key)
    if find_spec("huggingface_hub") is None:
        from pipeline.backends import hub_httpx

        return hub_httpx.find_commit(repo_id, kind, revision, token, where)
    import httpx
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HFValidationError

    wrong = ModelError if kind == "model" else SourceError
    try:
        info = HfApi(token=token).repo_info(repo_id, revision=revision, repo_type=kind, timeout=20)
    except HFValidationError as error:
        raise wrong("this is no name of a Hub repository", where=where, fix="write organization/name") from error
    except (httpx.HTTPError, OSError) as error:  # all that the Hub answers, no network, and offline mode
        refused = _refusal(error, kind)
        if refused is None:
            return _cached_commit(repo_id, kind, revision)
        message, fix = refused
        raise wrong(message, where=where, fix=fix) from error
    if info.sha is None:
        raise wrong("the Hub named no commit for this repository", where=where, fix="give a revision")
    return str(info.sha)


def _where(repo_id: str, revision: str | None, key: str | None) -> str:
    return f"{f'{key}: ' if key else ''}{repo_id}{f'@{revision}' if revision else ''}"


def _refusal(error: Exception, kind: str) -> tuple[str, str] | None:
    """Return what the Hub says against this name, and what to do; None where it did not say."""
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

    match error:
        case GatedRepoError():
            return "access to this repository has to be granted", "accept its terms on the Hub and set HF_TOKEN"
        case RevisionNotFoundError():
            return "the repository has no such revision", "check the revision"
        case RepositoryNotFoundError():
            message = f"no such {_NAMED[kind]} folder here, and no such repository on the Hub (or it is private)"
            return message, "check the name; for a private repository set HF_TOKEN"
    return None


def _cached_commit(repo_id: str, kind: str, revision: str | None) -> str | None:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        return Path(snapshot_download(repo_id, repo_type=kind, revision=revision, local_files_only=True)).name
    except (LocalEntryNotFoundError, ValueError):
        return None
