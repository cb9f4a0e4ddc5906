"""Which part of a run to carry out, as options ask for it. Nothing heavy: `hone --help` imports it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from schemas.base import StageName


class StageOption(StrEnum):
    """The stages, as options name them."""

    plan = "plan"
    data = "data"
    train = "train"
    evaluate = "evaluate"
    optimize = "optimize"
    bias = "bias"
    judge = "judge"
    serve = "serve"
    register = "register"


@dataclass(frozen=True)
class RunOptions:
    """Which part of a run to carry out.

    ``first``: stages before it are only taken as they are stored. ``last``: nothing after it is called. ``fresh``:
    what is stored of these stages is made again, from the beginning, and stays until the new one is whole. Without
    ``refuses``, data that the preflight refuses is taken as it is: to look at it.
    """

    first: StageName | None = None
    last: StageName | None = None
    fresh: frozenset[StageName] = frozenset()
    refuses: bool = True


def run_options(
    first: StageOption | None = None, last: StageOption | None = None, fresh: Sequence[StageOption] = ()
) -> RunOptions:
    """Return which part of a run ``--from``, ``--until`` and ``--fresh`` ask for.

    Raises:
        ConfigError: the first stage comes after the last, so that nothing would be called.
    """
    from pipeline.core.errors import ConfigError

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
