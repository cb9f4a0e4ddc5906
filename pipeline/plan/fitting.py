"""Which GPUs hold a model that answers or is quantized: the smallest type, or the least count of one, that does."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.core.gpus import divides
from pipeline.plan.hardware import COUNTS
from pipeline.plan.prices import GIB, Gpu, gpu_named
from schemas.placement import join_gpu
from schemas.plan import InferenceNeeds

LADDER = ("L4", "A10", "L40S", "A100-40GB", "A100-80GB", "H100", "H200", "B200")
"""Types that are chosen for inference and quantization, by price. Others are taken where they are asked for."""

UTILIZATION = 0.9
"""Share of a GPU's memory that may be filled: vLLM's default ``gpu_memory_utilization``."""

WORKSPACE = 2 * GIB
"""Bytes on each GPU beside weights and cache: CUDA context, activations of a step, CUDA graphs."""

MOST_FALLBACKS = 2
DEARER = 2.0
"""A fallback costs at most this many times what the first choice costs."""


@dataclass(frozen=True)
class Load:
    """What has to be held, in bytes: weights, key-value cache, and what each GPU holds whole.

    ``heads`` and ``kv_heads`` of the attention bound the division; ``utilization`` is the share of each GPU that may be
    filled.
    """

    weights: int
    cache: int
    heads: int
    kv_heads: int
    whole: int = 0
    utilization: float = UTILIZATION

    @property
    def total(self) -> int:
        """All bytes, in one place."""
        return self.weights + self.cache + self.whole

    @property
    def counts(self) -> list[int]:
        """By how many GPUs it can be divided: powers of two, of which the engine takes all that it sees."""
        return [count for count in COUNTS if divides(count, self.heads, self.kv_heads)]

    def bytes_on_each(self, count: int) -> int:
        """Return what each of ``count`` GPUs holds; a key-value head is not divided."""
        return self.weights // count + self.cache // min(count, self.kv_heads) + self.whole + WORKSPACE

    def fits(self, gpu: Gpu, count: int) -> bool:
        """Tell whether ``count`` GPUs of this type hold it."""
        return count <= gpu.most and self.bytes_on_each(count) <= self.utilization * gpu.memory


def load_of(
    needs: InferenceNeeds, form: str | None, *, tokens: int = 0, whole: int = 0, utilization: float | None = None
) -> Load:
    """Return the load of a form of the model, of the largest where it is not known, with a cache of ``tokens``."""
    weights = needs.form_bytes.get(form or "", max(needs.form_bytes.values()))
    cache = tokens * needs.kv_bytes_per_token
    return Load(weights, cache, needs.heads, needs.kv_heads, whole, utilization or UTILIZATION)


def smallest(load: Load) -> tuple[str, ...]:
    """Return the GPUs that hold ``load``, in order of preference: one of the cheapest type that does, else two, ...

    Fallbacks have the same count and cost at most `DEARER` times as much. Empty where nothing holds it.
    """
    for count in load.counts:
        fitting = [gpu for gpu in map(gpu_named, LADDER) if load.fits(gpu, count)]
        if fitting:
            most = DEARER * fitting[0].dollars_per_second
            chosen = [gpu for gpu in fitting[: 1 + MOST_FALLBACKS] if gpu.dollars_per_second <= most]
            return tuple(join_gpu(gpu.name, count) for gpu in chosen)
    return ()
