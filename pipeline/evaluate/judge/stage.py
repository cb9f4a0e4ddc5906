"""The judge stage: pairs, both orders of each to the judge, figures, one table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from pipeline.core.context import CallContext
from pipeline.core.errors import ConfigError, EngineError
from pipeline.core.numbers import percent
from pipeline.core.references import open_reference
from pipeline.core.workspace import Workspace
from pipeline.evaluate.judge.asking import Judged, judge
from pipeline.evaluate.judge.figures import Level, agreement, biases, preference
from pipeline.evaluate.judge.pairs import Pair, pair_evaluations, read_labels, sample
from pipeline.evaluate.judge.prompt import load_prompt
from pipeline.evaluate.judge.table import write_judgements
from schemas.judge import JudgeArtifact, JudgeConfig, JudgeInputs


def run(config: JudgeConfig, inputs: JudgeInputs, context: CallContext, workspace: Workspace) -> JudgeArtifact:
    """Let the judge compare two evaluations item by item, or compare it with people.

    Raises:
        ConfigError: the judge's address, key, model or template is wrong.
        DataError, SourceError: the pairs that people judged cannot be read.
        IntegrityError: the evaluations were not made on the same items.
        EngineError: the judge does not answer; `NoVerdicts` where never with a verdict.
    """
    return judge_pairs(_pairs(config, inputs), config, context, workspace.scratch, workspace.file("judgements.parquet"))


class NoVerdicts(EngineError):
    """All replies of a judge are there, and none can be read."""


def judge_pairs(
    pairs: Sequence[Pair], config: JudgeConfig, context: CallContext, scratch: Path, table: Path
) -> JudgeArtifact:
    """Judge ``pairs``, write every verdict to ``table`` and return the figures; ``scratch`` keeps paid answers.

    Raises:
        ConfigError, SourceError, EngineError: as `run`.
    """
    prompt = load_prompt(
        config.template, criteria=config.criteria, ties=config.ties, show_reference=config.show_reference
    )
    same = self_preference(config)
    if same is not None:
        context.warn(f"the judge {config.model} is {same}, which is under test: judges prefer their own answers")
    judged = judge(pairs, prompt, config, scratch, context)
    known = [(item.outcome, item.pair.cluster) for item in judged if item.outcome is not None]
    if not known:
        raise NoVerdicts(
            "no reply of the judge holds a verdict",
            where=config.base_url,
            fix="raise evaluate.judge.max_new_tokens, or give a template that says how to answer",
            detail=next((reply.raw[:1000] for item in judged for reply in item.replies), None),
        )
    unjudged = len(judged) - len(known)
    if unjudged:
        context.warn(f"{unjudged} of {len(judged)} items ({percent(unjudged / len(judged))}) have no readable verdict")
    write_judgements(table, judged)
    level = Level(config.alpha, config.resamples)
    people = config.labels is not None
    return JudgeArtifact(
        model=config.model,
        candidate=config.candidate,
        baseline=config.baseline,
        criteria=config.criteria,
        template_digest=prompt.digest,
        items=len(judged),
        identical=sum(item.pair.identical for item in judged),
        unjudged=unjudged,
        preference=None
        if people
        else preference([found for found, _ in known], [cluster for _, cluster in known], level),
        agreement=agreement(judged, level),
        biases=biases(judged, level),
        self_preference=same,
        **_spent(judged),
    )


def self_preference(config: JudgeConfig) -> str | None:
    """Return which model under test, or base of one, the judge is by its name; None where it is another.

    Names are compared without their owner, case and what follows a colon or ``@``.
    """
    own = _plain(config.model)
    return next((name for name in config.related if _plain(name) == own), None)


def _plain(name: str) -> str:
    return PurePosixPath(name).name.partition("@")[0].partition(":")[0].lower()


def _pairs(config: JudgeConfig, inputs: JudgeInputs) -> list[Pair]:
    if config.labels is not None:
        found = read_labels(open_reference(config.labels))
    elif inputs.candidate is not None and inputs.baseline is not None:
        found = pair_evaluations(inputs.candidate, inputs.baseline)
    else:
        raise ConfigError(
            "there is nothing to judge", where="inputs", fix="give two evaluations, or pairs that people have judged"
        )
    return sample(found, config.max_items, config.seed)


def _spent(judged: Sequence[Judged]) -> dict[str, int]:
    replies = [reply for item in judged for reply in item.replies]
    return {
        name: sum(getattr(reply, name) for reply in replies)
        for name in ("requests", "prompt_tokens", "completion_tokens")
    }
