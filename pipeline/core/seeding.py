"""Seeds: set once per call, from the config, before anything is initialized."""

from __future__ import annotations

import importlib.util
import random


def seed_everything(seed: int) -> None:
    """Seed Python, numpy, and torch where it is installed.

    Raises:
        ValueError: ``seed`` is not in [0, 2**32).
    """
    if not 0 <= seed < 2**32:
        raise ValueError(f"seed {seed} is not in [0, 2**32)")
    random.seed(seed)
    import numpy as np

    np.random.seed(seed)
    if importlib.util.find_spec("torch") is not None:
        import torch

        torch.manual_seed(seed)
