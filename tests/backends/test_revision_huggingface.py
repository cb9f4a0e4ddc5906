"""A Hub id that leads nowhere is an error of the key that names it, whatever the library raises."""

from __future__ import annotations

from typing import Literal

import httpx
import pytest

from pipeline.backends.revision_huggingface import resolve_commit
from pipeline.core.errors import HoneError, ModelError, SourceError


@pytest.mark.parametrize(
    "raised", [httpx.ConnectError("no route"), httpx.ReadTimeout("slow"), ConnectionError("off"), OSError("socket")]
)
@pytest.mark.parametrize(
    ("kind", "key", "error"), [("model", "base_model", ModelError), ("dataset", "data.path", SourceError)]
)
def test_no_network_names_the_key_and_the_fix(
    raised: Exception,
    kind: Literal["model", "dataset"],
    key: str,
    error: type[HoneError],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise raised

    monkeypatch.setattr("huggingface_hub.HfApi.repo_info", fail)
    with pytest.raises(error, match=f"{key}: nosuch/thing: no such .* cannot be reached") as caught:
        resolve_commit("nosuch/thing", kind, None, key=key)
    assert isinstance(caught.value, HoneError)
    assert caught.value.fix is not None and "HF_HUB_OFFLINE" in caught.value.fix


def test_what_is_no_hub_id_is_said() -> None:
    with pytest.raises(ModelError, match="no name of a Hub repository"):
        resolve_commit("org/double--hyphen", "model", None)
