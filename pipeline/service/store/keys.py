"""API keys as the database knows them: never the key, only its digest."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Engine, insert, select, update

from pipeline.service.store.database import now
from pipeline.service.store.tables import keys
from schemas.api import Scope


@dataclass(frozen=True)
class KnownKey:
    """A key: its public id, what it is for, what it may do, and the sha256 of its secret part.

    ``requests_per_minute`` None is what the service gives to every key.
    """

    id: str
    name: str
    scopes: tuple[Scope, ...]
    digest: str
    created_at: int
    revoked_at: int | None = None
    requests_per_minute: int | None = None


class KeyStore:
    """The table of keys."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def add(self, key: KnownKey) -> None:
        """Note a new key."""
        with self._engine.begin() as connection:
            connection.execute(insert(keys).values({**asdict(key), "scopes": list(key.scopes)}))

    def get(self, name: str) -> KnownKey | None:
        """Return a key by its public id."""
        with self._engine.connect() as connection:
            row = connection.execute(select(keys).where(keys.c.id == name)).one_or_none()
        return None if row is None else _key(row)

    def all(self) -> list[KnownKey]:
        """Return every key, the oldest first."""
        with self._engine.connect() as connection:
            return [_key(row) for row in connection.execute(select(keys).order_by(keys.c.number))]

    def revoke(self, name: str) -> bool:
        """Take a key's rights away; False where there is no such key."""
        with self._engine.begin() as connection:
            known = connection.execute(select(keys.c.id).where(keys.c.id == name)).scalar()
            connection.execute(
                update(keys).where(keys.c.id == name, keys.c.revoked_at.is_(None)).values(revoked_at=now())
            )
        return known is not None


def _key(row: Any) -> KnownKey:
    values = {name: getattr(row, name) for name in KnownKey.__dataclass_fields__}
    return KnownKey(**{**values, "scopes": tuple(row.scopes)})
