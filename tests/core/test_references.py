from __future__ import annotations

import os
from pathlib import Path

import pytest

from pipeline.core import references
from pipeline.core.digests import DigestCache
from pipeline.core.errors import IntegrityError
from pipeline.core.models import model_files
from pipeline.core.references import open_reference
from schemas.base import Reference
from schemas.base_model import BaseModelRef


def reference(path: Path) -> Reference:
    return Reference(location=str(path), digest=DigestCache(None).digest(path))


def test_a_file_is_opened_while_it_is_as_it_was_resolved(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("one")
    found = reference(path)
    assert open_reference(found) == path
    path.write_text("two")
    with pytest.raises(IntegrityError, match=r"rows\.jsonl: changed since the run began"):
        open_reference(found)


def test_a_changed_weight_of_a_base_is_noticed_before_it_is_loaded(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    (tmp_path / "config.json").write_text("{}")
    base = BaseModelRef(name="tiny", weights=reference(tmp_path))
    assert model_files(base).weights == str(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"Weights")
    with pytest.raises(IntegrityError, match="changed since the run began"):
        model_files(base)


def test_a_path_is_hashed_once_in_a_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("one")
    found = reference(path)
    open_reference(found)
    monkeypatch.setattr(references, "DigestCache", None)
    open_reference(found)
    os.utime(path, ns=(1, 1))
    with pytest.raises(TypeError):
        open_reference(found)  # touched: it would be hashed again


@pytest.mark.parametrize("digest", [None, "f" * 40])
def test_what_has_no_hash_of_bytes_is_left_to_who_opens_it(tmp_path: Path, digest: str | None) -> None:
    assert open_reference(Reference(location=str(tmp_path), digest=digest)) == tmp_path
    assert open_reference(Reference(location="org/name", digest=digest)) == Path("org/name")
