"""Tokenizers: loaded with a clear word where there is none, trained without losing a character."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.backends.tokenizer_transformers import load_tokenizer, train_bpe_tokenizer
from pipeline.core.errors import ModelError
from tests.support.tiny_model import TEXTS, tiny_tokenizer, write_tiny_base


def test_tokenizer_training_is_deterministic_and_lossless() -> None:
    first = train_bpe_tokenizer(TEXTS, vocab_size=320, chat_template=None)
    second = train_bpe_tokenizer(TEXTS, vocab_size=320, chat_template=None)
    text = "Ünïcode 日本 \n\t{}"
    assert first(text)["input_ids"] == second(text)["input_ids"]
    assert first.decode(first(text)["input_ids"]) == text
    assert len(first) == 320


def test_missing_tokenizer_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="does not exist"):
        load_tokenizer(str(tmp_path / "absent"))
    with pytest.raises(ModelError, match="no tokenizer can be loaded"):
        load_tokenizer(str(tmp_path))


def test_another_template_replaces_the_models_own(tmp_path: Path) -> None:
    tiny_tokenizer().save_pretrained(tmp_path)
    assert load_tokenizer(str(tmp_path), chat_template="{{ 1 }}").chat_template == "{{ 1 }}"
    assert load_tokenizer(str(tmp_path)).chat_template == tiny_tokenizer().chat_template


@settings(max_examples=50, deadline=None)
@given(st.text(alphabet=st.characters(blacklist_categories=("Cs",)), max_size=40))
def test_any_text_survives(text: str) -> None:
    tokenizer = tiny_tokenizer()
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert tokenizer.decode(ids) == text


def test_what_is_saved_says_nothing_of_the_place_that_it_was_loaded_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_tiny_base(tmp_path / "base")
    saved = []
    for name, offline in (("online", False), ("offline", True)):
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", offline)
        load_tokenizer(str(tmp_path / "base")).save_pretrained(tmp_path / name)
        saved.append(json.loads((tmp_path / name / "tokenizer_config.json").read_text()))
    assert saved[0] == saved[1]
    assert not {"is_local", "local_files_only"} & set(saved[0])
