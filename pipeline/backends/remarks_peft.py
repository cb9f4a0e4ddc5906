"""What PEFT remarks on adapters that hone has checked, kept from users."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

_KNOWN = (
    "Unsupported layer type",  # a norm, which LN tuning trains and no rank is asked of
    "Failed to load the CUDA extension",  # BOFT's butterflies of more than one factor would want it; hone has one
    "Setting boft_n_butterfly_factor to 1",
    "Invalid `oft_block_size`",  # the nearest that divides a layer's inputs is taken, as docs/adapters.md says
)


@contextmanager
def without_known_remarks() -> Iterator[None]:
    """Ignore these warnings inside the block."""
    with warnings.catch_warnings():
        for start in _KNOWN:
            warnings.filterwarnings("ignore", message=start)
        yield
