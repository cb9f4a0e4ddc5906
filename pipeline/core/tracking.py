"""A tracking URI: the MLflow server that holds versions and runs in place of a workspace's own database."""

from __future__ import annotations

from urllib.parse import urlsplit

from pipeline.core.errors import ConfigError

TRACKING_URI = "HONE_TRACKING_URI"
"""The variable that names the server; the credentials are in MLflow's own."""

CREDENTIALS = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")
"""MLflow's variables for a server that asks who writes: a user with a password, or a token."""


def checked_tracking_uri(where: str, uri: str) -> str:
    """Return ``uri`` without a slash at its end if it can be an MLflow server's address.

    Raises:
        ConfigError: it is none, or it holds a password, which would be in images and logs.
    """
    try:
        parts = urlsplit(uri)
        named = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        named = False
    if not named or parts.scheme not in ("http", "https") or parts.query or parts.fragment:
        shown = uri if "@" not in uri else "what is given"
        raise ConfigError(
            f"{shown!r} is no MLflow server's address", where=where, fix="write https://host[:port][/path]"
        )
    if parts.username is not None or parts.password is not None:
        raise ConfigError(
            "a tracking URI holds no credentials", where=where, fix=f"remove them and set {', '.join(CREDENTIALS[:2])}"
        )
    return uri.rstrip("/")
