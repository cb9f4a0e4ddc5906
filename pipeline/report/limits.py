"""What the numbers of a version cannot show, in words: for the first page of a report and for the model card."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pipeline.core.findings import finding_text
from pipeline.core.numbers import percent, points
from pipeline.core.variants import archived_note
from pipeline.report.wording import count, score_text
from schemas.data import DataArtifact
from schemas.evaluate import EvaluateArtifact
from schemas.optimize import Variant
from schemas.plan import PlanArtifact, PowerEstimate
from schemas.register import Comparison
from schemas.serve import ServeArtifact
from schemas.train import TrainArtifact


def first_items_limits(most: int | None) -> Iterator[str]:
    """Say that only a part of the test split was evaluated."""
    if most is not None:
        yield f"Only the first {count(most, 'test item')} were evaluated (evaluate.max_items)."


def split_limits(data: DataArtifact) -> Iterator[str]:
    """Say which test rows the model may know by heart: the very words of a training row, or nearly those."""
    rows, copies, near = (
        count(data.rows.get("test", 0), "test row"),
        data.leaked.get("test", 0),
        data.near_train_test_rows,
    )
    if copies or near:
        yield f"Of {rows}, {copies:,} have the very words of a training row and {near:,} nearly those."


def power_limits(power: PowerEstimate) -> Iterator[str]:
    """Say how small a gain the test split can show."""
    rows, assumed = count(power.test_rows, "test row"), f"(assumed baseline {percent(power.assumed_baseline)})"
    if power.minimum_detectable_gain is None:
        yield f"With about {rows}, no gain, however large, is likely to be found significant {assumed}."
    else:
        least = points(power.minimum_detectable_gain).lstrip("+")
        found = f"would be found in fewer than {percent(power.power)} of such runs"
        yield f"With about {rows}, a gain below {least} {found} {assumed}."


def seed_limits(seeds: int) -> Iterator[str]:
    """Say that the spread between seeds is unknown where there is one."""
    if seeds == 1:
        yield "One seed was trained, so the spread between seeds is not known."


def answer_limits(tuned: EvaluateArtifact, metric: str, best: Comparison | None = None) -> Iterator[str]:
    """Say what the tuned model's test items hide: near-duplicates, cut answers, a baseline that does better."""
    near, clean = (tuned.slices.get(name, {}).get(metric) for name in ("near_train", "clean"))
    if near is not None and clean is not None:
        yield (
            f"On the {count(near.n, 'test item')} that repeat or nearly repeat a training row, {metric} is "
            f"{score_text(near)}; on the others {score_text(clean)}."
        )
    if tuned.truncated:
        yield f"Cut at the length limit: {count(tuned.truncated, 'answer')} of {tuned.n:,}."
    if best is not None and best.difference < 0:
        yield f"The baseline {best.reference} does better than the tuned model: {percent(best.reference_value)}."


def data_limits(data: DataArtifact) -> Iterator[str]:
    """Say what the data stage added, removed and found."""
    yield "hone added no synthetic rows (0% of the training data); what the given files hold is for their owner to say."
    dropped = sum(item.count for item in data.dropped)
    if dropped:
        yield f"Removed before training: {count(dropped, 'row')} of {data.read:,}, counted by reason."
    found = ", ".join(f"{number:,} {kind.replace('_', ' ')}" for kind, number in data.personal_data.items() if number)
    if found:
        yield f"Personal data was found by patterns ({found}); patterns miss some."
    if data.conflicting_near_duplicates:
        noisy = count(data.conflicting_near_duplicates, "training row")
        yield f"Labels may be noisy: {noisy} nearly repeat another with a different answer."


def preflight_limits(data: DataArtifact) -> Iterator[str]:
    """Say which faults the description silences, and what else the preflight warned of."""
    for one in data.findings:
        if one.ignored:
            yield f"Ignored by the description (preflight.ignore), {one.code}: {finding_text(one)}."
    warned = [one for one in data.findings if one.severity == "warning" and not one.ignored]
    if warned:
        named = ", ".join(dict.fromkeys(one.code for one in warned))
        yield f"The preflight warned of {count(len(warned), 'fault')}: {named}."


def forgetting_limits(waived: str | None, measured: bool) -> Iterator[str]:
    """Say where forgetting was waived or would go unnoticed."""
    if waived is not None:
        yield f"Forgetting was waived, in these words: {waived}"
    elif not measured:
        yield "What the base could do before was not measured, so forgetting would go unnoticed."


def bias_limits(measured: bool) -> Iterator[str]:
    """Say where no probe was run."""
    if not measured:
        yield "Bias and safety were not measured (evaluate.bias)."


def budget_limits(plan: PlanArtifact) -> Iterator[str]:
    """Say which constraints the plan does not keep on GPUs; a machine that bills nothing holds to time alone."""
    for broken in plan.over_budget:
        yield f"Over budget on a GPU, by the plan (here nothing is billed, and only max_hours is held to): {broken}."


def training_limits(model: TrainArtifact) -> Iterator[str]:
    """Say which rows training left out or cut, who it learned from, what was repaired, where a reward may mislead."""
    rendered = model.rendered
    if rendered.dropped_long:
        left_out = count(rendered.dropped_long, "training row")
        yield f"Left out as longer than max_length: {left_out} of {rendered.rows:,}."
    if rendered.truncated:
        yield (
            f"Cut at max_length: {count(rendered.truncated, 'training row')} of {rendered.rows:,}; "
            f"{rendered.ended:,} of {rendered.kept:,} train the end of a turn."
        )
    if rendered.turns_left_out:
        yield f"Not trained (train.completion_only_loss): {count(rendered.turns_left_out, 'earlier assistant turn')}."
    if model.teacher is not None and model.taught is not None:
        told = model.taught
        yield (
            f"The training answers are those of {model.teacher.name}, not of the data: {told.kept:,} of its "
            f"{count(told.answers, 'answer')} to {count(told.questions, 'question')}."
        )
    elif model.teacher is not None:
        yield f"It was trained towards the probabilities of {model.teacher.name}, whatever is wrong with them."
    for repair in model.recoveries:
        yield f"Training was repaired at step {repair.step:,} ({repair.kind.replace('_', ' ')}): {repair.action}."
    for warning in model.rewards.warnings if model.rewards is not None else ():
        yield f"In training {warning.text}."


def archived_limits(variants: Iterable[Variant]) -> Iterator[str]:
    """Say which variants an archived library made, and that vLLM alone answered for them."""
    for variant in variants:
        if note := archived_note(variant):
            yield f"{note} Where another engine evaluated its parent, its loss includes what tells the two apart."


def serving_limits(serve: ServeArtifact | None) -> Iterator[str]:
    """Say where serving, or its parity with training, was not measured."""
    if serve is None:
        yield "The model was not served, so nothing shows that it answers there as it was evaluated."
    elif serve.prompt_mismatches is None:
        yield f"{serve.engine} returns no prompt token ids, so parity of the render was not measured."
