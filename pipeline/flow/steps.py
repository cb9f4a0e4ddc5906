"""The order of a run's steps, and what can be done now."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from pipeline.flow.deciding import register, serve
from pipeline.flow.measuring import (
    baselines,
    bias_after,
    bias_before,
    evaluations,
    judgements,
    retention_after,
    retention_before,
    variant_evaluations,
)
from pipeline.flow.parts import Finished
from pipeline.flow.preparing import data, plan
from pipeline.flow.training import optimize, train
from schemas.artifacts import StageCall
from schemas.resolved import ResolvedRun

_STEPS: tuple[Callable[[ResolvedRun, Finished], Iterator[StageCall]], ...] = (
    plan,
    data,
    baselines,
    retention_before,
    bias_before,
    train,
    evaluations,
    optimize,
    variant_evaluations,
    retention_after,
    bias_after,
    judgements,
    serve,
)


def next_calls(run: ResolvedRun, finished: Finished) -> list[StageCall]:
    """Return every call that can be made now and is not finished; empty when the run is done.

    The order is the one in which a runner with one worker should make them. The version is registered once nothing
    else is left to do.
    """
    wanted = [call for step in _STEPS for call in step(run, finished)]
    if all(call.id in finished for call in wanted):
        wanted += register(run, finished)
    return [call for call in wanted if call.id not in finished]
