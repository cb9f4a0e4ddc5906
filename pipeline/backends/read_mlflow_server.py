"""Reads versions, aliases and logged calls from an MLflow server by its REST API, without MLflow's client.

What reads need not have MLflow, whose import takes seconds: `hone show`, and the endpoint's container, whose image has
vLLM only. Everything is written through MLflow's client; the tests compare both views. The API:
https://mlflow.org/docs/latest/api_reference/rest-api.html, version 2.0.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from pipeline.backends.read_mlflow import (
    CONTENT_DIGEST,
    FINGERPRINT,
    HISTORY,
    RUN,
    LoggedRun,
    history_of,
    version_of,
)
from pipeline.core.errors import RegistryError
from pipeline.core.registry import RegisteredVersion
from pipeline.core.tracking import CREDENTIALS

if TYPE_CHECKING:
    import httpx

SCHEME = "hone:/"
"""Begins the source of a version: a server refuses a path, which would be one of its own machine."""

_SECONDS = 30.0
_WAITS = (1.0, 3.0)
"""Seconds before a request is made again that found nobody, or a server that is busy."""
_BUSY = frozenset({429, 502, 503, 504})
_PAGE = 1000


class MlflowServerReader:
    """A read-only view of the MLflow server at ``uri``; see `MlflowReader`.

    Every method raises RegistryError where the server cannot be reached, refuses the credentials, or is none.
    """

    def __init__(self, uri: str) -> None:
        self._uri = uri

    def versions(self, name: str | None = None) -> tuple[RegisteredVersion, ...]:
        """Return the versions that hone registered under ``name``, or under all names, by name and number."""
        if name is not None and self._model(name) is None:
            return ()
        named = f" AND name = '{name}'" if name is not None else ""
        return self._versions(f"tags.`{FINGERPRINT}` LIKE '%'{named}")

    def find(self, fingerprint: str, content_digest: str) -> RegisteredVersion | None:
        """Return the version with this fingerprint and content, or None."""
        wanted = {FINGERPRINT: fingerprint, CONTENT_DIGEST: content_digest}
        found = self._versions(" AND ".join(f"tags.`{key}` = '{value}'" for key, value in wanted.items()))
        return found[0] if found else None

    def alias(self, name: str, alias: str) -> int | None:
        """Return the number that the alias points at, or None."""
        model = self._model(name)
        return None if model is None else _aliases(model).get(alias)

    def history(self, name: str, alias: str) -> tuple[int, ...]:
        """Return the versions that the alias was set to, oldest first, the present one last."""
        model = self._model(name)
        if model is None:
            return ()
        return history_of(_tags(model).get(HISTORY + alias, "[]"), _aliases(model).get(alias))

    def logged_run(self, name: str, run_id: str) -> LoggedRun | None:
        """Return the newest MLflow run of a hone run in the experiment ``name``, or None."""
        found = self._ask("GET", "experiments/get-by-name", params={"experiment_name": name})
        if found is None:
            return None
        wanted = {
            "experiment_ids": [found["experiment"]["experiment_id"]],
            "filter": f"tags.`{RUN}` = '{run_id}'",
            "order_by": ["attributes.start_time DESC"],
            "max_results": 1,
        }
        runs = (self._ask("POST", "runs/search", content=wanted) or {}).get("runs", [])
        if not runs:
            return None
        info = runs[0]["info"]
        return LoggedRun.of(info["run_id"], info["status"], _tags(runs[0]["data"]))

    def _versions(self, wanted: str) -> tuple[RegisteredVersion, ...]:
        """Return the versions that a filter finds; their aliases are those of their models."""
        rows = list(self._pages("model-versions/search", "model_versions", {"filter": wanted}))
        aliases = {name: _aliases(self._model(name) or {}) for name in {row["name"] for row in rows}}
        return tuple(
            sorted((_version(row, aliases[row["name"]]) for row in rows), key=lambda one: (one.name, one.version))
        )

    def _model(self, name: str) -> dict[str, Any] | None:
        """Return a registered model with its tags and aliases; None where there is none."""
        found = self._ask("GET", "registered-models/get", params={"name": name})
        return None if found is None else dict(found["registered_model"])

    def _pages(self, path: str, key: str, params: Mapping[str, str]) -> Iterator[dict[str, Any]]:
        token = ""
        while True:
            asked = {**params, "max_results": str(_PAGE), **({"page_token": token} if token else {})}
            page = self._ask("GET", path, params=asked) or {}
            yield from page.get(key, [])
            token = page.get("next_page_token", "")
            if not token:
                return

    def _ask(
        self, method: str, path: str, *, params: Mapping[str, str] | None = None, content: Any = None
    ) -> dict[str, Any] | None:
        """Return the answer to one request; None where the server says that there is no such thing."""
        response = self._send(method, f"{self._uri}/api/2.0/mlflow/{path}", params, content)
        try:
            answer = response.json()
        except ValueError:
            answer = None
        if isinstance(answer, dict):
            if response.status_code == 404 and answer.get("error_code") == "RESOURCE_DOES_NOT_EXIST":
                return None
            if response.is_success:
                return answer
        raise self._refused(response.status_code, answer)

    def _send(self, method: str, url: str, params: Mapping[str, str] | None, content: Any) -> httpx.Response:
        import httpx

        waits = [*_WAITS, None]
        for wait in waits:
            try:
                response = httpx.request(
                    method, url, params=params, json=content, timeout=_SECONDS, **credentials(os.environ)
                )
            except (httpx.TransportError, OSError) as error:
                if wait is None:
                    raise unreachable(self._uri, error) from error
            else:
                if wait is None or response.status_code not in _BUSY:
                    return response
            assert wait is not None
            time.sleep(wait)
        raise AssertionError("the last try returns or raises")

    def _refused(self, status: int, answer: Any) -> RegistryError:
        if status in (401, 403):
            return refused_credentials(self._uri, status)
        said = answer.get("message") if isinstance(answer, dict) else None
        if said or status in _BUSY or status >= 500:
            said = f": {said}" if said else ""
            return RegistryError(
                f"the tracking server answers HTTP {status}{said}", where=self._uri, fix="see the server's log"
            )
        fix = "name the address under which MLflow's pages are seen"
        return RegistryError("there is no MLflow server", where=self._uri, fix=fix)


def credentials(variables: Mapping[str, str]) -> dict[str, Any]:
    """Return what of MLflow's variables a request takes: a user or a token, and how certificates are checked."""
    user, password, token = (variables.get(name, "") for name in CREDENTIALS)
    options: dict[str, Any] = {}
    if user:
        options["auth"] = (user, password)
    elif token:
        options["headers"] = {"Authorization": f"Bearer {token}"}
    if variables.get("MLFLOW_TRACKING_INSECURE_TLS", "").lower() in ("true", "1"):
        options["verify"] = False
    elif certificates := variables.get("MLFLOW_TRACKING_SERVER_CERT_PATH"):
        import ssl

        options["verify"] = ssl.create_default_context(cafile=certificates)
    return options


def unreachable(uri: str, error: BaseException) -> RegistryError:
    """Return the error of a server that does not answer."""
    return RegistryError(
        "the tracking server cannot be reached",
        where=uri,
        fix="start it, or correct the address; the same command then goes on",
        detail=f"{type(error).__name__}: {error}",
    )


def refused_credentials(uri: str, status: int) -> RegistryError:
    """Return the error of a server that knows the user not, or lets it not write."""
    user, password, token = CREDENTIALS
    return RegistryError(
        f"the tracking server refuses the credentials (HTTP {status})",
        where=uri,
        fix=f"set {user} and {password}, or {token}, to those of a user who may write",
    )


def _version(row: Mapping[str, Any], aliases: Mapping[str, int]) -> RegisteredVersion:
    number = int(row["version"])
    held = tuple(sorted(alias for alias, version in aliases.items() if version == number))
    return version_of(row["name"], number, str(row["source"]).removeprefix(SCHEME), _tags(row), held)


def _tags(thing: Mapping[str, Any]) -> dict[str, str]:
    return {tag["key"]: tag.get("value", "") for tag in thing.get("tags", [])}


def _aliases(model: Mapping[str, Any]) -> dict[str, int]:
    return {entry["alias"]: int(entry["version"]) for entry in model.get("aliases", [])}
