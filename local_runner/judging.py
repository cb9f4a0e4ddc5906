"""`hone judge`: two versions, runs or files of predictions before a judge, as the judge stage does it."""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.control.answered import open_answered
from pipeline.core.errors import ConfigError
from pipeline.core.paths import expand
from pipeline.evaluate.judge.pairs import Pair, pair_evaluations, pair_predictions, sample
from pipeline.evaluate.judge.stage import NoVerdicts, judge_pairs
from schemas.base import canonical_digest

if TYPE_CHECKING:
    from pipeline.core.context import CallContext
    from pipeline.core.registry import Registry
    from schemas.judge import JudgeArtifact, JudgeConfig


@dataclass(frozen=True)
class Sides:
    """What is compared: pairs of answers, and the models under test, which should not judge themselves."""

    pairs: list[Pair]
    related: tuple[str, ...]


def open_sides(root: Path, registry: Registry, first: str, second: str) -> Sides:
    """Return the answers of two files of `hone predict`, or of two versions or runs.

    Raises:
        ConfigError, RegistryError: one is a file and the other none, or there is no such version or run.
        SourceError, DataError: a file is not readable.
        IntegrityError: the two answer different items.
    """
    files = [expand(name) for name in (first, second)]
    there = [file.is_file() for file in files]
    if all(there):
        return Sides(pair_predictions(*files), ())
    if any(there):
        raise ConfigError(
            "one is a file and the other is not",
            where=f"{first} {second}",
            fix="name two files of hone predict, or two versions or runs",
        )
    ours, theirs = (open_answered(root, registry, name) for name in (first, second))
    records = (ours.record.artifact, theirs.record.artifact)
    related = dict.fromkeys(name for record in records for name in (record.base.name, record.name))
    return Sides(pair_evaluations(ours.served, theirs.served), tuple(related))


def judge(root: Path, sides: Sides, config: JudgeConfig, table: Path, context: CallContext) -> JudgeArtifact:
    """Judge both sides and write every verdict to ``table``; a stopped command goes on with the answers it paid for.

    Raises:
        ConfigError, SourceError, EngineError: as the judge stage.
    """
    pairs = sample(sides.pairs, config.max_items, config.seed)
    scratch = root / "work" / "judge" / canonical_digest([config, [asdict(pair) for pair in pairs]])
    try:
        found = judge_pairs(pairs, config, context, scratch, table)
    except NoVerdicts:  # every reply is there, and none can be read: the same again would change nothing
        shutil.rmtree(scratch, ignore_errors=True)
        raise
    shutil.rmtree(scratch, ignore_errors=True)
    return found
