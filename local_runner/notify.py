"""Whom the service and the gateway tell of jobs and rollouts, and what proves that it was them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field

from pydantic import TypeAdapter, ValidationError

from local_runner.variables import NOTIFY_SECRET, WEBHOOK_SECRET
from pipeline.core.errors import ConfigError
from schemas.outgoing import Address

_OPTION = "--notify"
_ADDRESS: TypeAdapter[str] = TypeAdapter(Address)


@dataclass(frozen=True)
class Notify:
    """Addresses that webhooks go to, and the secrets that each is signed with; without secrets none is sent."""

    urls: tuple[str, ...] = ()
    secrets: tuple[str, ...] = field(default=(), repr=False)


def read_notify(urls: Sequence[str]) -> Notify:
    """Return what the options and the variables of the environment say.

    Raises:
        ConfigError: an address is none, there is no secret, or it is the one that orders retrainings: whoever is told
            of jobs could order them.
    """
    for url in urls:
        try:
            _ADDRESS.validate_python(url)
        except ValidationError as error:
            said = error.errors()[0]["msg"].removeprefix("Value error, ")
            raise ConfigError(said, where=_OPTION, fix="write https://HOST/PATH") from None
    secrets = tuple(os.environ.get(NOTIFY_SECRET, "").split())
    if urls and not secrets:
        fix = "make one with: echo whsec_$(openssl rand -base64 32)"
        raise ConfigError(f"{NOTIFY_SECRET} is not set, and webhooks are signed with it", where=_OPTION, fix=fix)
    if os.environ.get(WEBHOOK_SECRET) in secrets:
        message = f"it is {WEBHOOK_SECRET}, so whoever gets webhooks could order retrainings"
        raise ConfigError(message, where=NOTIFY_SECRET, fix="give it a secret of its own")
    return Notify(tuple(dict.fromkeys(urls)), secrets)
