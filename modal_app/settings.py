"""The settings of hone on Modal: read once from environment variables, and carried into containers by their image.

A container imports the same modules as the command that started it; with the image's variables it sees the same
settings. Nothing here imports Modal.
"""

from __future__ import annotations

import difflib
import os
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, get_args

from pipeline.core.errors import ConfigError, HoneError
from pipeline.core.secrets import NAMED, is_visible
from pipeline.core.spec import read_spec
from pipeline.core.tracking import CREDENTIALS, checked_tracking_uri
from schemas.base import Device
from schemas.placement import MOST_NODES

PREFIX = "HONE_MODAL_"

_APP_LENGTH = 54
"""Modal's names have at most 64 characters, and the longest of an app's Volumes ends in ``-artifacts``."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_APP_ID = re.compile(r"ap-[A-Za-z0-9]{22}")
"""Modal takes such a name for an id."""
_SERVED = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(@(champion|[1-9][0-9]*))?")


@dataclass(frozen=True)
class NamedSecret:
    """A Modal Secret by name, and the keys without which nothing is to start."""

    name: str
    required_keys: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Return it as it is written in the variable."""
        return f"{self.name}:{'+'.join(self.required_keys)}" if self.required_keys else self.name


@dataclass(frozen=True)
class Settings:
    """What is chosen by environment variables; each field is ``HONE_MODAL_`` and its name in capitals.

    Args:
        app: the app's name, and the prefix of its Volumes and Dicts.
        device: what stages are offered: ``cuda``, or ``cpu`` for smoke runs and tests.
        config: a run description whose plan sizes deployed functions and the endpoint.
        secrets: the Modal Secrets that stages get, separated by commas in the variable, each a name and, after a colon,
            the keys that it must have: ``huggingface:HF_TOKEN,judges:OPENAI_API_KEY+HONE_SECRET_JUDGE``.
        workers: calls of one kind that may be under way at once.
        lease_seconds: how long an artifact's lease is good without being renewed.
        serve: what the endpoint serves: ``name`` or ``name@champion``, or ``name@3`` whatever becomes champion; None
            is the only name that is registered.
        port: the port that the endpoint's engine listens on in its container.
        nodes: containers of the cluster that trains, which is fixed when the app is made; left out, what the run
            description of ``config`` asks for.
        tracking_uri: the MLflow server that holds versions and runs; left out, MLflow's SQLite file on the Volume.
        tracking_secret: the Modal Secret with what that server asks for: MLflow's own variables.
    """

    app: str = "hone"
    device: Device = "cuda"
    config: str | None = None
    secrets: tuple[NamedSecret, ...] = ()
    workers: int = 4
    lease_seconds: float = 40.0
    serve: str | None = None
    port: int = 8000
    nodes: int = 1
    tracking_uri: str | None = None
    tracking_secret: NamedSecret | None = None

    @classmethod
    def read(cls, variables: Mapping[str, str]) -> Settings:
        """Return the settings that ``variables`` choose; an empty variable is as none.

        Raises:
            ConfigError: a value is not one that there can be, or a variable with hone's prefix is unknown.
        """
        given = {name: value.strip() for name, value in variables.items() if name.startswith(PREFIX) and value.strip()}
        readers = {
            "app": _app, "device": _device, "config": _config, "secrets": _secrets,
            "workers": _workers, "lease_seconds": _lease_seconds, "serve": _serve, "port": _port,
            "nodes": _nodes, "tracking_uri": checked_tracking_uri, "tracking_secret": _tracking_secret,
        }  # fmt: skip
        known = {_variable(field): field for field in readers}
        for name in given:
            if name not in known:
                nearest = difflib.get_close_matches(name, known, n=1, cutoff=0)[0]
                raise ConfigError("there is no such setting", where=name, fix=f"did you mean {nearest}?")
        chosen = {known[name]: readers[known[name]](name, value) for name, value in given.items()}
        if "tracking_secret" in chosen and "tracking_uri" not in chosen:
            name = _variable("tracking_secret")
            raise ConfigError("there is no server for it", where=name, fix=f"set {_variable('tracking_uri')} too")
        return cls(**chosen)  # type: ignore[arg-type]

    def environment(self) -> dict[str, str]:
        """Return the variables from which `read` makes these settings."""
        values = {
            "app": self.app,
            "device": self.device,
            "config": self.config or "",
            "secrets": ",".join(map(str, self.secrets)),
            "workers": str(self.workers),
            "lease_seconds": repr(self.lease_seconds),
            "serve": self.serve or "",
            "port": str(self.port),
            "nodes": str(self.nodes),
            "tracking_uri": self.tracking_uri or "",
            "tracking_secret": str(self.tracking_secret or ""),
        }
        return {_variable(field): value for field, value in values.items() if value}


def _variable(field: str) -> str:
    return PREFIX + field.upper()


def _app(where: str, value: str) -> str:
    if not _NAME.fullmatch(value) or _APP_ID.fullmatch(value):
        fix = "letters, digits, dots, dashes and underscores; not in the form of an app's id"
        raise ConfigError(f"{value!r} cannot be an app's name", where=where, fix=fix)
    if len(value) > _APP_LENGTH:
        message = f"an app's name has at most {_APP_LENGTH} characters, this one {len(value)}"
        raise ConfigError(message, where=where, fix="shorten it: the names of its Volumes begin with it")
    return value


def _device(where: str, value: str) -> Device:
    for device in get_args(Device):
        if value == device:
            return device  # type: ignore[no-any-return]
    raise ConfigError(f"there is no device {value!r}", where=where, fix=f"one of {', '.join(get_args(Device))}")


def _config(_where: str, value: str) -> str:
    return value


def _secrets(where: str, value: str) -> tuple[NamedSecret, ...]:
    """Read the Secrets; one that is named twice must have all the keys that are named."""
    keys: dict[str, dict[str, None]] = {}
    for part in filter(None, map(str.strip, value.split(","))):
        secret = _secret(where, part, is_visible, f"no key that stages see; they see {NAMED}")
        keys.setdefault(secret.name, {}).update(dict.fromkeys(secret.required_keys))
    return tuple(NamedSecret(name, tuple(required)) for name, required in keys.items())


def _tracking_secret(where: str, value: str) -> NamedSecret:
    return _secret(where, value, CREDENTIALS.__contains__, f"none of {', '.join(CREDENTIALS)}")


def _secret(where: str, value: str, allowed: Callable[[str], bool], otherwise: str) -> NamedSecret:
    """Read a Secret's name and, after a colon, the keys that it must have; each is ``allowed``."""
    name, colon, required = (text.strip() for text in value.partition(":"))
    if not _NAME.fullmatch(name) or len(name) > 64:
        raise ConfigError(f"{name!r} cannot be a Secret's name", where=where, fix="write name, or name:KEY+KEY")
    keys = [key.strip() for key in required.split("+")] if colon else []
    for key in keys:
        if not allowed(key):
            raise ConfigError(f"{key!r} of {name} is {otherwise}", where=where, fix="keys are joined by +")
    return NamedSecret(name, tuple(dict.fromkeys(keys)))


def _workers(where: str, value: str) -> int:
    if not value.isdecimal() or int(value) < 1:
        raise ConfigError(f"{value!r} is not a number of workers", where=where, fix="a whole number from 1")
    return int(value)


def _lease_seconds(where: str, value: str) -> float:
    try:
        seconds = float(value)
    except ValueError:
        seconds = 0.0
    if not 0.0 < seconds < float("inf"):
        raise ConfigError(f"{value!r} is not a number of seconds", where=where, fix="a number above 0")
    return seconds


def _serve(where: str, value: str) -> str:
    if not _SERVED.fullmatch(value):
        fix = "write name, name@champion or name@<number>"
        raise ConfigError(f"{value!r} names nothing that can be served", where=where, fix=fix)
    return value


def _port(where: str, value: str) -> int:
    if not value.isdecimal() or not 1024 <= int(value) <= 65535:
        raise ConfigError(f"{value!r} is not a port", where=where, fix="a whole number from 1024 to 65535")
    return int(value)


def _nodes(where: str, value: str) -> int:
    if not value.isdecimal() or not 1 <= int(value) <= MOST_NODES:
        raise ConfigError(
            f"{value!r} is not a number of containers", where=where, fix=f"a whole number to {MOST_NODES}"
        )
    return int(value)


def _described_nodes(config: str | None) -> dict[str, str]:
    """Return the variable of `Settings.nodes` as a description asks for it; a container has it from its image."""
    if config is None or not Path(config).is_file():
        return {}
    nodes = read_spec(Path(config)).hardware.train.nodes
    return {_variable("nodes"): str(nodes)}


def _settings() -> Settings:
    """Return this process's settings; wrong ones end it before Modal is asked for anything."""
    config = _variable("config")
    try:
        described = _described_nodes(os.environ.get(config))
    except HoneError as error:
        _end(f"{config}: {error}", error)
    try:
        return Settings.read(described | dict(os.environ))
    except ConfigError as error:
        _end(str(error), error)


def _end(line: str, error: HoneError) -> NoReturn:
    sys.stderr.write(f"error: {line}\n")
    raise SystemExit(int(error.exit_code)) from None


SETTINGS = _settings()
