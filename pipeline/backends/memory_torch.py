"""Out of memory, as torch reports it: told from other errors, and met with smaller batches."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pipeline.core.context import CallContext
from pipeline.core.errors import OutOfMemory

_WORDS = ("can't allocate memory", "not enough memory", "out of memory")


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether ``error`` means that memory is used up; on a CPU torch's allocator says so only in words."""
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


def run_batches(
    work: Callable[[Sequence[int]], None], order: Sequence[int], batch_size: int, context: CallContext
) -> None:
    """Call ``work`` with at most ``batch_size`` of ``order`` at a time; where memory is used up, with half as many.

    Raises:
        OutOfMemory: one alone does not fit.
    """
    first, size = 0, batch_size
    while first < len(order):
        batch = order[first : first + size]
        exhausted = False
        try:
            work(batch)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            exhausted = True  # and leave the handler: the error's frames hold what must be freed
        if not exhausted:
            first += len(batch)
            continue
        release_memory()
        if len(batch) == 1:
            raise OutOfMemory(
                "a single prompt does not fit into memory",
                where="evaluate.generation",
                fix="lower max_new_tokens, set generation.dtype to bfloat16, or use a machine with more memory",
            )
        size = len(batch) // 2
        context.emit("recovery", f"out of memory: going on with batches of {size}", batch_size=size)
