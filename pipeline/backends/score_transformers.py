"""Log-probabilities of given continuations under a transformers model, in batches of similar length."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.functional import log_softmax

from pipeline.backends.generation import Advance, Likelihood, check_continuations
from pipeline.backends.memory_torch import run_batches
from pipeline.core.context import CallContext

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel


def score_continuations(
    model: PreTrainedModel,
    prompts: Sequence[Sequence[int]],
    continuations: Sequence[Sequence[int]],
    *,
    batch_size: int,
    takes_keep: bool,
    context_length: int | None,
    context: CallContext,
    advance: Advance,
) -> list[Likelihood]:
    """Return the likelihood of each continuation after its prompt; see `Generator.score`.

    ``takes_keep``: the model's forward pass takes ``logits_to_keep``, so that prompts' logits are never computed.

    Raises:
        DataError: see `check_continuations`.
        OutOfMemory: a single sequence does not fit into memory.
    """
    check_continuations(prompts, continuations, context_length)
    sizes = [len(prompt) + len(more) for prompt, more in zip(prompts, continuations, strict=True)]
    # Longest first: what memory must hold shows at once.
    order = sorted(range(len(prompts)), key=lambda row: (-sizes[row], row))
    found: dict[int, Likelihood] = {}

    def work(rows: Sequence[int]) -> None:
        context.check()
        batch = [(list(prompts[row]), list(continuations[row])) for row in rows]
        with torch.inference_mode():
            sums = _log_probabilities(model, batch, takes_keep=takes_keep)
        for row, total in zip(rows, sums, strict=True):
            found[row] = Likelihood(total, len(continuations[row]))
        advance(len(rows))

    run_batches(work, order, batch_size, context)
    return [found[row] for row in range(len(prompts))]


def _log_probabilities(
    model: PreTrainedModel, batch: Sequence[tuple[list[int], list[int]]], *, takes_keep: bool
) -> list[float]:
    """Return the sum over each continuation's tokens.

    Rows are padded on the right, behind everything that is scored: what comes later changes nothing before it.
    """
    longest = max(len(prompt) + len(more) for prompt, more in batch)
    first = min(len(prompt) for prompt, _ in batch) - 1
    device = model.get_input_embeddings().weight.device
    tokens = torch.tensor([_padded([*prompt, *more], longest) for prompt, more in batch], device=device)
    mask = torch.tensor([_padded([1] * len([*prompt, *more]), longest) for prompt, more in batch], device=device)
    inputs: dict[str, Any] = {"input_ids": tokens, "attention_mask": mask, "use_cache": False}
    if takes_keep:
        inputs["logits_to_keep"] = torch.arange(first, longest, device=device)
    logits: Tensor = model(**inputs).logits
    if not takes_keep:
        logits = logits[:, first:]
    sums = []
    for row, (prompt, more) in enumerate(batch):
        start = len(prompt) - 1 - first
        chosen = torch.tensor(more, dtype=torch.long, device=device)
        told = log_softmax(logits[row, start : start + len(more)].float(), dim=-1)
        sums.append(float(told.gather(1, chosen[:, None]).double().sum()))
    return sums


def _padded(values: list[int], length: int) -> list[int]:
    return values + [0] * (length - len(values))
