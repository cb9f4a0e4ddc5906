"""What a padded batch says of each answer is what the model says of it alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from pipeline.backends.training.ppo.policy import add_value_head, judge, remove_value_head
from tests.support.tiny_model import write_tiny_base

PROMPTS, ANSWERS = [[5, 9, 11, 40], [7, 8]], [[12, 13], [14, 15, 16]]


@pytest.fixture
def model(tmp_path: Path) -> Any:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(write_tiny_base(tmp_path)).eval()


def batch() -> dict[str, torch.Tensor]:
    return {
        "prompt_ids": torch.tensor([PROMPTS[0], [0, 0, *PROMPTS[1]]]),
        "prompt_mask": torch.tensor([[1, 1, 1, 1], [0, 0, 1, 1]]),
        "completion_ids": torch.tensor([[*ANSWERS[0], 0], ANSWERS[1]]),
        "completion_mask": torch.tensor([[1, 1, 0], [1, 1, 1]]),
    }


def test_padding_changes_nothing(model: Any) -> None:
    add_value_head(model)
    torch.nn.init.normal_(model.value_head.weight)
    torch.nn.init.constant_(model.value_head.bias, 0.25)
    with torch.no_grad():
        found = judge(model, batch(), temperature=0.5)
        for row, (prompt, answer) in enumerate(zip(PROMPTS, ANSWERS, strict=True)):
            alone = model(torch.tensor([prompt + answer]), output_hidden_states=True)
            places = slice(len(prompt) - 1, len(prompt) + len(answer) - 1)
            expected = (alone.logits[0, places] / 0.5).log_softmax(-1).gather(1, torch.tensor(answer)[:, None])[:, 0]
            values = model.value_head(alone.hidden_states[-1][0, places])[:, 0]
            length = len(answer)
            assert torch.allclose(found.log_probabilities[row, :length], expected, atol=1e-5)
            assert torch.allclose(found.values[row, :length], values, atol=1e-5)


def test_a_head_begins_at_nothing_and_goes_again(model: Any) -> None:
    names = set(model.state_dict())
    add_value_head(model)
    assert judge(model, batch(), 1.0).values.abs().max().item() == 0.0
    remove_value_head(model)
    assert set(model.state_dict()) == names
    assert judge(model, batch(), 1.0).values.abs().max().item() == 0.0  # a reference has no head
