"""Pushing to a stand-in Hub that speaks the real client's HTTP on this machine."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.backends.hub_huggingface import push_folder
from pipeline.core.errors import ConfigError, SourceError
from tests.support.hub import TOKEN, Hub, Large, serve_hub


@pytest.fixture(autouse=True)
def online(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the client speak: the stand-in is on this machine, and the other tests forbid the network by a variable."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)


@pytest.fixture
def hub() -> Iterator[Hub]:
    with serve_hub() as made:
        yield made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "base").mkdir()
    (tmp_path / "README.md").write_text("# card\n")
    (tmp_path / "base" / "config.json").write_text("{}")
    return tmp_path


def test_a_folder_arrives_whole_in_a_private_repository(hub: Hub, folder: Path) -> None:
    address = push_folder(folder, "org/name", token=TOKEN, message="triage@1", endpoint=hub.address)
    assert address == f"{hub.address}/org/name"
    assert hub.repositories["org/name"] == {
        "private": True,
        "files": {"README.md": b"# card\n", "base/config.json": b"{}"},
    }


def test_a_second_push_removes_what_is_no_longer_there(hub: Hub, folder: Path) -> None:
    push_folder(folder, "org/name", token=TOKEN, message="first", endpoint=hub.address)
    (folder / "base" / "config.json").unlink()
    (folder / "new.txt").write_text("new")
    push_folder(folder, "org/name", token=TOKEN, message="second", endpoint=hub.address)
    assert set(hub.repositories["org/name"]["files"]) == {"README.md", "new.txt"}


WEIGHTS = bytes(range(256)) * 4000  # 1,024,000 bytes


@pytest.fixture(params=["xet", "lfs"])
def storage(request: pytest.FixtureRequest, folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Have the client send weights to this storage, and put some into the folder."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", request.param == "lfs")
    (folder / "model.safetensors").write_bytes(WEIGHTS)
    return str(request.param)


@pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # of the client, by LFS
def test_weights_go_to_the_storage_and_the_commit_names_them_by_content(hub: Hub, folder: Path, storage: str) -> None:
    push_folder(folder, "org/name", token=TOKEN, message="triage@1", endpoint=hub.address)
    digest = hashlib.sha256(WEIGHTS).hexdigest()
    assert hub.repositories["org/name"]["files"]["model.safetensors"] == Large(digest, len(WEIGHTS))
    assert (digest in hub.objects, bool(hub.blocks and hub.shards)) == (storage == "lfs", storage == "xet")
    assert hub.refused == []  # nothing was told to anybody beside


@pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
@pytest.mark.usefixtures("storage")
def test_a_storage_that_takes_no_weights_is_a_clear_error_and_nothing_is_committed(hub: Hub, folder: Path) -> None:
    hub.full = True
    with pytest.raises(SourceError, match="did not take the weights") as raised:
        push_folder(folder, "org/name", token=TOKEN, message="triage@1", endpoint=hub.address)
    assert hub.repositories["org/name"]["files"] == {}
    assert TOKEN not in f"{raised.value} {raised.value.detail}"


def test_a_public_repository_is_refused_before_anything_is_sent(hub: Hub, folder: Path) -> None:
    hub.repositories["org/name"] = {"private": False, "files": {}}
    with pytest.raises(ConfigError, match="public"):
        push_folder(folder, "org/name", token=TOKEN, message="x", endpoint=hub.address)
    assert hub.repositories["org/name"]["files"] == {}
    push_folder(folder, "org/name", token=TOKEN, private=False, message="x", endpoint=hub.address)
    assert "README.md" in hub.repositories["org/name"]["files"]


def test_a_refused_token_is_named_but_not_shown(hub: Hub, folder: Path) -> None:
    with pytest.raises(ConfigError, match="refused the token") as raised:
        push_folder(folder, "org/name", token="hf_wrong", message="x", endpoint=hub.address)
    assert "HF_TOKEN" in str(raised.value.fix)
    assert "hf_wrong" not in f"{raised.value} {raised.value.detail}"


def test_a_hub_out_of_reach_is_a_clear_error(folder: Path) -> None:
    with pytest.raises(SourceError, match="cannot be reached"):
        push_folder(folder, "org/name", token=TOKEN, message="x", endpoint="http://127.0.0.1:9")


def test_a_malformed_name_is_refused_before_any_request(hub: Hub, folder: Path) -> None:
    with pytest.raises(ConfigError):
        push_folder(folder, "org/-name-", token=TOKEN, message="x", endpoint=hub.address)


def test_offline_mode_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(SourceError, match="HF_HUB_OFFLINE"):
        push_folder(folder, "org/name", token=TOKEN, message="x", endpoint="http://127.0.0.1:9")
