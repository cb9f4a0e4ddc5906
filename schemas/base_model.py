"""What a run starts from: weights, or an architecture that begins without them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, JsonValue, model_validator

from schemas.base import NotFingerprinted, Reference, Schema


class TokenizerSpec(Schema):
    """A byte-level BPE tokenizer trained on the training split."""

    vocab_size: Annotated[int, Field(ge=300)] = 2048


class ModelInit(Schema):
    """A base without weights: ``config`` goes to transformers' ``AutoConfig.for_model(model_type, ...)``.

    ``chat_template`` is a Jinja template with ``{% generation %}`` markers; null takes hone's ChatML.
    """

    model_type: Literal["llama", "qwen3", "qwen2", "mistral"] = "llama"
    config: dict[str, JsonValue] = {}
    tokenizer: TokenizerSpec | None = None
    tokenizer_from: Reference | None = None
    chat_template: str | None = None

    @model_validator(mode="after")
    def _one_tokenizer(self) -> ModelInit:
        if (self.tokenizer is None) == (self.tokenizer_from is None):
            raise ValueError("give exactly one of tokenizer (train one) and tokenizer_from (take one)")
        return self


class BaseModelRef(Schema):
    """The base a run starts from, resolved: weights by `Reference`, or an architecture to initialize.

    ``name`` is for people; it changes nothing that is made of the base.
    """

    name: Annotated[str, NotFingerprinted()]
    weights: Reference | None = None
    init: ModelInit | None = None
    trust_remote_code: bool = False

    @model_validator(mode="after")
    def _one_source(self) -> BaseModelRef:
        if (self.weights is None) == (self.init is None):
            raise ValueError("a base has either weights or init")
        return self
