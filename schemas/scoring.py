"""What a run whose model scores answers may ask for: nothing that takes an answer of the model's own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from schemas.methods import METHODS

if TYPE_CHECKING:
    from schemas.run import RunSpec

PAIRWISE_ACCURACY = "pairwise_accuracy"
"""The metric of a run that trains a reward model, and of no other."""


def check_scoring(spec: RunSpec) -> None:
    """Refuse keys that do not go with what is trained.

    Raises:
        ValueError: they do not.
    """
    names = [metric.name for metric in spec.evaluate.metrics]
    if not METHODS[spec.train.method].scores:
        if PAIRWISE_ACCURACY in names:
            known = " or ".join(name for name, method in METHODS.items() if method.scores)
            raise ValueError(
                f"evaluate.metrics: {PAIRWISE_ACCURACY} is of a model that scores answers; name another metric, or set "
                f"train.method to {known}"
            )
        return
    if spec.serve is not False:
        raise ValueError("serve: a reward model scores answers and gives none, so it is not served as chat; set false")
    for key, told in _of_answers(spec):
        if told:
            raise ValueError(f"{key}: a reward model gives no answers; remove the key")
    if names and names != [PAIRWISE_ACCURACY]:
        raise ValueError(f"evaluate.metrics: a reward model is measured by {PAIRWISE_ACCURACY}; remove the others")
    if spec.evaluate.generation.backend != "transformers":
        raise ValueError("evaluate.generation.backend: answers are scored by transformers; remove the key")


def _of_answers(spec: RunSpec) -> Iterator[tuple[str, bool]]:
    evaluate, asked = spec.evaluate, spec.evaluate.baselines
    yield "variants", bool(spec.variants)
    yield "evaluate.measures", bool(evaluate.measures)
    yield "evaluate.judge", evaluate.judge is not None
    yield "evaluate.harness", bool(evaluate.harness)
    yield "evaluate.bias", bool(evaluate.bias)
    yield "evaluate.retention", bool(evaluate.retention)
    yield "evaluate.baselines.tfidf", asked.tfidf is True
    yield "evaluate.baselines.endpoint", asked.endpoint is not None
    yield "evaluate.baselines.instruction", asked.instruction is not None
    yield "evaluate.baselines.few_shot", asked.few_shot not in (0, type(asked).model_fields["few_shot"].default)
