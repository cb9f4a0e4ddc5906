"""Generation by a transformers model: batches of similar length, a key-value cache, finished rows leave.

The loop is our own and not ``model.generate``: rows that have finished leave the batch, so that one long answer
does not cost as much as a batch of them, and a sampled answer depends on its own row only.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from transformers import DynamicCache
from transformers.cache_utils import LinearAttentionCacheLayerMixin

from pipeline.backends.generation import Advance, Completion, answer_limits, completion_of
from pipeline.backends.memory_torch import is_out_of_memory, release_memory
from pipeline.backends.model_transformers import load_causal_lm
from pipeline.core.context import CallContext
from pipeline.core.errors import ModelError, OutOfMemory
from pipeline.core.models import ModelFiles
from pipeline.render import Tokenizer
from schemas.evaluate import GenerationConfig

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel

_SHRINK_BELOW = 0.75
"""Share of unfinished rows from which the finished ones are cut out of the cache: doing so copies it."""


@dataclass(frozen=True)
class Sampling:
    """How tokens are chosen. ``uniforms`` (rows, new tokens) in [0, 1), or None for greedy."""

    temperature: float
    top_p: float
    uniforms: Tensor | None


class TransformersGenerator:
    """A `Generator` over a causal model whose forward pass takes ``past_key_values``.

    Args:
        model: as ``load_causal_lm`` returns it.
        tokenizer: decodes the answers.
        stop_ids: tokens that end an answer.
        context_length: in tokens, None where there is no end.

    Raises:
        ModelError: the architecture keeps its state in another form.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: Tokenizer,
        *,
        stop_ids: Collection[int],
        context_length: int | None,
    ) -> None:
        parameters = inspect.signature(model.forward).parameters
        if "past_key_values" not in parameters:
            raise ModelError(
                f"{type(model).__name__} has no key-value cache, which batched generation needs",
                where="evaluate.generation.backend",
                fix="set evaluate.generation.backend to vllm",
            )
        self._model = model
        self._tokenizer = tokenizer
        self._stop_ids = frozenset(stop_ids)
        self._context_length = context_length
        self._takes_positions = "position_ids" in parameters
        self._takes_keep = "logits_to_keep" in parameters

    def generate(
        self,
        prompts: Sequence[list[int]],
        config: GenerationConfig,
        context: CallContext,
        advance: Advance | None = None,
    ) -> list[Completion]:
        """Return one completion per prompt; see `Generator`.

        Greedy answers do not depend on the other prompts, up to ties within rounding; sampled ones are a function
        of the seed, the prompt's place and its content. Of the model's generation config only the end tokens count
        here: its penalties and sampling are not applied.
        """
        if advance is None:
            with context.progress("generate", len(prompts)) as shown:
                return self.generate(prompts, config, context, shown)
        limits = answer_limits(prompts, config.max_new_tokens, self._context_length)
        uniforms = _uniforms(config, len(prompts))
        # Longest first: what memory must hold shows at once.
        order = sorted(range(len(prompts)), key=lambda row: (-len(prompts[row]), row))
        completions: dict[int, Completion] = {}

        def decode(rows: Sequence[int]) -> None:
            sampling = Sampling(config.temperature, config.top_p, None if uniforms is None else uniforms[list(rows)])
            chosen = [prompts[row] for row in rows], [limits[row] for row in rows]
            with torch.inference_mode():
                answers = self._decode(*chosen, sampling, context.check)
            for row, answer in zip(rows, answers, strict=True):
                completions[row] = completion_of(len(prompts[row]), answer, self._stop_ids, self._tokenizer)
            advance(len(rows))

        run_batches(decode, order, config.batch_size, context)
        return [completions[row] for row in range(len(prompts))]

    def _decode(
        self,
        prompts: Sequence[Sequence[int]],
        limits: Sequence[int],
        sampling: Sampling,
        check: Callable[[], None],
    ) -> list[list[int]]:
        """Return the new tokens of each prompt of one batch.

        ``tokens`` (lines, 1 after the first step) and ``mask`` (lines, all tokens so far) shrink with the batch:
        ``rows[i]`` is the prompt in line i.
        """
        tokens, mask = self._pad(prompts)
        positions = (mask.cumsum(1) - 1).clamp(min=0)
        cache = DynamicCache(config=self._model.config.get_text_config(decoder=True))
        rows = list(range(len(prompts)))
        answers: list[list[int]] = [[] for _ in prompts]
        finished = [False] * len(prompts)
        for step in range(max(limits)):
            check()
            chosen = _choose(self._forward(tokens, mask, positions, cache), sampling, rows, step)
            for row, token in zip(rows, chosen.tolist(), strict=True):
                if not finished[row]:
                    answers[row].append(token)
                    finished[row] = token in self._stop_ids or len(answers[row]) == limits[row]
            going = [line for line, row in enumerate(rows) if not finished[row]]
            if not going:
                break
            if len(going) <= _SHRINK_BELOW * len(rows) and _can_shrink(cache):
                kept = torch.tensor(going, device=mask.device)
                cache.batch_select_indices(kept)
                chosen, mask, positions = chosen[kept], mask[kept], positions[kept]
                rows = [rows[line] for line in going]
            tokens = chosen[:, None]
            mask = torch.cat([mask, mask.new_ones(len(mask), 1)], dim=1)
            positions = positions[:, -1:] + 1
        return answers

    def _forward(self, tokens: Tensor, mask: Tensor, positions: Tensor, cache: DynamicCache) -> Tensor:
        """Return the logits (rows, vocabulary) of the token after the last."""
        inputs: dict[str, Any] = {"input_ids": tokens, "attention_mask": mask, "past_key_values": cache}
        if self._takes_positions:
            inputs["position_ids"] = positions
        if self._takes_keep:
            inputs["logits_to_keep"] = 1
        logits: Tensor = self._model(**inputs, use_cache=True).logits[:, -1]
        return logits

    def _pad(self, prompts: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
        """Return token ids and attention mask, both (rows, longest), padded on the left."""
        longest = max(len(prompt) for prompt in prompts)
        padding = self._tokenizer.pad_token_id or 0
        tokens = [[padding] * (longest - len(prompt)) + list(prompt) for prompt in prompts]
        mask = [[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts]
        device = self._model.get_input_embeddings().weight.device
        return torch.tensor(tokens, device=device), torch.tensor(mask, device=device)


def load_generator(
    files: ModelFiles,
    tokenizer: Tokenizer,
    *,
    stop_ids: Collection[int],
    context_length: int | None,
    dtype: str,
) -> TransformersGenerator:
    """Load a model and make it answer.

    Raises:
        ModelError: see `load_causal_lm` and `TransformersGenerator`.
    """
    model = load_causal_lm(files, dtype=dtype)
    return TransformersGenerator(model, tokenizer, stop_ids=stop_ids, context_length=context_length)


def run_batches(
    work: Callable[[Sequence[int]], None], order: Sequence[int], batch_size: int, context: CallContext
) -> None:
    """Call ``work`` with at most ``batch_size`` of ``order`` at a time; where memory is used up, with half as many.

    Raises:
        OutOfMemory: one alone does not fit.
    """
    first, size = 0, batch_size
    while first < len(order):
        batch = order[first : first + size]
        exhausted = False
        try:
            work(batch)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            exhausted = True  # and leave the handler: the error's frames hold what must be freed
        if not exhausted:
            first += len(batch)
            continue
        release_memory()
        if len(batch) == 1:
            raise OutOfMemory(
                "a single prompt does not fit into memory",
                where="evaluate.generation",
                fix="lower max_new_tokens, set generation.dtype to bfloat16, or use a machine with more memory",
            )
        size = len(batch) // 2
        context.emit("recovery", f"out of memory: going on with batches of {size}", batch_size=size)


def _uniforms(config: GenerationConfig, prompts: int) -> Tensor | None:
    """Return the random numbers (prompts, new tokens) of a sampled generation; None for greedy."""
    if config.temperature == 0.0:
        return None
    generator = torch.Generator().manual_seed(config.seed)
    return torch.rand((prompts, config.max_new_tokens), generator=generator, dtype=torch.float64)


def _choose(logits: Tensor, sampling: Sampling, rows: Sequence[int], step: int) -> Tensor:
    """Return the next token (rows,) for logits (rows, vocabulary).

    Nucleus sampling (Holtzman et al., The Curious Case of Neural Text Degeneration, ICLR 2020, section 3.1) by
    inversion: the token at which the cumulated probability passes the row's random number.
    """
    if sampling.uniforms is None:
        return logits.argmax(dim=-1)
    scaled = torch.softmax(logits.double() / sampling.temperature, dim=-1)
    probabilities, tokens = scaled.sort(dim=-1, descending=True, stable=True)
    cumulated = probabilities.cumsum(dim=-1)
    # The smallest set whose probability reaches top_p: a token is in it if those before it do not reach it.
    kept = (cumulated - probabilities < sampling.top_p).sum(dim=-1, keepdim=True)
    total = cumulated.gather(1, kept - 1)
    threshold = sampling.uniforms[list(rows), step].to(logits.device)[:, None] * total
    place = (cumulated <= threshold).sum(dim=-1, keepdim=True)
    return tokens.gather(1, torch.minimum(place, kept - 1))[:, 0]


def _can_shrink(cache: DynamicCache) -> bool:
    """Tell whether rows can be cut out: layers of linear attention keep a state that the cache cannot select from."""
    return all(
        hasattr(layer, "batch_select_indices") and not isinstance(layer, LinearAttentionCacheLayerMixin)
        for layer in cache.layers
    )
