"""The gate: measured numbers in, a decision out. What was not measured does not pass."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from pipeline.core.numbers import p_value, percent, points
from pipeline.registry.bias import bias_conditions
from pipeline.registry.budget import budget_conditions
from pipeline.registry.judged import judge_conditions
from pipeline.registry.losses import Loss, retention_condition, variant_condition
from pipeline.registry.protected import Protected, protected_conditions
from schemas.bias import BiasArtifact
from schemas.evaluate import Score
from schemas.judge import JudgeArtifact
from schemas.register import BudgetUse, Comparison, Condition, Decision, GateOptions, SeedSpread
from schemas.serve import ANSWERS_PER_MISMATCH, ServeArtifact


@dataclass(frozen=True)
class Candidate:
    """A model that the version hands out: its scores by metric, and its comparison with the best baseline."""

    name: str
    scores: Mapping[str, Score]
    gain: Comparison | None


@dataclass(frozen=True)
class Contamination:
    """How many of ``rows`` evaluated test rows have the very words of a training row, and how many nearly those.

    ``copies`` is None where only a part of the test split was evaluated: which rows are copies is not known then.
    """

    rows: int
    copies: int | None
    near: int


@dataclass(frozen=True)
class Evidence:
    """Everything the gate looks at.

    ``baselines``: the shipped model against each. ``uninstructed``: those that were told nothing beyond the rows.
    ``candidates``: the shipped model, then the served variant where it is another one. ``protected``: what is served
    against the best baseline. ``reported``: tasks before and after training that no condition hangs on. ``bias``: what
    probes found, by ``<probe>-before`` and ``<probe>-after``; ``probes``: the latter against the former. ``answers``:
    whether the model gives answers, which somebody could serve.
    """

    target: Mapping[str, float]
    gate: GateOptions
    baselines: tuple[Comparison, ...]
    uninstructed: tuple[str, ...]
    candidates: tuple[Candidate, ...]
    protected: tuple[Protected, ...]
    contamination: Contamination
    retention: tuple[Loss, ...]
    retention_waived: str | None
    variants: tuple[Loss, ...]
    serve: ServeArtifact | None
    max_answer_mismatches: int
    seeds: SeedSpread
    judgements: tuple[JudgeArtifact, ...] = ()
    reported: tuple[Comparison, ...] = ()
    budget: tuple[BudgetUse, ...] = ()
    bias: Mapping[str, BiasArtifact] = field(default_factory=dict)
    probes: tuple[Comparison, ...] = ()
    answers: bool = True


def decide(evidence: Evidence) -> Decision:
    """Return the decision: promoted where every required condition passed.

    ``better_than_baseline`` and ``target_reached`` hold for every candidate, so for what is served as well.
    """
    gains = [_gain(evidence, candidate) for candidate in evidence.candidates]
    targets = [
        _target(evidence, candidate, metric) for candidate in evidence.candidates for metric in sorted(evidence.target)
    ]
    conditions = (
        *gains,
        *targets,
        *protected_conditions(evidence.protected, evidence.gate.alpha),
        _contamination(evidence),
        *_retention(evidence),
        *(variant_condition(loss, evidence.gate.alpha) for loss in evidence.variants),
        *_parity(evidence),
        *bias_conditions(evidence.bias, evidence.gate.bias),
        *judge_conditions(evidence.judgements, evidence.gate.minimum_win_rate),
        *_seeds(evidence),
    )
    budget = tuple(budget_conditions(evidence.budget))
    best = evidence.candidates[0].gain
    refused = any(condition.required and not condition.passed for condition in (*conditions, *budget))
    return Decision(
        verdict="refused" if refused else "promoted",
        better_than_baseline=all(_is_better(evidence, candidate) for candidate in evidence.candidates),
        target_reached=all(condition.passed for condition in targets) if targets else None,
        best_baseline=best.reference if best is not None else "none",
        conditions=conditions,
        budget=budget,
    )


def _is_better(evidence: Evidence, candidate: Candidate) -> bool:
    gain = candidate.gain
    return gain is not None and gain.difference > 0 and gain.p_value <= evidence.gate.alpha


def _suffix(evidence: Evidence, candidate: Candidate) -> str:
    """Return what tells a condition of the served variant from the same condition of the shipped model."""
    return "" if candidate is evidence.candidates[0] else f".{candidate.name}"


def _gain(evidence: Evidence, candidate: Candidate) -> Condition:
    gate, gain = evidence.gate, candidate.gain
    name = f"gain{_suffix(evidence, candidate)}"
    if gain is None:
        return Condition(
            name=name,
            estimate=None,
            threshold=gate.minimum_gain,
            passed=False,
            text=f"No baseline was compared with {candidate.name}, so no gain is shown: "
            "set evaluate.baselines.base to true.",
        )
    shown = _is_better(evidence, candidate)
    enough = gain.difference >= gate.minimum_gain
    versus = (
        f"{candidate.name} scores {percent(gain.candidate_value)} and the best baseline, {gain.reference}, "
        f"{percent(gain.reference_value)} by {gain.metric} on the same {gain.n} items: {points(gain.difference)} "
        f"(interval {points(gain.low)} to {points(gain.high)}; {gain.test}, {p_value(gain.p_value)})"
    )
    if gain.clusters == 1 or gain.n == 1:
        verdict = "one independent item shows nothing: give a test split of different rows"
    elif not shown:
        verdict = f"not a significant gain at level {gate.alpha:g}"
    elif not enough:
        verdict = f"less than the least gain that counts, {points(gate.minimum_gain)} (gate.minimum_gain)"
    else:
        verdict = f"a significant gain at level {gate.alpha:g}"
    return Condition(
        name=name,
        estimate=gain.difference,
        low=gain.low,
        high=gain.high,
        threshold=gate.minimum_gain,
        n=gain.n,
        passed=shown and enough,
        text=f"{versus}: {verdict}.{_uninstructed(evidence)}",
    )


def _uninstructed(evidence: Evidence) -> str:
    if not evidence.uninstructed:
        return ""
    return (
        f" Asked without any instruction beyond the rows themselves: {', '.join(evidence.uninstructed)}; "
        "give a description, or evaluate.baselines.instruction."
    )


def _target(evidence: Evidence, candidate: Candidate, metric: str) -> Condition:
    wanted = evidence.target[metric]
    name = f"target.{metric}{_suffix(evidence, candidate)}"
    score = candidate.scores.get(metric)
    required = evidence.gate.require_target
    if score is None:
        measured = ", ".join(sorted(candidate.scores)) or "nothing"
        return Condition(
            name=name,
            estimate=None,
            threshold=wanted,
            passed=False,
            required=required,
            text=f"{metric} of {candidate.name} was not measured (measured: {measured}): add it to evaluate.metrics.",
        )
    reached = score.value >= wanted
    sure = ", and so is the interval's lower end" if reached and score.low >= wanted else ""
    return Condition(
        name=name,
        estimate=score.value,
        low=score.low,
        high=score.high,
        threshold=wanted,
        n=score.n,
        passed=reached,
        required=required,
        text=f"{metric} of {candidate.name} is {percent(score.value)} (interval {percent(score.low)} to "
        f"{percent(score.high)}, {score.n} items), {'at or above' if reached else 'below'} the target of "
        f"{percent(wanted)}{sure}.",
    )


def _contamination(evidence: Evidence) -> Condition:
    """A copy is a near-duplicate, too, so the larger of the two counts is that of both."""
    found, cap = evidence.contamination, evidence.gate.max_contamination
    share = max(found.copies or 0, found.near) / found.rows if found.rows else 0.0
    copies = "" if found.copies is None else f" ({found.copies:,} word for word)"
    kept = share <= cap
    return Condition(
        name="contamination",
        estimate=share,
        threshold=cap,
        n=found.rows,
        passed=kept,
        text=f"{percent(share)} of {found.rows:,} {'evaluated ' if found.copies is None else ''}test rows repeat or "
        f"nearly repeat a training row{copies}; at most {percent(cap)} may (gate.max_contamination)"
        f"{'' if kept else ': split by near-duplicate cluster, or remove them from the training rows'}.",
    )


def _retention(evidence: Evidence) -> Iterator[Condition]:
    waived = evidence.retention_waived
    if not evidence.retention:
        yield Condition(
            name="retention",
            estimate=None,
            threshold=None,
            passed=waived is not None,
            text=f"What the base could do before was not measured; waived in these words: {waived!r}."
            if waived is not None
            else "What the base could do before was not measured: name its own task in evaluate.retention, or give "
            "the reason in evaluate.retention_waived.",
        )
    for loss in evidence.retention:
        condition = retention_condition(loss, evidence.gate.alpha)
        if waived is not None:
            note = f" It does not decide; waived in these words: {waived!r}."
            condition = condition.model_copy(update={"required": False, "text": condition.text + note})
        yield condition


def _parity(evidence: Evidence) -> Iterator[Condition]:
    serve = evidence.serve
    if not evidence.answers:
        return
    if serve is None or serve.prompt_mismatches is None:
        why = "The model was not served" if serve is None else f"{serve.engine} returned no prompt token ids"
        yield Condition(
            name="parity.prompts",
            estimate=None,
            threshold=0,
            passed=False,
            text=f"{why}, so nothing shows that it is served as it was trained: run the serve stage with engine: vllm.",
        )
    else:
        same = serve.prompt_mismatches == 0
        yield Condition(
            name="parity.prompts",
            estimate=serve.prompt_mismatches,
            threshold=0,
            n=serve.prompts,
            passed=same and serve.prompts > 0,
            text=f"{serve.prompt_mismatches} of {serve.prompts} prompts reached {serve.engine} with token ids other "
            f"than those of training{'' if same else ': the chat template or tokenizer differs'}.",
        )
    if serve is not None:
        allowed = min(evidence.max_answer_mismatches, serve.prompts // ANSWERS_PER_MISMATCH)
        yield Condition(
            name="parity.answers",
            estimate=serve.answer_mismatches,
            threshold=allowed,
            n=serve.prompts,
            passed=serve.answer_mismatches <= allowed,
            text=f"{serve.answer_mismatches} of {serve.prompts} served greedy answers differ from the evaluated ones; "
            f"{allowed} may.",
        )


def _seeds(evidence: Evidence) -> Iterator[Condition]:
    seeds, gain = evidence.seeds, evidence.candidates[0].gain
    if len(seeds.values) < 2 or gain is None:
        return
    above = sum(value > gain.reference_value for value in seeds.values.values())
    yield Condition(
        name="seeds",
        estimate=seeds.mean,
        low=seeds.low,
        high=seeds.high,
        threshold=gain.reference_value,
        n=gain.n,
        passed=above == len(seeds.values),
        required=False,
        text=f"{above} of {len(seeds.values)} seeds score above the best baseline, {gain.reference}; their mean "
        f"{gain.metric} is {percent(seeds.mean)}.",
    )
