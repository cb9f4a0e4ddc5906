"""Out of memory, as torch reports it: on a GPU, and on a CPU where the allocator only says so in words."""

from __future__ import annotations

_WORDS = ("can't allocate memory", "not enough memory", "out of memory")


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether ``error`` means that memory is used up."""
    if isinstance(error, MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error).lower() for words in _WORDS)


def release_memory() -> None:
    """Give back what no object holds any longer."""
    import gc

    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
