"""What this machine cannot compute, said before a run starts and not after its training."""

from __future__ import annotations

from pipeline.core.cpu import cpu_flags, packed_weights_unread, reads_packed_weights
from pipeline.core.gpus import visible_gpus
from schemas.run import RunSpec

PACKED = ("W4A16", "GPTQ", "AWQ")
"""Schemes whose weights have 4 bits."""


def check_kernels(spec: RunSpec, flags: frozenset[str] | None = None) -> None:
    """Refuse a run with a variant that vLLM would have to answer by, and cannot on this machine.

    ``flags`` are those of this CPU if None.

    Raises:
        EnvironmentMissing: the variant has weights of 4 bits, and the CPU has not the instructions for them.
    """
    if visible_gpus() > 0 or reads_packed_weights(cpu_flags() if flags is None else flags):
        return
    evaluated = spec.evaluate.generation.backend == "vllm"
    for variant in spec.variants:
        served = spec.serve is not False and spec.serve.engine == "vllm" and spec.served_variant == variant.name
        if variant.scheme in PACKED and (variant.only_vllm or evaluated or served):
            what = f"the variant {variant.name} would be made and could not be measured or served"
            raise packed_weights_unread(what, where="variants", fix="take the variant out")
