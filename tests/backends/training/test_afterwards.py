"""Merging two adapters: golden values by hand on matrices that their rank holds exactly."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.retention import Merging

pytestmark = pytest.mark.slow

FIRST = ((3.0, -1.0), (0.5, 2.0))
OTHER = ((-1.0, 4.0), (1.0, -3.0))
RANK = 4
"""More than the matrices' two: a rank that no matrix of this size has."""


def merged(method: Merging, seed: int = 0, side: int = 1, **lora: Any) -> Any:
    """Return what the adapter changes, (2 * side, 2 * side), after merging FIRST and OTHER, repeated ``side`` times."""
    import torch
    from peft import LoraConfig, get_peft_model

    from pipeline.backends.training.afterwards import combine
    from pipeline.backends.training.changes import lora_changes

    class Model(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(2 * side, 2 * side, bias=False)

    config = LoraConfig(r=RANK * side, lora_alpha=6, target_modules=["layer"], **lora)
    model: Any = get_peft_model(Model(), config)
    model.add_adapter("own", config)
    with torch.no_grad():
        for name, update in (("default", FIRST), ("own", OTHER)):
            (change,) = lora_changes(model, name)
            wanted = torch.tensor(update).repeat(side, side)
            change.a.zero_()[: 2 * side] = torch.eye(2 * side)
            change.b.zero_()[:, : 2 * side] = wanted / change.scaling
            assert torch.allclose(change.delta(), wanted)
    combine(model, method, seed)
    (change,) = lora_changes(model)
    assert list(model.peft_config) == ["default"] and change.a.shape == (RANK * side, 2 * side)
    return change.delta().detach()


@pytest.mark.parametrize("rslora", [False, True])
@pytest.mark.parametrize(
    ("method", "expected"),
    [
        # 2 FIRST + OTHER / 2
        (Merging(method="merging", combination="linear", weights=(2.0, 0.5)), ((5.5, 0.0), (1.5, 2.5))),
        # Kept are 3 and 2 of FIRST, 4 and -3 of OTHER; where both have one, the sum -1 elects the minus.
        (Merging(method="merging", combination="ties"), ((3.0, 4.0), (0.0, -3.0))),
        # The same, each with its weight; signs are elected without.
        (Merging(method="merging", combination="ties", weights=(2.0, 0.5)), ((6.0, 2.0), (0.0, -1.5))),
        # Nothing is dropped: signs +, +, +, -; the mean of 0.5 and 1 where both have it.
        (Merging(method="merging", combination="ties", density=1.0), ((3.0, 4.0), (0.75, -3.0))),
        (Merging(method="merging", combination="dare_ties", density=1.0), ((3.0, 4.0), (0.75, -3.0))),
        (Merging(method="merging", combination="dare_linear", density=1.0), ((2.0, 3.0), (1.5, -1.0))),
    ],
)
def test_merging_gives_the_values_of_the_papers(method: Merging, expected: Any, rslora: bool) -> None:
    import torch

    assert torch.allclose(merged(method, use_rslora=rslora), torch.tensor(expected), atol=1e-5)


def test_dare_drops_a_share_and_divides_what_stays() -> None:
    """Of 10,000 weights each of two updates keeps 0.25, four times as large: the corner's are 0, 12, -4 or both, 8.

    The share of each has a standard deviation below 0.01 (2,500 corners, p <= 0.57), the mean below 0.11 around 2.
    """
    import torch

    method = Merging(method="merging", combination="dare_linear", density=0.25)
    found = merged(method, seed=3, side=50)
    corner = found[::2, ::2].round(decimals=2)
    for value, share in ((0.0, 0.75 * 0.75), (12.0, 0.25 * 0.75), (-4.0, 0.25 * 0.75), (8.0, 0.25 * 0.25)):
        assert (corner == value).float().mean() == pytest.approx(share, abs=0.04)
    assert float(corner.mean()) == pytest.approx(2.0, abs=0.5)
    assert torch.equal(found, merged(method, seed=3, side=50))
    assert not torch.equal(found, merged(method, seed=4, side=50))
