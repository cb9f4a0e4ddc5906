"""Tokenizers by transformers and tokenizers: loaded from a folder or the Hub, or trained on texts."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.core.errors import ModelError
from pipeline.render import CHATML, Tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

PAD = "<|endoftext|>"
START = "<|im_start|>"
END = "<|im_end|>"

_OF_LOADING = ("is_local", "local_files_only")
"""What transformers keeps of the place a tokenizer was loaded from; with it, a saved model's bytes would tell it."""


def load_tokenizer(
    source: str,
    *,
    revision: str | None = None,
    chat_template: str | None = None,
    trust_remote_code: bool = False,
) -> Tokenizer:
    """Load the tokenizer of a model folder or Hub id; ``chat_template`` replaces its own.

    A tokenizer without a padding token pads with its end token, or an unknown token where it has no end.

    Raises:
        ModelError: there is none, or it cannot be read.
    """
    from transformers import AutoTokenizer
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    if _looks_like_path(source) and not Path(source).is_dir():
        raise ModelError("the folder does not exist", where=source, fix="correct base_model, or make the model first")
    try:
        tokenizer = AutoTokenizer.from_pretrained(source, revision=revision, trust_remote_code=trust_remote_code)
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(
            f"no tokenizer can be loaded: {_first_line(error)}",
            where=source,
            fix="name a folder that holds tokenizer.json, or a Hub id that this machine can reach",
        ) from error
    for name in _OF_LOADING:
        tokenizer.init_kwargs.pop(name, None)
    if chat_template is not None:
        tokenizer.chat_template = chat_template
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
    loaded: Tokenizer = tokenizer
    return loaded


def train_bpe_tokenizer(texts: Iterable[str], *, vocab_size: int, chat_template: str | None) -> Tokenizer:
    """Train a byte-level BPE tokenizer (no unknown token, no BOS) with ChatML's special tokens.

    ``<|im_end|>`` is the end token, ``<|endoftext|>`` pads. Any text survives encoding and decoding unchanged.
    ``chat_template`` null takes hone's ChatML.
    """
    from tokenizers import Tokenizer as Core
    from tokenizers import decoders, models, pre_tokenizers, trainers

    core = Core(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[PAD, START, END],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    core.train_from_iterator(texts, trainer=trainer)
    tokenizer = _fast(core)
    tokenizer.chat_template = chat_template or CHATML
    trained: Tokenizer = tokenizer
    return trained


def _fast(core: object) -> PreTrainedTokenizerFast:
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        eos_token=END,
        pad_token=PAD,
        additional_special_tokens=[START],
        clean_up_tokenization_spaces=False,
    )


def _looks_like_path(source: str) -> bool:
    return source.startswith(("/", "./", "../", "~")) or source.count("/") > 1


def _first_line(error: BaseException) -> str:
    text = str(error.args[0] if error.args else error)
    return text.strip().splitlines()[0] if text.strip() else type(error).__name__
