"""The options of commands that carry out a part of a run."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from pipeline.control.controller import RunOptions
from pipeline.core.errors import ConfigError


class StageOption(StrEnum):
    """The stages, as options name them."""

    plan = "plan"
    data = "data"
    train = "train"
    evaluate = "evaluate"
    optimize = "optimize"
    serve = "serve"
    register = "register"


def run_options(
    first: StageOption | None = None, last: StageOption | None = None, fresh: Sequence[StageOption] = ()
) -> RunOptions:
    """Return which part of a run ``--from``, ``--until`` and ``--fresh`` ask for.

    Raises:
        ConfigError: the first stage comes after the last, so that nothing would be called.
    """
    stages = list(StageOption)
    if first and last and stages.index(first) > stages.index(last):
        raise ConfigError(
            f"stage {first} comes after stage {last}, so nothing would be called",
            where=f"--from {first} --until {last}",
            fix=f"the order is {', '.join(stages)}",
        )
    return RunOptions(
        first=None if first is None else first.value,
        last=None if last is None else last.value,
        fresh=frozenset(stage.value for stage in fresh),
    )
