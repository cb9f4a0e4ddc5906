from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.backends.classify_transformers import load_label_scorer
from pipeline.core.errors import ConfigError, ModelError
from tests.support.classifier import train_classifier

EXAMPLES = {
    "I want a refund for my order": "fine",
    "please help me log in": "fine",
    "you are a fool": "rude",
    "shut up you fool and go": "rude",
}


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_classifier(tmp_path_factory.mktemp("classifier"), EXAMPLES)


def test_scores_are_probabilities_of_the_label_in_the_texts_order(classifier: Path) -> None:
    done: list[int] = []
    rude = load_label_scorer(classifier, "rude", "key")
    scores, clipped = rude.score(list(EXAMPLES), 3, done.append)
    assert [score > 0.5 for score in scores] == [label == "rude" for label in EXAMPLES.values()]
    assert (sum(done), clipped) == (4, 0)
    alone, _ = rude.score(list(EXAMPLES), 1, done.append)
    assert alone == pytest.approx(scores, abs=1e-5)
    other, _ = load_label_scorer(classifier, "fine", "key").score(list(EXAMPLES), 4, done.append)
    assert [one + another for one, another in zip(scores, other, strict=True)] == pytest.approx([1.0] * 4, abs=1e-5)


def test_labels_that_may_hold_together_have_scores_of_their_own(classifier: Path, tmp_path: Path) -> None:
    for file in classifier.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "problem_type": "multi_label_classification"}))
    sums = [
        sum(
            load_label_scorer(tmp_path, label, "key").score([text], 1, lambda _: None)[0][0]
            for label in ("fine", "rude")
        )
        for text in EXAMPLES
    ]
    assert all(abs(total - 1.0) > 1e-3 for total in sums)


def test_a_text_that_is_too_long_is_counted(classifier: Path) -> None:
    scores, clipped = load_label_scorer(classifier, "rude", "key").score(["fool " * 600, "a"], 2, lambda _: None)
    assert clipped == 1 and len(scores) == 2


def test_what_is_no_classifier_is_refused(classifier: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no label 'toxic'.*it has fine, rude"):
        load_label_scorer(classifier, "toxic", "evaluate.bias.toxicity.classifier")
    with pytest.raises(ModelError, match=r"no config\.json"):
        load_label_scorer(tmp_path, "rude", "key")
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((classifier / name).read_bytes())
    (tmp_path / "pytorch_model.bin").write_bytes(b"a pickle")
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_label_scorer(tmp_path, "rude", "key")


def test_a_classifier_without_all_of_its_weights_is_refused(classifier: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    for file in classifier.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    weights = load_file(tmp_path / "model.safetensors")
    del weights["score.weight"]
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"lacks weights, first score\.weight"):
        load_label_scorer(tmp_path, "rude", "key")
