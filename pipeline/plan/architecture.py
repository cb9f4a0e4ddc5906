"""A decoder's architecture and the exact number of its parameters, from its config alone: no weights, no framework."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.core.errors import ModelError

EXACT_TYPES = frozenset({"llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3_text", "mixtral", "gpt_oss"})
"""Model types whose count is exact; another decoder is counted as if it were a Llama."""

_GEMMA_NORMS = frozenset({"gemma2", "gemma3_text"})
_HEAD_NORMS = frozenset({"qwen3", "gemma3_text"})


@dataclass(frozen=True)
class Linear:
    """One linear layer: its full name in the model, inputs, outputs, and whether it has a bias."""

    name: str
    inputs: int
    outputs: int
    bias: bool = False

    @property
    def parameters(self) -> int:
        """Weights and biases."""
        return self.inputs * self.outputs + (self.outputs if self.bias else 0)


@dataclass(frozen=True)
class Architecture:
    """A decoder-only transformer with grouped-query attention and a gated feed-forward layer.

    Attributes:
        model_type: transformers' name of the family.
        layers, hidden, heads, kv_heads, head_dim, intermediate, vocabulary: sizes; ``intermediate`` is one expert's.
        tied: the output layer is the input embedding.
        context: longest sequence in tokens.
        experts, experts_per_token: of each layer; 1 and 1 where it is dense.
        attention_bias: on query, key and value; ``output_bias`` on the attention's output; ``mlp_bias`` on the rest.
    """

    model_type: str
    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate: int
    vocabulary: int
    tied: bool
    context: int
    experts: int = 1
    experts_per_token: int = 1
    attention_bias: bool = False
    output_bias: bool = False
    mlp_bias: bool = False

    @property
    def exact(self) -> bool:
        """Whether `parameters` is exact for this family."""
        return self.model_type in EXACT_TYPES

    @property
    def has_head_norms(self) -> bool:
        """Whether queries and keys are normalized per head."""
        return self.model_type in _HEAD_NORMS

    @property
    def is_moe(self) -> bool:
        """Whether a router picks experts for each token."""
        return self.experts > 1

    def linears(self) -> Iterator[Linear]:
        """Yield the linear layers that adapters can sit on; in transformers 5 the experts of a mixture are none."""
        queries, keys = self.heads * self.head_dim, self.kv_heads * self.head_dim
        for number in range(self.layers):
            layer = f"model.layers.{number}"
            yield Linear(f"{layer}.self_attn.q_proj", self.hidden, queries, self.attention_bias)
            yield Linear(f"{layer}.self_attn.k_proj", self.hidden, keys, self.attention_bias)
            yield Linear(f"{layer}.self_attn.v_proj", self.hidden, keys, self.attention_bias)
            yield Linear(f"{layer}.self_attn.o_proj", queries, self.hidden, self.output_bias)
            if not self.is_moe:
                yield Linear(f"{layer}.mlp.gate_proj", self.hidden, self.intermediate, self.mlp_bias)
                yield Linear(f"{layer}.mlp.up_proj", self.hidden, self.intermediate, self.mlp_bias)
                yield Linear(f"{layer}.mlp.down_proj", self.intermediate, self.hidden, self.mlp_bias)

    def norms(self) -> Iterator[tuple[str, int]]:
        """Yield the full name and the size of every norm."""
        around = ["input_layernorm", "post_attention_layernorm"]
        if self.model_type in _GEMMA_NORMS:
            around += ["pre_feedforward_layernorm", "post_feedforward_layernorm"]
        for number in range(self.layers):
            layer = f"model.layers.{number}"
            yield from ((f"{layer}.{name}", self.hidden) for name in around)
            if self.has_head_norms:
                yield from ((f"{layer}.self_attn.{name}", self.head_dim) for name in ("q_norm", "k_norm"))
        yield "model.norm", self.hidden

    @property
    def linear_parameters(self) -> int:
        """Parameters of `linears`."""
        return sum(linear.parameters for linear in self.linears())

    @property
    def embedding_parameters(self) -> int:
        """Parameters of the input embedding."""
        return self.vocabulary * self.hidden

    @property
    def parameters(self) -> int:
        """All parameters; a tied output layer counts once."""
        return self._total(self.experts)

    @property
    def active_parameters(self) -> int:
        """Parameters that multiply for one token: every layer with the experts it uses, and the output layer.

        The look-up in an input embedding is no multiplication, so an untied one is left out.
        """
        total = self._total(self.experts_per_token)
        return total if self.tied else total - self.embedding_parameters

    def _total(self, experts: int) -> int:
        embeddings = self.embedding_parameters * (1 if self.tied else 2)
        return embeddings + self.linear_parameters + self.layers * self._per_layer_rest(experts) + self.hidden

    def _per_layer_rest(self, experts: int) -> int:
        """Return a layer's parameters outside its linear layers: norms, attention sinks, router and experts."""
        norms = 4 if self.model_type in _GEMMA_NORMS else 2
        rest = norms * self.hidden
        if self.has_head_norms:
            rest += 2 * self.head_dim
        if self.model_type == "gpt_oss":
            rest += self.heads
        if self.is_moe:
            biased = self.model_type == "gpt_oss"
            rest += self.experts * (self.hidden + (1 if biased else 0))
            expert = 3 * self.hidden * self.intermediate
            expert += 2 * self.intermediate + self.hidden if biased else 0
            rest += experts * expert
        return rest


def from_config(config: Mapping[str, Any], where: str) -> Architecture:
    """Return the architecture that a complete model config (transformers' names) describes.

    Raises:
        ModelError: a size is missing or not a positive whole number.
    """
    text = config.get("text_config") or config
    model_type = str(text.get("model_type") or config.get("model_type") or "")
    hidden, heads = _size(text, "hidden_size", where), _size(text, "num_attention_heads", where)
    if text.get("head_dim") is None and hidden % heads:
        raise ModelError(
            f"hidden_size {hidden} is not a multiple of num_attention_heads {heads}",
            where=where,
            fix="correct one of them, or give head_dim",
        )
    biased = bool(text.get("attention_bias", False))
    experts = text.get("num_local_experts") or text.get("num_experts")
    return Architecture(
        model_type=model_type,
        layers=_size(text, "num_hidden_layers", where),
        hidden=hidden,
        heads=heads,
        kv_heads=_size(text, "num_key_value_heads", where, default=heads),
        head_dim=_size(text, "head_dim", where, default=hidden // heads),
        intermediate=_size(text, "intermediate_size", where),
        vocabulary=_size(text, "vocab_size", where),
        tied=bool(config.get("tie_word_embeddings", text.get("tie_word_embeddings", False))),
        context=_size(text, "max_position_embeddings", where, default=2048),
        experts=int(experts) if experts else 1,
        experts_per_token=int(text.get("num_experts_per_tok") or 1) if experts else 1,
        attention_bias=biased or model_type == "qwen2",
        output_bias=biased and model_type not in ("qwen2",),
        mlp_bias=bool(text.get("mlp_bias", False)),
    )


def _size(config: Mapping[str, Any], key: str, where: str, default: int | None = None) -> int:
    value = config.get(key)
    if value is None and default is not None:
        return default
    if not isinstance(value, int) or isinstance(value, bool) or value <= 0:
        raise ModelError(
            f"config.json has {key}: {value!r}" if value is not None else f"config.json has no {key}",
            where=where,
            fix="name a decoder-only model whose config gives its sizes",
        )
    return value
