"""Scoring trained positions alone: fewer of them, the same loss."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.tiny_model import tiny_config


@pytest.mark.slow
def test_the_short_way_scores_fewer_positions_and_gives_the_same_loss_and_gradient(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import torch
    from transformers import LlamaForCausalLM
    from trl.trainer import utils

    from pipeline.backends.training.scoring import trained_positions_only

    scored: list[int] = []
    apply = utils._ChunkedLogProbFunction.apply

    def counting(hidden: Any, *arguments: Any) -> Any:
        scored.append(hidden.shape[0])
        return apply(hidden, *arguments)

    monkeypatch.setattr(utils._ChunkedLogProbFunction, "apply", counting)
    torch.manual_seed(0)
    model = LlamaForCausalLM(tiny_config(300))
    utils.add_fused_lm_head(model)
    ids = torch.randint(0, 300, (4, 10))
    labels = ids.clone()
    labels[:, :7] = -100

    def loss_and_gradient() -> tuple[float, Any]:
        model.zero_grad()
        loss = -model(input_ids=ids, labels=labels, fused_lm_head=True).log_probs.sum()
        loss.backward()
        return loss.item(), model.model.layers[0].mlp.up_proj.weight.grad.clone()

    long = loss_and_gradient()
    with trained_positions_only():
        short = loss_and_gradient()
    assert scored == [4 * 9, 4 * 3]  # 9 positions have a next token; 3 of them are trained
    assert short[0] == pytest.approx(long[0], rel=1e-6)
    assert torch.allclose(short[1], long[1], rtol=1e-4, atol=1e-6)
    assert loss_and_gradient()[0] == long[0]
    assert scored[-1] == 4 * 9
