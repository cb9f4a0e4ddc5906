"""``transformers serve``: its arguments, and the folder that it is started in."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.backends.engine import EngineRequest
from pipeline.backends.engine_transformers import describe, place_model
from pipeline.core.errors import ModelError
from pipeline.core.models import ModelFiles
from schemas.serve import EngineOptions


def _write(folder: Path, **files: str) -> Path:
    folder.mkdir(parents=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text, encoding="utf-8")
    return folder


@pytest.mark.parametrize(("dtype", "expected"), [("auto", "float32"), ("bfloat16", "bfloat16")])
def test_the_model_is_started_under_the_name_that_clients_use(dtype: str, expected: str) -> None:
    request = EngineRequest(
        files=ModelFiles("/m", None, None, "/m", False),
        served_model_name="triage",
        options=EngineOptions.model_validate({"dtype": dtype}),
        cpu_dtype="float32",
        front=False,
        smoke_request={"messages": []},
    )
    launch = describe(request)
    assert launch.arguments[:2] == ("serve", "triage")
    assert launch.arguments[launch.arguments.index("--dtype") + 1] == expected
    assert launch.environment["HF_HUB_OFFLINE"] == "1"
    assert launch.smoke_request["model"] == "triage"


def test_an_adapter_lies_over_its_base_and_the_front_over_both(tmp_path: Path) -> None:
    base = _write(tmp_path / "base", config__json="base", model__safetensors="weights", tokenizer__json="base")
    adapter = _write(tmp_path / "adapter", adapter_config__json=json.dumps({"r": 4}), tokenizer__json="adapter")
    launch = tmp_path / "launch"
    _write(launch / "tokenizer", tokenizer__json="front")
    files = ModelFiles(str(base), None, adapter, str(adapter), False)
    place_model(files, launch, tmp_path / "engine" / "triage")
    found = {path.name: path.read_text(encoding="utf-8") for path in (tmp_path / "engine" / "triage").iterdir()}
    assert found == {
        "config.json": "base",
        "model.safetensors": "weights",
        "adapter_config.json": '{"r": 4}',
        "tokenizer.json": "front",
    }


def test_a_whole_model_is_linked_as_it_is(tmp_path: Path) -> None:
    model = _write(tmp_path / "model", config__json="c", tokenizer__json="t")
    place_model(ModelFiles(str(model), None, None, str(model), False), tmp_path, tmp_path / "engine" / "m")
    links = list((tmp_path / "engine" / "m").iterdir())
    assert sorted(link.name for link in links) == ["config.json", "tokenizer.json"]
    assert all(link.is_symlink() for link in links)


def test_an_adapter_whose_base_is_not_here_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    adapter = _write(tmp_path / "adapter", adapter_config__json="{}")
    files = ModelFiles("no-such-org/no-such-model", "c" * 40, adapter, str(adapter), False)
    with pytest.raises(ModelError, match="base is not on this machine"):
        place_model(files, tmp_path, tmp_path / "engine" / "m")
