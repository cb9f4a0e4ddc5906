"""Pushing a package to the Hugging Face Hub with huggingface_hub."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.core.errors import ConfigError, HoneError, SourceError

if TYPE_CHECKING:
    from huggingface_hub import HfApi


def push_folder(
    folder: Path, repo_id: str, *, token: str, private: bool = True, message: str, endpoint: str | None = None
) -> str:
    """Make ``repo_id`` (``org/name``) hold exactly the files of ``folder`` and return the repository's address.

    The repository is made if it does not exist. One that is public is refused where ``private`` is asked for. Files
    that an earlier push left and ``folder`` has no longer are removed in the same commit.

    Args:
        folder: plain files only.
        repo_id: the repository.
        token: a token that may write; never logged.
        private: whether a new repository is private.
        message: the commit message.
        endpoint: another Hub's address; None is huggingface.co.

    Raises:
        ConfigError: the name is not one, the token is refused, or the repository is public.
        SourceError: the Hub cannot be reached or refuses the upload.
    """
    import httpx
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled

    api = HfApi(endpoint=endpoint, token=token)
    try:
        address = str(api.create_repo(repo_id, private=private, exist_ok=True))
        if private and not api.repo_info(repo_id).private:
            raise ConfigError(
                "the repository exists and is public, and a private one was asked for",
                where=f"hf://{repo_id}",
                fix="choose another name, make it private on the Hub, or export with --public",
            )
        _send(api, folder, repo_id, message)
    except HoneError:
        raise
    except HFValidationError as error:
        raise ConfigError(str(error), where=f"hf://{repo_id}", fix="write hf://organization/name") from error
    except HfHubHTTPError as error:
        raise _refused(error, repo_id) from error
    except OfflineModeIsEnabled as error:
        raise SourceError(
            "HF_HUB_OFFLINE is set, so nothing can be sent", where=f"hf://{repo_id}", fix="unset it and export again"
        ) from error
    except (OSError, httpx.HTTPError) as error:
        raise _unreachable(error, repo_id) from error
    return address


def _send(api: HfApi, folder: Path, repo_id: str, message: str) -> None:
    from huggingface_hub.errors import HfHubHTTPError

    try:
        api.upload_folder(repo_id=repo_id, folder_path=folder, commit_message=message, delete_patterns="*")
    except HfHubHTTPError:
        raise
    except (RuntimeError, OSError) as error:  # as the ways of sending weights end, whatever the storage answered
        raise SourceError(
            "the Hub's storage did not take the weights",
            where=f"hf://{repo_id}",
            fix="export again; nothing was committed, and what arrived is not sent twice",
            detail=f"{type(error).__name__}: {error.__cause__ or error}",
        ) from error


def _refused(error: Exception, repo_id: str) -> HoneError:
    response = getattr(error, "response", None)
    status = getattr(response, "status_code", None)
    where = f"hf://{repo_id}"
    if status in (401, 403):
        return ConfigError(
            f"the Hub refused the token (HTTP {status})",
            where=where,
            fix="set HF_TOKEN to a token that may write to this organization",
        )
    return SourceError(f"the Hub answered HTTP {status}", where=where, fix="try again later", detail=str(error))


def _unreachable(error: Exception, repo_id: str) -> HoneError:
    return SourceError(
        "the Hub cannot be reached",
        where=f"hf://{repo_id}",
        fix="connect to the network, or export to a folder with --to DIR",
        detail=f"{type(error).__name__}: {error}",
    )
