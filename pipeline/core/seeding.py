"""Seeds: set once per call, from the config, before anything is initialized."""

from __future__ import annotations

import random
import sys


def seed_everything(seed: int) -> None:
    """Seed Python, and numpy and torch where they are already in use or installed.

    Raises:
        ValueError: ``seed`` is not in [0, 2**32).
    """
    if not 0 <= seed < 2**32:
        raise ValueError(f"seed {seed} is not in [0, 2**32)")
    random.seed(seed)
    import numpy as np

    np.random.seed(seed)
    if "torch" in sys.modules:
        import torch

        torch.manual_seed(seed)
