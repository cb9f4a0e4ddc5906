"""`hone key` and `hone service`, as far as they go without answering anybody."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest
from filelock import FileLock

from local_runner.main import run_command
from local_runner.service import ServiceOptions, open_records, serve
from pipeline.core.errors import ConfigError
from pipeline.service.api.keys import Keyring


def test_a_key_is_made_shown_without_its_secret_and_revoked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = ["-w", str(tmp_path)]
    assert run_command(["key", "create", "ci", "--scope", "infer", "--json", *place]) == 0
    made = json.loads(capsys.readouterr().out)
    assert (made["name"], made["scopes"]) == ("ci", ["infer"])
    assert run_command(["key", "list", "--json", *place]) == 0
    listed = capsys.readouterr().out
    assert made["key"].split("_", 2)[2] not in listed
    assert json.loads(listed)["keys"][0]["revoked_at"] is None
    records = open_records(tmp_path, None)
    caller = Keyring(records.keys).caller(made["key"])
    assert caller is not None and caller.may("infer") and not caller.may("train")
    assert run_command(["key", "revoke", made["id"], *place]) == 0
    assert Keyring(records.keys).caller(made["key"]) is None
    records.close()
    assert run_command(["key", "list", *place]) == 0
    assert "revoked" in capsys.readouterr().out
    assert run_command(["key", "revoke", "unknown", *place]) == 3
    assert "hone key list" in capsys.readouterr().err


def options(root: Path, port: int = 0, key: str | None = "hone_" + "0123456789abcdef" * 2) -> ServiceOptions:
    return ServiceOptions(root, "127.0.0.1", port, None, "acme", 1000, 1, None, 1, key)


def refusal(asked: ServiceOptions) -> str:
    with pytest.raises(ConfigError) as caught:
        serve(asked, lambda _: None)
    return str(caught.value)


def test_it_does_not_start_where_nobody_has_a_key(tmp_path: Path) -> None:
    assert "hone key create" in refusal(options(tmp_path, key=None))


def test_it_does_not_start_with_a_weak_key(tmp_path: Path) -> None:
    told = refusal(options(tmp_path, key="password"))
    assert "HONE_SERVICE_KEY" in told and "password" not in told


def test_it_does_not_start_where_another_one_is_up(tmp_path: Path) -> None:
    open_records(tmp_path, None).close()
    with FileLock(tmp_path / "service" / "service.lock"):
        assert "another service" in refusal(options(tmp_path))


def test_it_does_not_start_on_a_port_that_is_taken(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert "another --port" in refusal(options(tmp_path, port=taken.getsockname()[1]))
