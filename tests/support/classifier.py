"""A tiny text classifier, trained by the test that asks for it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tests.support.tiny_model import tiny_config, tiny_tokenizer


def train_classifier(directory: Path, examples: Mapping[str, str], steps: int = 40) -> Path:
    """Train a small Llama to give each text of ``examples`` its label, and write it with its tokenizer."""
    import torch
    from transformers import LlamaForSequenceClassification
    from transformers.utils import logging

    logging.disable_progress_bar()
    tokenizer = tiny_tokenizer()
    names = sorted(set(examples.values()))
    places = {name: place for place, name in enumerate(names)}
    settings = tiny_config(
        len(tokenizer), pad_token_id=tokenizer.pad_token_id, eos_token_id=tokenizer.eos_token_id, num_hidden_layers=1,
        id2label=dict(enumerate(names)), label2id=places,
    )  # fmt: skip
    settings.bos_token_id = None
    torch.manual_seed(0)
    model = LlamaForSequenceClassification(settings)
    batch = tokenizer(list(examples), padding=True, return_tensors="pt")  # type: ignore[operator]
    labels = torch.tensor([names.index(label) for label in examples.values()])
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(steps):
        loss = torch.nn.functional.cross_entropy(model(**batch).logits, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return directory
