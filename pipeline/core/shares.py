"""How several processes share the rows of a step: each takes its part, and the step keeps its rows."""

from __future__ import annotations

import math

from pipeline.core.errors import ConfigError


def share_batch(micro_batch: int, accumulation: int, processes: int) -> tuple[int, int]:
    """Return the rows of a micro-batch and how many of them make up a step of all processes, the same number for each.

    Accumulation is divided; where it has too few factors, micro-batches become smaller. Their product, the rows of a
    step, stays.

    Raises:
        ConfigError: the rows of a step cannot be divided by ``processes``.
    """
    missing = processes // math.gcd(accumulation, processes)
    if micro_batch % missing:
        raise ConfigError(
            f"a step of {micro_batch * accumulation} rows ({micro_batch} x {accumulation}) cannot be shared by "
            f"{processes} processes, one for each GPU",
            where="train.gradient_accumulation_steps",
            fix=f"make it a multiple of {processes}, or take a number of GPUs (hardware.train) that divides the rows",
        )
    return micro_batch // missing, accumulation * missing
