"""The door of reports and packages to the libraries: pushing a folder to a Hub."""

from __future__ import annotations

from pathlib import Path


def push_folder(folder: Path, repo_id: str, *, token: str, private: bool, message: str) -> str:
    """Upload ``folder`` as a model repository and return its address; see `pipeline.backends.hub_huggingface`."""
    from pipeline.backends import hub_huggingface

    return hub_huggingface.push_folder(folder, repo_id, token=token, private=private, message=message)
