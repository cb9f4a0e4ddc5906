"""Token embeddings of a real, tiny BERT against the definition, and BERTScore over it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.backends.embed_transformers import load_token_embedder
from pipeline.core.errors import ConfigError, ModelError
from pipeline.metrics.bert_score import BertScore

TEXTS = ["the parcel is late", "where is my parcel", "", "late", "the late parcel is where my parcel is"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    path = tmp_path_factory.mktemp("bert")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "the", "parcel", "is", "late", "where", "my"]
    tokenizer = Tokenizer(models.WordLevel({word: place for place, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", None, [("[CLS]", 2), ("[SEP]", 3)])
    special = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=12, **special).save_pretrained(path)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(words), hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32
    )
    BertModel(config).save_pretrained(path)
    return path


@pytest.mark.parametrize("layer", [None, 1])
def test_words_have_the_vectors_of_their_layer(folder: Path, layer: int | None) -> None:
    from transformers import AutoModel, AutoTokenizer

    found = load_token_embedder(folder, layer, "here").embed(TEXTS)
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    for text, vectors in zip(TEXTS, found, strict=True):
        assert vectors.shape == (len(text.split()), 16)
        if text:
            with torch.inference_mode():
                states = model(**tokenizer(text, return_tensors="pt"), output_hidden_states=True)
            alone = states.hidden_states[2 if layer is None else layer][0, 1:-1].numpy()
            alone = alone / np.linalg.norm(alone, axis=1, keepdims=True)
            assert np.allclose(vectors, alone, atol=1e-5)


def test_a_text_beyond_the_models_length_is_cut(folder: Path) -> None:
    assert load_token_embedder(folder, None, "here").embed(["late " * 40])[0].shape == (10, 16)


def test_the_metric_prefers_the_same_words(folder: Path) -> None:
    metric = BertScore(str(folder))
    metric.connect(load_token_embedder, folder)
    same, near, nothing = metric.items([TEXTS[0], TEXTS[4], ""], [TEXTS[0]] * 3)
    assert same == pytest.approx(1.0, abs=1e-5)
    assert same > near > nothing == 0.0


def test_what_is_no_model_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="folder holds no config"):
        load_token_embedder(tmp_path, None, "evaluate.metrics.bert_score")
    with pytest.raises(ConfigError, match="no layer 3") as refused:
        load_token_embedder(folder, 3, "evaluate.metrics.bert_score")
    assert refused.value.fix == "name one from 0 to 2"
