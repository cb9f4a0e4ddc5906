"""Every prompt in every epoch, in groups, in an order that depends on seed and epoch alone."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from pipeline.backends.training.prompt_order import PromptOrder
from pipeline.backends.training.rewarded import split_batches


@given(
    rows=st.integers(1, 30),
    prompts=st.integers(1, 8),
    answers=st.integers(1, 4),
    repeats=st.integers(1, 3),
    epoch=st.integers(0, 3),
)
def test_an_epoch_asks_every_row(rows: int, prompts: int, answers: int, repeats: int, epoch: int) -> None:
    def order() -> PromptOrder:
        made = PromptOrder(rows, prompts=prompts, answers=answers, repeats=repeats, seed=1)
        made.set_epoch(epoch)
        return made

    found = list(order())
    assert len(found) == len(order())
    assert found == list(order())
    assert set(found) == set(range(rows))
    size = prompts * answers
    for first in range(0, len(found), size * repeats):
        batch = found[first : first + size]
        assert found[first : first + size * repeats] == batch * repeats
        assert [row for row in batch[::answers] for _ in range(answers)] == batch


def test_epochs_have_orders_of_their_own() -> None:
    order = PromptOrder(20, prompts=4, answers=1, repeats=1, seed=0)
    first = list(order)
    order.set_epoch(1)
    assert list(order) != first


def test_what_was_drawn_is_parted_in_order() -> None:
    rollouts = {"ids": torch.arange(6).reshape(6, 1), "count": torch.tensor(7)}
    first, second = split_batches(rollouts, 2)
    assert first["ids"].tolist() == [[0], [1], [2]]
    assert second["ids"].tolist() == [[3], [4], [5]]
    assert first["count"] == second["count"] == 7
