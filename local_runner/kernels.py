"""What this machine cannot compute, said before a run starts and not after its training."""

from __future__ import annotations

from pipeline.core.cpu import cpu_flags, packed_weights_unread, reads_packed_weights
from pipeline.core.errors import EnvironmentMissing
from pipeline.core.gpus import visible_gpus
from schemas.run import RunSpec
from schemas.schemes import SCHEMES


def check_kernels(spec: RunSpec, flags: frozenset[str] | None = None) -> None:
    """Refuse a run with a variant that vLLM would have to answer by, and cannot on this machine.

    ``flags`` are those of this CPU if None.

    Raises:
        EnvironmentMissing: vLLM loads the variant on GPUs alone, or the CPU has not the instructions for its weights.
    """
    if visible_gpus() > 0:
        return
    reads_packed = reads_packed_weights(cpu_flags() if flags is None else flags)
    evaluated = spec.evaluate.generation.backend == "vllm"
    for variant in spec.variants:
        served = spec.serve is not False and spec.serve.engine == "vllm" and spec.served_variant == variant.name
        if not (variant.only_vllm or evaluated or served):
            continue
        facts, what = SCHEMES[variant.scheme], f"the variant {variant.name} would be made and not measured or served"
        if facts.vllm_dtype is None:
            raise EnvironmentMissing(
                f"vLLM's CPU build does not load {variant.scheme}: {what}",
                where="variants",
                fix="serve another variant, evaluate by transformers, or use a GPU (hone run --on modal)",
            )
        if facts.packed and not reads_packed:
            raise packed_weights_unread(what, where="variants", fix="take the variant out")
