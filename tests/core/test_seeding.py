from __future__ import annotations

import subprocess
import sys

import pytest

from pipeline.core.seeding import seed_everything

DRAW = """
import random, sys
import numpy
from pipeline.core.seeding import seed_everything
if sys.argv[1] == "torch first":
    import torch
seed_everything(7)
import torch
print(random.random(), numpy.random.rand(), torch.rand(1).item())
"""


@pytest.mark.slow
def test_torch_is_seeded_whether_or_not_it_was_imported_before() -> None:
    drawn = [
        subprocess.run([sys.executable, "-c", DRAW, order], capture_output=True, text=True, check=True).stdout
        for order in ("torch first", "torch later")
    ]
    assert drawn[0] == drawn[1]


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_seed_that_a_library_does_not_take_is_refused(seed: int) -> None:
    with pytest.raises(ValueError, match="is not in"):
        seed_everything(seed)
