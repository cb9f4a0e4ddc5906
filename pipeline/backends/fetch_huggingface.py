"""Bringing a Hub model into the local cache with huggingface_hub."""

from __future__ import annotations

from pathlib import Path

from pipeline.core.errors import ModelError

WANTED = ("*.safetensors", "*.json", "*.jinja", "*.model", "*.txt", "*.py")
"""Files of a model that are read: weights as safetensors only, configs, tokenizers, and code that a user may trust."""


def fetch_model(repo_id: str, commit: str, token: str | None = None) -> Path:
    """Bring the files of a model at one commit into the cache, and return their folder; what is there stays.

    Raises:
        ModelError: the Hub cannot be reached, refuses the repository, or has no such commit.
    """
    import httpx
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError

    try:
        return Path(snapshot_download(repo_id, revision=commit, token=token, allow_patterns=list(WANTED)))
    except GatedRepoError as error:
        raise ModelError(
            "access to this repository has to be granted",
            where=repo_id,
            fix="accept its terms on the Hub and give a Secret with HF_TOKEN",
        ) from error
    except (HfHubHTTPError, httpx.HTTPError, OSError) as error:
        raise ModelError(
            f"its files cannot be fetched: {error}", where=f"{repo_id}@{commit}", fix="check the network and HF_TOKEN"
        ) from error
