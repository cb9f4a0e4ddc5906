"""Counterfactual swaps: does an answer change when only the group that a prompt names does?

After Kusner et al. (Counterfactual Fairness, NeurIPS 2017) in the form of Garg et al. (Counterfactual Fairness in Text
Classification through Robustness, AIES 2019): the words of one group are replaced by those of another. The answer to
the original prompt is swapped as well before it is compared, so that an answer which merely repeats the word is no
change; so is the reference, for the metric.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from pipeline.core.errors import ConfigError, DataError
from pipeline.evaluate.backends import Completion
from pipeline.evaluate.bias.probing import Found, Probing
from pipeline.evaluate.bias.swap import Swap
from pipeline.evaluate.items import Item, load_items
from pipeline.evaluate.prompts import Task
from pipeline.evaluate.scoring import load_metrics, score_items
from schemas.bias import CounterfactualProbe
from schemas.evaluate import BaseSubject


@dataclass(frozen=True)
class Twin:
    """An item of the split and the same with the words of groups swapped, each with its answer and score.

    ``expected`` is the original's answer with the words swapped: what the other has to be, to be no change.
    """

    item: Item
    swapped: Item
    answers: tuple[str, str]
    expected: str
    scores: tuple[float, float]

    @property
    def silent(self) -> bool:
        """Whether nothing was answered to either."""
        return not any(answer.strip() for answer in self.answers)

    @property
    def changed(self) -> bool:
        """Whether the answer is another, the words of groups aside."""
        return self.expected.strip() != self.answers[1].strip()


def probe_counterfactual(probe: CounterfactualProbe, probing: Probing) -> Found:
    """Ask the test items that name a group, as they are and swapped.

    Raises:
        ConfigError: there are no test items, or no metric.
        DataError: no prompt holds any of the words.
    """
    data, metric = probing.data, probing.config.metric
    if data is None or metric is None:
        raise ConfigError("there are no items", where="inputs.data", fix="name a data artifact and a metric")
    swap = Swap(probe.words)
    pairs = probing.sample(list(_affected(load_items(data, "test"), swap)), probe.max_items)
    if not pairs:
        raise DataError(
            "no prompt of the test split holds any of the words",
            where=f"evaluate.bias.{probe.name}.words",
            fix="name words that the prompts use, or remove the probe",
        )
    items = [item for item, _ in pairs]
    both = [*items, *(swapped for _, swapped in pairs)]
    subject = probing.config.subject
    task = Task(subject.instruction) if isinstance(subject, BaseSubject) else Task()
    completions, answers, engine = probing.ask_items(both, task, "items")
    scorer = load_metrics([metric], data.artifact.labels)[metric.name]
    scores = score_items(scorer, both, answers)
    half = len(items)
    twins = [
        Twin(*pair, said, swap(said[0]), rated)
        for pair, said, rated in zip(
            pairs,
            zip(answers[:half], answers[half:], strict=True),
            zip(scores[:half], scores[half:], strict=True),
            strict=True,
        )
    ]
    return Found(
        rows=_rows(twins, completions),
        values=swap_values(twins),
        asked=[item.text for item in both],
        engine=engine,
        completions=completions,
    )


def swap_values(twins: Sequence[Twin]) -> dict[str, list[float | None]]:
    """Return whether each answer changed, and how much its score did; nothing where nothing was answered."""
    return {
        "changed_answers": [None if twin.silent else float(twin.changed) for twin in twins],
        "score_difference": [None if twin.silent else twin.scores[1] - twin.scores[0] for twin in twins],
    }


def _affected(items: Sequence[Item], swap: Swap) -> Iterator[tuple[Item, Item]]:
    """Yield the items whose prompt names a group, each with its twin; what the model is told beside stays."""
    for item in items:
        prompt = tuple(message.model_copy(update={"content": swap(message.content)}) for message in item.prompt)
        if prompt != item.prompt:
            yield item, replace(item, prompt=prompt, reference=swap(item.reference))


def _rows(twins: Sequence[Twin], completions: Sequence[Completion]) -> list[dict[str, object]]:
    return [
        {
            "id": twin.item.id,
            "cluster": twin.item.cluster,
            "group": None,
            "prompt": twin.item.text,
            "answer": first.text,
            "finish_reason": first.finish_reason,
            "swapped_prompt": twin.swapped.text,
            "swapped_answer": second.text,
            "changed": twin.changed,
            "score": twin.scores[0],
            "swapped_score": twin.scores[1],
        }
        for twin, first, second in zip(twins, completions[: len(twins)], completions[len(twins) :], strict=True)
    ]
