"""What is known about the base before anything is loaded: its architecture, and how it counts tokens."""

from __future__ import annotations

from collections.abc import Callable, Sized
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

from pipeline.core.errors import EnvironmentMissing, ModelError
from pipeline.core.references import is_unresolved
from pipeline.plan.architecture import Architecture, from_config
from pipeline.plan.backends import complete_config, load_config, load_tokenizer
from pipeline.plan.known_models import DATED, find_known, require_known
from schemas.base import Reference
from schemas.base_model import BaseModelRef, ModelInit

if TYPE_CHECKING:
    from pipeline.render import Tokenizer

_COUNTED = 200_000
"""Characters of a text that are tokenized, the rest in proportion: one word of megabytes takes a tokenizer minutes."""

_ESTIMATED = "tokens are estimated from characters"


@dataclass(frozen=True)
class Base:
    """The base: ``count`` returns the tokens of a text, None where its tokenizer is not there yet."""

    architecture: Architecture
    count: Callable[[str], int] | None
    notes: tuple[str, ...] = ()


def describe(base: BaseModelRef, token: str | None = None) -> Base:
    """Return what is known about a base; ``token`` opens gated repositories of the Hub.

    A Hub id that this machine cannot reach is looked up in the table of known models, and that is noted.

    Raises:
        ModelError: a folder is not a model, or an unreachable base is not in the table.
    """
    if base.init is not None:
        return _from_init(base.init)
    assert base.weights is not None
    if not Path(base.weights.location).is_dir():
        return _from_hub(base, base.weights, token)
    architecture = from_config(load_config(base.weights, base.trust_remote_code), base.weights.location)
    try:
        return Base(architecture, _counter(load_tokenizer(base.weights, base.trust_remote_code)))
    except EnvironmentMissing as error:
        return Base(architecture, None, (f"{error.message}; {_ESTIMATED}",))


def _from_init(init: ModelInit) -> Base:
    architecture = from_config(complete_config(init), "base_model.init.config")
    tokenizer = None
    if init.tokenizer_from is not None:
        tokenizer = load_tokenizer(init.tokenizer_from, False)
    if "vocab_size" not in init.config:
        # As the train stage does: the embedding has one row for each token.
        size = init.tokenizer.vocab_size if init.tokenizer is not None else _vocabulary(tokenizer)
        architecture = replace(architecture, vocabulary=size)
    return Base(architecture, _counter(tokenizer) if tokenizer is not None else None)


def _from_hub(base: BaseModelRef, weights: Reference, token: str | None) -> Base:
    if is_unresolved(weights):
        name, architecture = require_known(base.name, "base_model")
        commit = (
            f"the Hub cannot be reached: the commit of {base.name} is not resolved, the run does that when it starts"
        )
        return Base(architecture, None, (f"{commit}; the sizes of {name} are those of {DATED}; {_ESTIMATED}",))
    notes = []
    try:
        architecture = from_config(load_config(weights, base.trust_remote_code, token), weights.location)
    except ModelError as error:
        known = find_known(base.name)
        if known is None:
            raise
        name, architecture = known
        notes.append(f"{error.message}; the sizes of {name} are those of {DATED}")
    try:
        return Base(architecture, _counter(load_tokenizer(weights, base.trust_remote_code)), tuple(notes))
    except (ModelError, EnvironmentMissing) as error:
        notes.append(f"{error.message}; {_ESTIMATED}")
    return Base(architecture, None, tuple(notes))


def _counter(tokenizer: Tokenizer) -> Callable[[str], int]:
    def count(text: str) -> int:
        head = len(tokenizer(text[:_COUNTED], add_special_tokens=False)["input_ids"])
        return head if len(text) <= _COUNTED else head * len(text) // _COUNTED

    return count


def _vocabulary(tokenizer: object) -> int:
    return len(cast("Sized", tokenizer))
