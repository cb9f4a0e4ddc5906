"""API keys: ``hone_<id>_<secret>``, of which the service keeps the sha256 of the secret part alone.

The secret is 32 random bytes, so one fast hash is enough: there is nothing to guess (OWASP asks for slow hashes where
people choose the secret). A key that an operator chooses, in an environment variable, has to be as hard to guess.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from pipeline.core.errors import ConfigError
from pipeline.service.store.database import now
from pipeline.service.store.keys import KeyStore, KnownKey
from schemas.api import Scope

SCOPES: Final[tuple[Scope, ...]] = ("infer", "train", "admin")

OPERATOR: Final = "operator"
"""The id of the operator's own key."""

MIN_LENGTH = 32
_MIN_DISTINCT = 12
_PREFIX: Final = "hone"
_NOBODY: Final = "0" * 64


@dataclass(frozen=True)
class Caller:
    """Who asks: the key's public id, what it may do, and how often, where it has a limit of its own."""

    id: str
    scopes: tuple[Scope, ...]
    requests_per_minute: int | None = None

    def may(self, scope: Scope) -> bool:
        """Tell whether the caller may do what needs ``scope``."""
        return scope in self.scopes or "admin" in self.scopes


def digest_of(secret: str) -> str:
    """Return the sha256 (hexadecimal) by which a secret is known."""
    return hashlib.sha256(secret.encode()).hexdigest()


def create_key(
    store: KeyStore, name: str, scopes: Sequence[Scope], requests_per_minute: int | None = None
) -> tuple[KnownKey, str]:
    """Make a key and note it; return it with its text, which nobody can be told again."""
    public, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
    key = KnownKey(
        public,
        name,
        tuple(dict.fromkeys(scopes)),
        digest_of(secret),
        now(),
        requests_per_minute=requests_per_minute,
    )
    store.add(key)
    return key, f"{_PREFIX}_{public}_{secret}"


def check_strength(key: str, where: str) -> None:
    """Refuse a key that could be guessed; no message holds any of it.

    Raises:
        ConfigError: it is short, or made of few characters, or not what a header can hold.
    """
    fix = f"make one with: echo {_PREFIX}_$(openssl rand -hex 32)"
    if len(key) < MIN_LENGTH or len(set(key)) < _MIN_DISTINCT:
        raise ConfigError(f"too weak a key: {MIN_LENGTH} random characters are needed", where=where, fix=fix)
    if not key.isascii() or not key.isprintable() or " " in key:
        raise ConfigError("a key is printable ASCII without blanks", where=where, fix=fix)


class Keyring:
    """Tells who asks, in a time that does not depend on how much of a key is right.

    Args:
        store: keys that were made by `create_key`.
        operator: a key that an environment variable holds; it may do everything.

    Raises:
        ConfigError: the operator's key is weak.
    """

    def __init__(self, store: KeyStore, operator: str | None = None, where: str = "operator key") -> None:
        if operator is not None:
            check_strength(operator, where)
        self._store = store
        self._operator = _NOBODY if operator is None else digest_of(operator)

    def caller(self, key: str) -> Caller | None:
        """Return who sent a key; None for nobody that is known."""
        is_operator = hmac.compare_digest(digest_of(key), self._operator)
        prefix, _, rest = key.partition("_")
        public, _, secret = rest.partition("_")
        known = self._store.get(public) if prefix == _PREFIX and public and len(public) <= MIN_LENGTH else None
        is_known = hmac.compare_digest(digest_of(secret), _NOBODY if known is None else known.digest)
        if is_operator:
            return Caller(OPERATOR, ("admin",))
        if known is None or not is_known or known.revoked_at is not None:
            return None
        return Caller(known.id, known.scopes, known.requests_per_minute)

    @property
    def is_empty(self) -> bool:
        """Whether nobody could ask anything."""
        return self._operator == _NOBODY and all(key.revoked_at is not None for key in self._store.all())
