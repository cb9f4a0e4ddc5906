"""Which tokenizer a training uses: the base's, another model's, or one trained on the training split."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pipeline.core.errors import ConfigError
from pipeline.core.models import model_files
from pipeline.render import Tokenizer
from pipeline.train import backends
from schemas.base_model import BaseModelRef
from schemas.data import Example, ExampleKind, Message
from schemas.train import TrainConfig


def choose_tokenizer(config: TrainConfig, examples: Iterable[Example], kind: ExampleKind) -> Tokenizer:
    """Return the tokenizer, with the config's chat template where it gives one.

    Raises:
        ModelError: it cannot be loaded.
        ConfigError: rows are conversations and there is no chat template.
    """
    tokenizer = _tokenizer(config, examples)
    if kind != "text" and tokenizer.chat_template is None:
        raise ConfigError(
            f"the base model {config.base.name} has no chat template, and the rows are conversations",
            where="train.chat_template",
            fix="set train.chat_template to the template of the model's family, or to hone's ChatML if it has none",
        )
    return tokenizer


def _tokenizer(config: TrainConfig, examples: Iterable[Example]) -> Tokenizer:
    init = config.base.init
    if init is None:
        return _load(config.base, config.chat_template)
    template = config.chat_template or init.chat_template
    if init.tokenizer_from is not None:
        return _load(BaseModelRef(name=init.tokenizer_from.location, weights=init.tokenizer_from), template)
    assert init.tokenizer is not None
    return backends.train_tokenizer(_texts(examples), vocab_size=init.tokenizer.vocab_size, chat_template=template)


def _load(source: BaseModelRef, chat_template: str | None) -> Tokenizer:
    files = model_files(source)
    return backends.load_tokenizer(
        files.tokenizer,
        revision=files.revision,
        chat_template=chat_template,
        trust_remote_code=files.trust_remote_code,
    )


def _texts(examples: Iterable[Example]) -> Iterator[str]:
    for example in examples:
        if example.text is not None:
            yield example.text
        turns: tuple[Message, ...] = (*example.messages, *example.chosen, *example.rejected)
        for turn in turns:
            if turn.content:
                yield turn.content
