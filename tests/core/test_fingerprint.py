from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.errors import ConfigError
from pipeline.core.fingerprint import fingerprint
from schemas.artifacts import Artifact, Inputs, Stored
from schemas.base import ArtifactRef, Reference, canonical, canonical_digest
from schemas.data import DataConfig, DataFiles, DataInputs, DataOptions


def data_config(location: str = "/a/train.jsonl", digest: str | None = "1" * 64, **options: Any) -> DataConfig:
    return DataConfig(
        files=DataFiles(train=Reference(location=location, digest=digest)), options=DataOptions(**options)
    )


def of(config: DataConfig, **changes: Any) -> str:
    arguments: dict[str, Any] = {
        "stage": "data",
        "config": config,
        "inputs": DataInputs(),
        "stage_version": "1",
        "environment_digest": "e" * 64,
        **changes,
    }
    return fingerprint(**arguments)


def test_the_same_bytes_at_another_path_are_the_same() -> None:
    assert of(data_config("/a/train.jsonl")) == of(data_config("/elsewhere/t.jsonl"))


def test_an_edited_file_another_option_version_or_environment_are_not() -> None:
    prints = {
        of(data_config()),
        of(data_config(digest="2" * 64)),
        of(data_config(max_rows=10)),
        of(data_config(), stage_version="2"),
        of(data_config(), environment_digest="f" * 64),
        of(data_config(), stage="train"),
    }
    assert len(prints) == 6


def test_an_unresolved_reference_has_no_fingerprint() -> None:
    with pytest.raises(ConfigError, match="not resolved"):
        of(data_config(digest=None))


def test_a_config_written_and_read_has_the_same_fingerprint() -> None:
    config = data_config(labels=("a", "b"), system="x")
    again = DataConfig.model_validate(config.model_dump(mode="json"))
    assert of(config) == of(again)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(JSON)
def test_canonical_data_stays_as_it_is_and_order_of_keys_does_not_matter(value: Any) -> None:
    assert canonical(value) == value
    if isinstance(value, dict):
        backwards = dict(reversed(list(value.items())))
        assert canonical_digest(backwards) == canonical_digest(value)


def test_nothing_without_canonical_form_is_fingerprinted() -> None:
    with pytest.raises(ValueError, match="PosixPath has no canonical form"):
        canonical(Path("/x"))
    with pytest.raises(ValueError, match=r"not JSON compliant|Out of range"):
        canonical_digest(float("nan"))


class _Given(Artifact):
    note: str


class _Inputs(Inputs):
    one: Stored[_Given]
    many: dict[str, Stored[_Given]] = {}


def given_input(content: str, path: str = "/x", note: str = "") -> Stored[_Given]:
    ref = ArtifactRef(stage="data", fingerprint=canonical_digest([content, path, note]))
    return Stored[_Given](ref=ref, content_digest=content * 64, path=Path(path), artifact=_Given(note=note))


def test_inputs_count_by_content_and_name_not_by_place() -> None:
    config = data_config()
    one = of(config, inputs=_Inputs(one=given_input("1")))
    assert one == of(config, inputs=_Inputs(one=given_input("1", path="/y", note="other words")))
    assert one != of(config, inputs=_Inputs(one=given_input("2")))
    named = of(config, inputs=_Inputs(one=given_input("1"), many={"a": given_input("3")}))
    assert named not in (one, of(config, inputs=_Inputs(one=given_input("1"), many={"b": given_input("3")})))
