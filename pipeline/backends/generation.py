"""What generation is: prompts of token ids in, completions out. Engines differ, this does not."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from pipeline.core.context import CallContext
from pipeline.core.errors import DataError
from pipeline.render import Tokenizer
from schemas.data import Message
from schemas.evaluate import GenerationConfig

FinishReason = Literal["stop", "length"]
Advance = Callable[[int], None]
"""Is told how many prompts were finished; raises where the call must stop."""


@dataclass(frozen=True)
class Completion:
    """One answer.

    ``text`` has no special tokens. ``token_ids`` are all new tokens, the one that stopped included; empty where an
    endpoint does not tell them. ``finish_reason`` ``length``: cut at the allowed number of new tokens.
    """

    text: str
    token_ids: list[int]
    finish_reason: FinishReason
    prompt_tokens: int
    completion_tokens: int


@dataclass(frozen=True)
class Likelihood:
    """How likely a model finds a given continuation.

    ``log_probability`` is in nats, the sum over its ``tokens``; 0 for a continuation without any.
    """

    log_probability: float
    tokens: int


@dataclass(frozen=True)
class Question:
    """One conversation to continue, with the tools that the model may call."""

    messages: tuple[Message, ...]
    tools: tuple[Mapping[str, Any], ...] | None = None


class Generator(Protocol):
    """A loaded model that answers."""

    def generate(
        self,
        prompts: Sequence[list[int]],
        config: GenerationConfig,
        context: CallContext,
        advance: Advance | None = None,
    ) -> list[Completion]:
        """Return one completion per prompt, in the prompts' order.

        Args:
            prompts: token ids, generation prompt included; none empty.
            config: greedy where ``temperature`` is 0; ``batch_size`` prompts at most are in memory at once.
            context: asked for cancellation, told of recoveries.
            advance: replaces the progress bar.

        Raises:
            DataError: a prompt is empty, or leaves no room for an answer in the model's context.
            OutOfMemory: a single prompt does not fit into memory.
        """
        ...

    def score(
        self,
        prompts: Sequence[Sequence[int]],
        continuations: Sequence[Sequence[int]],
        *,
        batch_size: int,
        context: CallContext,
        advance: Advance | None = None,
    ) -> list[Likelihood]:
        """Return how likely the model finds each continuation after its prompt, at temperature 1.

        Args:
            prompts: token ids; none empty, because a first token follows from nothing (begin with BOS).
            continuations: token ids, one list per prompt.
            batch_size: sequences in memory at once.
            context: asked for cancellation, told of recoveries.
            advance: replaces the progress bar.

        Raises:
            DataError: a prompt is empty, or a prompt and its continuation exceed the model's context.
            OutOfMemory: a single sequence does not fit into memory.
        """
        ...


def completion_of(
    prompt_tokens: int, token_ids: Sequence[int], stop_ids: Collection[int], tokenizer: Tokenizer
) -> Completion:
    """Return the completion that newly generated ``token_ids`` are."""
    stopped = bool(token_ids) and token_ids[-1] in stop_ids
    body = token_ids[:-1] if stopped else token_ids
    text = tokenizer.decode(list(body), skip_special_tokens=True, clean_up_tokenization_spaces=False)
    return Completion(
        text=text,
        token_ids=list(token_ids),
        finish_reason="stop" if stopped else "length",
        prompt_tokens=prompt_tokens,
        completion_tokens=len(token_ids),
    )


def answer_limits(prompts: Sequence[Sequence[int]], max_new_tokens: int, context_length: int | None) -> list[int]:
    """Return how many tokens each prompt's answer may have: the model's context is never exceeded.

    Raises:
        DataError: a prompt is empty or fills the context.
    """
    empty = [number for number, prompt in enumerate(prompts, start=1) if not prompt]
    if empty:
        raise DataError(
            "a prompt has no tokens", where=f"prompt {_listed(empty)}", fix="ask something, or start with BOS"
        )
    if context_length is None:
        return [max_new_tokens] * len(prompts)
    full = [number for number, prompt in enumerate(prompts, start=1) if len(prompt) >= context_length]
    if full:
        raise DataError(
            f"the model's context of {context_length} tokens leaves no room for an answer",
            where=f"prompt {_listed(full)}",
            fix="shorten the prompts, or take a base model with a longer context",
        )
    return [min(max_new_tokens, context_length - len(prompt)) for prompt in prompts]


def check_continuations(
    prompts: Sequence[Sequence[int]], continuations: Sequence[Sequence[int]], context_length: int | None
) -> None:
    """Refuse what cannot be scored.

    Raises:
        DataError: a prompt is empty, or a prompt and its continuation exceed the context.
    """
    empty = [number for number, prompt in enumerate(prompts, start=1) if not prompt]
    if empty:
        raise DataError("a prompt has no tokens", where=f"prompt {_listed(empty)}", fix="begin with BOS")
    sizes = [len(prompt) + len(more) for prompt, more in zip(prompts, continuations, strict=True)]
    long = [
        number for number, size in enumerate(sizes, start=1) if context_length is not None and size > context_length
    ]
    if long:
        raise DataError(
            f"a prompt and what follows it exceed the model's context of {context_length} tokens",
            where=f"prompt {_listed(long)}",
            fix="shorten these rows, or take a base model with a longer context",
        )


def _listed(numbers: Sequence[int], most: int = 10) -> str:
    shown = ", ".join(str(number) for number in numbers[:most])
    return f"{shown} and {len(numbers) - most} more" if len(numbers) > most else shown
