"""Addresses of MLflow servers."""

from __future__ import annotations

import pytest

from pipeline.core.errors import ConfigError
from pipeline.core.tracking import TRACKING_URI, checked_tracking_uri


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ("https://mlflow.example.com", "https://mlflow.example.com"),
        ("http://127.0.0.1:5000/", "http://127.0.0.1:5000"),
        ("https://tools.example.com:8443/mlflow/", "https://tools.example.com:8443/mlflow"),
    ],
)
def test_an_address_is_taken_without_its_last_slash(given: str, taken: str) -> None:
    assert checked_tracking_uri(TRACKING_URI, given) == taken


@pytest.mark.parametrize(
    "given",
    ["sqlite:///mlflow.db", "mlflow.example.com", "databricks", "./mlruns", "https://", "http://host:port", "http://h:0",
     "https://host/?token=x", "https://[::1"],
)  # fmt: skip
def test_what_is_no_servers_address_is_refused(given: str) -> None:
    with pytest.raises(ConfigError, match="no MLflow server's address") as caught:
        checked_tracking_uri(TRACKING_URI, given)
    assert caught.value.where == TRACKING_URI


@pytest.mark.parametrize("given", ["https://me:hidden@mlflow.example.com", "ftp://me:hidden@host"])
def test_a_password_in_it_is_refused_and_not_shown(given: str) -> None:
    with pytest.raises(ConfigError) as caught:
        checked_tracking_uri(TRACKING_URI, given)
    assert "hidden" not in str(caught.value)
