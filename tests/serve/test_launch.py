"""Commands from descriptions, and what is laid beside them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from pipeline.backends.tokenizer_transformers import load_tokenizer
from pipeline.core.models import ModelFiles
from pipeline.render import template_digest
from pipeline.serve.front import write_front
from pipeline.serve.launch import Places, arguments
from schemas.artifacts import Stored
from schemas.train import TrainArtifact
from tests.serve.support import described

ADAPTER = ModelFiles("/b/base", None, Path("/a/adapter"), "/a/adapter", False)


def test_every_place_is_filled_in() -> None:
    launch = described("some.server", ["--model", "{base}", "--lora-modules", "m={model}", "--port", "{port}"])
    assert arguments(launch, Places(ADAPTER, Path("/l"), "127.0.0.1", 8000)) == [
        "-m",
        "some.server",
        "--model",
        "/b/base",
        "--lora-modules",
        "m=/a/adapter",
        "--port",
        "8000",
    ]


def test_a_whole_model_is_its_own_base_and_json_arguments_survive() -> None:
    whole = Places(ModelFiles("/m", None, None, "/m", False), Path("/l"), "::1", 1)
    assert whole.fill('{model} {base} {launch}/x {host} {"a": {}}') == '/m /m /l/x ::1 {"a": {}}'


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("0.0.0.0", "http://127.0.0.1:80/v1"),
        ("127.0.0.1", "http://127.0.0.1:80/v1"),
        ("::1", "http://[::1]:80/v1"),
        ("here.example", "http://here.example:80/v1"),
    ],
)
def test_the_address_is_one_that_a_client_here_reaches(host: str, url: str) -> None:
    assert Places(ADAPTER, Path("/l"), host, 80).url == url


def test_a_model_whose_own_tokenizer_holds_needs_nothing_beside_it(base: Path, tmp_path: Path) -> None:
    files = ModelFiles(str(base), None, None, str(base), False)
    assert not write_front(tmp_path, files, load_tokenizer(str(base)))
    assert list(tmp_path.iterdir()) == []


def test_an_adapter_brings_its_tokenizer_and_the_bases_config(
    base: Path, adapter: Stored[TrainArtifact], tmp_path: Path
) -> None:
    folder = adapter.file("model")
    files = ModelFiles(str(base), None, folder, str(folder), False)
    tokenizer = load_tokenizer(str(folder))
    assert write_front(tmp_path, files, tokenizer)
    front = tmp_path / "tokenizer"
    assert sorted(path.name for path in front.iterdir()) == [
        "chat_template.jinja",
        "config.json",
        "generation_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    assert template_digest(load_tokenizer(str(front))) == template_digest(tokenizer)
    settings = json.loads((front / "generation_config.json").read_text(encoding="utf-8"))
    assert settings["eos_token_id"] == [tokenizer.eos_token_id]


def test_end_tokens_of_another_template_are_added_to_the_models(base: Path, tmp_path: Path) -> None:
    """The template closes turns with <|endoftext|>, which the model's generation config does not name."""
    model = tmp_path / "model"
    shutil.copytree(base, model)
    template = "{%- for m in messages %}{{ m.content + '<|endoftext|>' }}{%- endfor %}"
    (model / "chat_template.jinja").write_text(template, encoding="utf-8")
    files = ModelFiles(str(model), None, None, str(model), False)
    tokenizer = load_tokenizer(str(model))
    assert write_front(tmp_path, files, tokenizer)
    front = tmp_path / "tokenizer"
    settings = json.loads((front / "generation_config.json").read_text(encoding="utf-8"))
    assert settings["eos_token_id"] == sorted([tokenizer.eos_token_id, tokenizer.pad_token_id])
    assert template_digest(load_tokenizer(str(front))) == template_digest(tokenizer)
