"""What the numbers of a version cannot show, in words: for the first page of a report and for the model card."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.core.numbers import percent
from pipeline.report.wording import count, score_text
from schemas.data import DataArtifact
from schemas.evaluate import EvaluateArtifact
from schemas.register import Comparison
from schemas.serve import ServeArtifact
from schemas.train import TrainArtifact


def seed_limits(seeds: int) -> Iterator[str]:
    """Say that the spread between seeds is unknown where there is one."""
    if seeds == 1:
        yield "One seed was trained, so the spread between seeds is not known."


def answer_limits(tuned: EvaluateArtifact, metric: str, best: Comparison | None) -> Iterator[str]:
    """Say what the tuned model's test items hide: near-duplicates, cut answers, a baseline that does better."""
    near, clean = (tuned.slices.get(name, {}).get(metric) for name in ("near_train", "clean"))
    if near is not None and clean is not None:
        yield (
            f"Nearly repeating a training row: {count(near.n, 'test item')} of {tuned.n:,}; {metric} is "
            f"{score_text(near)} there and {score_text(clean)} elsewhere."
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


def forgetting_limits(waived: str | None, measured: bool) -> Iterator[str]:
    """Say where forgetting was waived or would go unnoticed."""
    if waived is not None:
        yield f"Forgetting was waived, in these words: {waived}"
    elif not measured:
        yield "What the base could do before was not measured, so forgetting would go unnoticed."


def training_limits(model: TrainArtifact) -> Iterator[str]:
    """Say which rows training left out or cut, and what had to be repaired."""
    if model.rendered.dropped_long:
        yield f"Left out as longer than max_length: {count(model.rendered.dropped_long, 'training row')}."
    if model.rendered.truncated:
        yield f"Cut at max_length: {count(model.rendered.truncated, 'training row')}."
    for repair in model.recoveries:
        yield f"Training was repaired at step {repair.step:,} ({repair.kind.replace('_', ' ')}): {repair.action}."


def serving_limits(serve: ServeArtifact | None) -> Iterator[str]:
    """Say where serving, or its parity with training, was not measured."""
    if serve is None:
        yield "The model was not served, so nothing shows that it answers there as it was evaluated."
    elif serve.prompt_mismatches is None:
        yield f"{serve.engine} returns no prompt token ids, so parity of the render was not measured."
