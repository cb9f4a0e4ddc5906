"""Libraries speak through hone's events, or not at all."""

from __future__ import annotations

import logging


def quiet_libraries() -> None:
    """Turn off progress bars and remarks of the training libraries; call before the first of them is imported."""
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # on import it misses a kernel package it can do without
    import datasets
    from transformers.utils import logging as transformers_logging

    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    datasets.disable_progress_bars()
