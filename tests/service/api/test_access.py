"""Keys: who may do what, and that nobody can read one anywhere."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import select

from pipeline.core.errors import ConfigError
from pipeline.service.api.keys import Keyring
from pipeline.service.store.tables import metadata
from schemas.api import Scope
from tests.support.service import Service

OPERATOR = "hone_3f9c1d7be8a24056c1d2e3f4a5b69788"


def status(service: Service, key: str | None) -> int:
    return int(service.client(key).get("/v1/files").status_code)


def test_without_a_key_nothing_is_answered(service: Service) -> None:
    good = service.key()
    public = good.split("_")[1]
    for key in (None, "nonsense", "hone_", f"hone_{public}_", f"hone_{public}_{'x' * 43}", good[:-1], f"{good}x"):
        answer = service.client(key).get("/v1/files")
        assert answer.status_code == 401
        assert answer.json()["error"]["code"] == "invalid_api_key"
        assert answer.headers["www-authenticate"] == "Bearer"
    assert status(service, good) == 200


@pytest.mark.parametrize(("scope", "expected"), [("infer", 403), ("train", 200), ("admin", 200)])
def test_a_key_does_what_its_scope_says(service: Service, scope: Scope, expected: int) -> None:
    assert status(service, service.key(scope)) == expected


def test_a_revoked_key_is_nobodys(service: Service) -> None:
    key = service.key()
    assert service.records.keys.revoke(key.split("_")[1])
    assert status(service, key) == 401
    assert not service.records.keys.revoke("unknown")


def test_the_database_holds_no_key(service: Service) -> None:
    key = service.key()
    secret = key.split("_", 2)[2]
    with service.records.engine.connect() as connection:
        rows = [str(connection.execute(select(table)).all()) for table in metadata.sorted_tables]
    assert any(key.split("_")[1] in row for row in rows)
    assert not any(secret in row for row in rows)
    files = [path for path in (service.root / "service").rglob("*") if path.is_file()]
    assert not any(secret.encode() in path.read_bytes() for path in files)


def test_the_operators_key_may_do_everything(tmp_path: Path) -> None:
    service = Service(tmp_path, operator=OPERATOR)
    assert status(service, OPERATOR) == 200
    assert status(service, OPERATOR[:-1]) == 401
    assert not Keyring(service.records.keys, OPERATOR).is_empty
    assert Keyring(service.records.keys).is_empty
    service.close()


@pytest.mark.parametrize("key", ["secret", "a" * 64, "abcabcabc" * 6, OPERATOR + " x", OPERATOR + "\u00e9"])
def test_a_weak_key_is_refused_at_start_and_not_repeated(tmp_path: Path, key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Service(tmp_path, operator=key)
    assert key not in str(caught.value)
