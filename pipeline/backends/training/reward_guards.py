"""What the answers of a training by rewards are like, and when it is time to look at them.

A reward is gained by doing what was meant or by something else that happens to be rewarded (Skalse et al. 2022,
arXiv:2209.13085). What grows then is seldom the reward alone: the length of answers, their repetition, their distance
from the base.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from pipeline.backends.training.journal import Entry, Journal
from pipeline.core.context import CallContext
from schemas.rl import Guard, RewardGuards, RewardReport, RewardWarning, RolloutFigures

LENGTH, CLIPPED, REPETITION, KL = "completion_length", "clipped", "repetition", "kl"
"""Names of the figures in a line of the log, beside ``reward`` and ``rewards/<metric>``."""

REWARD, BY_METRIC = "reward", "rewards/"

_GRAM = 4
_PART = 10

Passed = tuple[Guard, float, float]
"""A guard, the value and its limit."""


def repetition(tokens: Sequence[int]) -> float:
    """Return the share of an answer's 4-grams that it has had before; 0 where it is too short to have two.

    Welleck et al. 2020 (arXiv:1908.04319), seq-rep-4.
    """
    grams = [tuple(tokens[first : first + _GRAM]) for first in range(len(tokens) - _GRAM + 1)]
    return 1.0 - len(set(grams)) / len(grams) if grams else 0.0


def answer_figures(answers: Sequence[Sequence[int]], stops: Sequence[int]) -> dict[str, float]:
    """Return mean length in tokens, share of answers without a token that ends them, and mean repetition."""
    count = len(answers)
    return {
        LENGTH: sum(map(len, answers)) / count,
        CLIPPED: sum(not answer or answer[-1] not in stops for answer in answers) / count,
        REPETITION: sum(map(repetition, answers)) / count,
    }


def check_line(line: Entry, journal: Journal, guards: RewardGuards, context: CallContext) -> None:
    """Warn of each guard that this line is the first to pass, and note it in the journal."""
    told = {warning["guard"] for warning in journal.warnings}
    for guard, value, limit in _passed(line, journal, guards):
        if guard not in told:
            warning = RewardWarning(step=int(line["step"]), guard=guard, value=value, limit=limit)
            journal.warnings.append(warning.model_dump())
            context.warn(warning.text, **warning.model_dump())


def _passed(line: Entry, journal: Journal, guards: RewardGuards) -> Iterator[Passed]:
    first = next((earlier[LENGTH] for earlier in journal.lines if LENGTH in earlier), 0.0)
    if guards.length_ratio is not None and first and line.get(LENGTH):
        ratio = line[LENGTH] / first
        if max(ratio, 1 / ratio) > guards.length_ratio:
            yield "length_ratio", ratio, guards.length_ratio
    if guards.clipped is not None and line.get(CLIPPED, 0.0) > guards.clipped:
        yield "clipped", line[CLIPPED], guards.clipped
    if guards.repetition is not None and line.get(REPETITION, 0.0) > guards.repetition:
        yield "repetition", line[REPETITION], guards.repetition
    if guards.kl is not None and abs(line.get(KL, 0.0)) > guards.kl:
        yield "kl", line[KL], guards.kl


def report_of(journal: Journal, validation: float | None) -> RewardReport | None:
    """Return the report of a training; None before its first line."""
    lines = [line for line in journal.lines if REWARD in line]
    if not lines:
        return None
    part = max(1, len(lines) // _PART)
    return RewardReport(
        first=_figures(lines[:part]),
        last=_figures(lines[-part:]),
        validation=validation,
        warnings=tuple(RewardWarning.model_validate(warning) for warning in journal.warnings),
    )


def _figures(lines: Sequence[Mapping[str, float | int]]) -> RolloutFigures:
    def mean(name: str) -> float:
        found = [line[name] for line in lines if name in line]
        return sum(found) / len(found)

    names = {name for line in lines for name in line}
    return RolloutFigures(
        reward=mean(REWARD),
        rewards={name.removeprefix(BY_METRIC): mean(name) for name in sorted(names) if name.startswith(BY_METRIC)},
        completion_length=mean(LENGTH),
        clipped=mean(CLIPPED),
        repetition=mean(REPETITION),
        kl=mean(KL) if KL in names else None,
    )
