"""A tiny random Llama with a BPE tokenizer and hone's ChatML, made in a second: the base of everybody's tests."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

from pipeline.backends.tokenizer_transformers import load_tokenizer, train_bpe_tokenizer
from pipeline.render import Tokenizer

TEXTS = (
    "The refund for my order has not arrived yet, please help me find it.",
    "I cannot log in to my account since the last update of the app.",
    '{"intent": "refund", "product": "order", "urgency": "high"}',
    '{"intent": "login", "product": "app", "urgency": "low"}',
    "system user assistant tool You are a helpful assistant that answers in JSON.",
    "one two three four five six seven eight nine ten is are the a an of to in and",
)


@lru_cache(maxsize=4)
def tiny_tokenizer(vocab_size: int = 384) -> Tokenizer:
    """Return a byte-level BPE tokenizer with hone's ChatML. Shared: do not change it."""
    return train_bpe_tokenizer(TEXTS, vocab_size=vocab_size, chat_template=None)


def tiny_config(vocab_size: int, **changes: Any) -> Any:
    """Return the config of a Llama: 2 layers, 64 wide, head_dim 32 (vLLM's CPU attention serves it), tied."""
    from transformers import LlamaConfig

    settings = {
        "vocab_size": vocab_size,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "max_position_embeddings": 512,
        "tie_word_embeddings": True,
        **changes,
    }
    return LlamaConfig(**settings)


def write_tiny_base(directory: Path, *, seed: int = 0, **config: Any) -> Path:
    """Write the model and its tokenizer (safetensors, chat template) into ``directory`` and return it.

    ``config`` changes keys of the Llama config. Weights are random, a function of ``seed`` alone.
    """
    import torch
    from transformers import LlamaForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()
    tokenizer = tiny_tokenizer()
    settings = tiny_config(
        len(tokenizer), eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id, **config
    )
    settings.bos_token_id = None
    torch.manual_seed(seed)
    model = LlamaForCausalLM(settings)
    model.generation_config.bos_token_id = None
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return directory


def tiny_base_tokenizer(directory: Path) -> Tokenizer:
    """Load the tokenizer of a base that `write_tiny_base` wrote."""
    return load_tokenizer(str(directory))
