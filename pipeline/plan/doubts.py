"""What may not go well on the hardware that a run is given: said before anything is spent, and never refused."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.plan.fitting import load_of
from pipeline.plan.placement import MERGE_BYTES, ROOM
from pipeline.plan.prices import GIB, gpu_named
from schemas.placement import CPU, MOST_MEMORY, HardwareSpec, TrainHardware, WorkHardware, split_gpu
from schemas.plan import InferenceNeeds, PlanArtifact

TRAINED = frozenset({"base", "adapter", "model"})
"""Forms that are no variants."""


def doubts(plan: PlanArtifact, hardware: HardwareSpec) -> list[str]:
    """Return, for people, where ``hardware`` is less than the plan asks for, and what no container holds."""
    found = list(_training_doubts(plan, hardware.train))
    if plan.inference is not None:
        works = (("evaluate", hardware.evaluate, None), ("serve", hardware.serve, plan.inference.served))
        for work, asked, form in works:
            found += _inference_doubts(plan.inference, work, asked, form)
        if set(plan.inference.form_bytes) - TRAINED:
            found += _merge_doubts(plan)
    return found


def _training_doubts(plan: PlanArtifact, hardware: TrainHardware) -> Iterator[str]:
    for gpu in hardware.gpu or ():
        if gpu == CPU:
            yield f"hardware.train is a CPU: on one like this machine's about {plan.local_cpu_seconds / 3600:.1f} hours"
            continue
        name, count = split_gpu(gpu)
        option = next(option for option in plan.hardware if option.gpu == gpu_named(name).name)
        if not option.fits:
            yield (
                f"hardware.train {gpu}: training takes {option.memory_bytes / GIB:.0f} GiB on each of {option.count} "
                f"{name}, which have {gpu_named(name).memory / GIB:.0f}"
            )
        elif count * hardware.nodes < option.count:
            yield f"hardware.train {gpu}: by the plan's estimate training needs {option.count} of them"


def _inference_doubts(needs: InferenceNeeds, work: str, hardware: WorkHardware, form: str | None) -> Iterator[str]:
    load = load_of(needs, form)
    for gpu in hardware.gpu or ():
        if gpu == CPU:
            continue
        name, count = split_gpu(gpu)
        if count not in load.counts:
            yield f"hardware.{work} {gpu}: {needs.heads} attention heads are not divided by {count} GPUs"
        elif not load.fits(gpu_named(name), count):
            yield (
                f"hardware.{work} {gpu}: {load.bytes_on_each(count) / GIB:.0f} GiB on each, without any cache, are "
                f"more than {load.utilization:.0%} of {gpu_named(name).memory / GIB:.0f} GiB"
            )


def _merge_doubts(plan: PlanArtifact) -> Iterator[str]:
    held = ROOM * MERGE_BYTES * plan.parameters / GIB
    if held > MOST_MEMORY / 1024:
        yield (
            f"variants are made of the merged model, and merging takes about {held:.0f} GiB of memory, more than the "
            f"{MOST_MEMORY // 1024} GiB of one container: serve the adapter, without variants"
        )
