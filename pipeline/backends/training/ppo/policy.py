"""A language model that says how likely each token of its answer is, and what it expects to earn from there on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from pipeline.backends.training.changes import VALUE_HEAD


@dataclass(frozen=True)
class Judged:
    """Of each token of an answer: its log-probability and the value of the state before it, (answers, tokens)."""

    log_probabilities: torch.Tensor
    values: torch.Tensor


def add_value_head(model: torch.nn.Module) -> None:
    """Give the model a linear layer from its last hidden state to a value; it begins at 0, as a guess of no reward."""
    base: Any = model.get_base_model() if hasattr(model, "get_base_model") else model
    weight = base.get_input_embeddings().weight
    head = torch.nn.Linear(base.config.get_text_config().hidden_size, 1, device=weight.device, dtype=torch.float32)
    torch.nn.init.zeros_(head.weight)
    torch.nn.init.zeros_(head.bias)
    model.add_module(VALUE_HEAD, head)


def remove_value_head(model: torch.nn.Module) -> None:
    """Take it away again: what is written is a language model and nothing else."""
    delattr(model, VALUE_HEAD)


def judge(model: Any, inputs: dict[str, torch.Tensor], temperature: float) -> Judged:
    """Return what the model says of the answers in ``inputs``; the gradient reaches both parts of it.

    Args:
        model: with or, as a reference, without a value head, whose values are then 0.
        inputs: ``prompt_ids`` and ``prompt_mask`` padded on the left, ``completion_ids`` and ``completion_mask`` on the
            right.
        temperature: answers were drawn at.
    """
    ids = torch.cat([inputs["prompt_ids"], inputs["completion_ids"]], dim=1)
    mask = torch.cat([inputs["prompt_mask"], inputs["completion_mask"]], dim=1)
    answer = inputs["completion_ids"]
    length = answer.shape[1]
    found = model(
        input_ids=ids,
        attention_mask=mask,
        position_ids=(mask.cumsum(dim=1) - 1).clamp(min=0),
        use_cache=False,
        output_hidden_states=True,
        logits_to_keep=length + 1,
    )
    logits = found.logits[:, :-1].float() / temperature
    chosen = logits.gather(2, answer[:, :, None])[:, :, 0] - logits.logsumexp(dim=2)
    head = getattr(model, VALUE_HEAD, None)
    if head is None:
        return Judged(chosen, torch.zeros_like(chosen))
    states = found.hidden_states[-1][:, -length - 1 : -1]
    return Judged(chosen, head(states.float())[:, :, 0])
