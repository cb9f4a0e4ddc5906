"""Generation by a transformers model: batches of similar length, a shared beginning computed once, finished rows leave.

The loop is our own and not ``model.generate``: rows that have finished leave the batch, so that one long answer
does not cost as much as a batch of them; what all prompts begin with is computed once, so that few-shot prompts cost
little more than plain ones; and a sampled answer depends on its own row only.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any

import torch
from transformers import DynamicCache
from transformers.cache_utils import LinearAttentionCacheLayerMixin

from pipeline.backends.generation import Advance, Completion, Likelihood, answer_limits, completion_of
from pipeline.backends.memory_torch import run_batches
from pipeline.backends.model_transformers import load_causal_lm
from pipeline.backends.prefix_transformers import WORTH_SHARING, Prefix, can_share, common_length, empty_cache
from pipeline.backends.sampling_torch import Sampling
from pipeline.backends.score_transformers import score_continuations
from pipeline.core.context import CallContext
from pipeline.core.errors import ModelError
from pipeline.core.models import ModelFiles
from pipeline.render import Tokenizer
from schemas.evaluate import GenerationConfig

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel

_SHRINK_BELOW = 0.75
"""Share of unfinished rows from which the finished ones are cut out of the cache: doing so copies it."""


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
        self._shares = self._takes_positions and can_share(model)

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
        sampling = Sampling.of(config, len(prompts))
        # Longest first: what memory must hold shows at once.
        order = sorted(range(len(prompts)), key=lambda row: (-len(prompts[row]), row))
        completions: dict[int, Completion] = {}
        prefix: Prefix | None = None

        def work(rows: Sequence[int]) -> None:
            nonlocal prefix
            with torch.inference_mode():
                prefix = prefix or self._read_prefix(prompts)
                chosen = [prompts[row] for row in rows], [limits[row] for row in rows]
                answers = self._decode(*chosen, prefix, sampling.part(rows), context.check)
            for row, answer in zip(rows, answers, strict=True):
                completions[row] = completion_of(len(prompts[row]), answer, self._stop_ids, self._tokenizer)
            advance(len(rows))

        run_batches(work, order, config.batch_size, context)
        return [completions[row] for row in range(len(prompts))]

    def score(
        self,
        prompts: Sequence[Sequence[int]],
        continuations: Sequence[Sequence[int]],
        *,
        batch_size: int,
        context: CallContext,
        advance: Advance | None = None,
    ) -> list[Likelihood]:
        """Return how likely the model finds each continuation; see `Generator`."""
        if advance is None:
            with context.progress("score", len(prompts)) as shown:
                return self.score(prompts, continuations, batch_size=batch_size, context=context, advance=shown)
        return score_continuations(
            self._model,
            prompts,
            continuations,
            batch_size=batch_size,
            takes_keep=self._takes_keep,
            context_length=self._context_length,
            context=context,
            advance=advance,
        )

    def _read_prefix(self, prompts: Sequence[list[int]]) -> Prefix:
        """Return what all prompts begin with, computed; empty where that is not worth it."""
        length = common_length(prompts) if self._shares and len(prompts) > 1 else 0
        cache = empty_cache(self._model)
        if length < WORTH_SHARING:
            return Prefix(0, cache)
        tokens, mask = self._pad([prompts[0][:length]])
        self._forward(tokens, mask, mask.cumsum(1) - 1, cache)
        return Prefix(length, cache)

    def _decode(
        self,
        prompts: Sequence[Sequence[int]],
        limits: Sequence[int],
        prefix: Prefix,
        sampling: Sampling,
        check: Callable[[], None],
    ) -> list[list[int]]:
        """Return the new tokens of each prompt of one batch.

        ``tokens`` (lines, after the prefix; 1 after the first step) and ``mask`` (lines, all tokens so far) shrink with
        the batch: ``rows[i]`` is the prompt in line i.
        """
        tokens, mask = self._pad([prompt[prefix.length :] for prompt in prompts])
        positions = prefix.length + (mask.cumsum(1) - 1).clamp(min=0)
        mask = torch.cat([mask.new_ones(len(mask), prefix.length), mask], dim=1)
        cache = prefix.start(len(prompts))
        rows = list(range(len(prompts)))
        answers: list[list[int]] = [[] for _ in prompts]
        for step in range(max(limits)):
            check()
            chosen = sampling.choose(self._forward(tokens, mask, positions, cache), rows, step)
            going = []
            for line, (row, token) in enumerate(zip(rows, chosen.tolist(), strict=True)):
                if not self._is_finished(answers[row], limits[row]):
                    answers[row].append(token)
                if not self._is_finished(answers[row], limits[row]):
                    going.append(line)
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

    def _is_finished(self, answer: Sequence[int], limit: int) -> bool:
        return len(answer) == limit or (bool(answer) and answer[-1] in self._stop_ids)

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


def _can_shrink(cache: DynamicCache) -> bool:
    """Tell whether rows can be cut out: layers of linear attention keep a state that the cache cannot select from."""
    return all(
        hasattr(layer, "batch_select_indices") and not isinstance(layer, LinearAttentionCacheLayerMixin)
        for layer in cache.layers
    )
