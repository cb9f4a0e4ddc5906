"""The bias stage: one probe of one model, before training or of what is served."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from schemas.artifacts import Artifact, Inputs, Stored
from schemas.base import NotFingerprinted, Reference, RelativePath, Schema, Seed, Slug
from schemas.base_model import BaseModelRef
from schemas.data import DataArtifact
from schemas.evaluate import BaseSubject, GenerationConfig, MetricSpec, ModelSubject, Score
from schemas.optimize import OptimizeArtifact
from schemas.train import TrainArtifact

Side = Literal["at most", "at least", "around 0", "around 50%"]
"""How a bound is read: see `within`."""


@dataclass(frozen=True)
class FigureKind:
    """A figure that a probe measures: its name in words, and on which side a bound of the gate holds it."""

    title: str
    side: Side = "at most"


FIGURES: Mapping[str, Mapping[str, FigureKind]] = {
    "bbq": {
        "ambiguous_bias": FigureKind("bias score, ambiguous contexts", "around 0"),
        "disambiguated_bias": FigureKind("bias score, disambiguated contexts", "around 0"),
        "ambiguous_accuracy": FigureKind("accuracy, ambiguous contexts", "at least"),
        "disambiguated_accuracy": FigureKind("accuracy, disambiguated contexts", "at least"),
    },
    "pairs": {
        "stereotype_share": FigureKind("more stereotyping sentence found likelier", "around 50%"),
        "stereotype_share_per_token": FigureKind("more stereotyping sentence found likelier per token", "around 50%"),
    },
    "counterfactual": {
        "changed_answers": FigureKind("answers that change when groups are swapped"),
        "score_difference": FigureKind("score on swapped prompts minus score on the originals", "around 0"),
    },
    "refusal": {
        "answered_harmful": FigureKind("prompts to be refused that were answered"),
        "refused_harmless": FigureKind("prompts to be answered that were refused"),
    },
    "toxicity": {"toxic_answers": FigureKind("answers that the classifier finds toxic")},
}
"""What each kind of probe measures, by the names that ``gate.bias`` uses."""


def within(score: Score, side: Side, bound: float) -> bool:
    """Tell whether a figure keeps its bound with its whole interval, so that few items cannot pass for many.

    ``at most`` and ``at least`` look at the end of the interval on that side; ``around 0`` holds both ends to
    [-bound, bound], and ``around 50%`` to [1 - bound, bound].
    """
    match side:
        case "at most":
            return score.high <= bound
        case "at least":
            return score.low >= bound
        case "around 0":
            return -bound <= score.low and score.high <= bound
        case "around 50%":
            return 1 - bound <= score.low and score.high <= bound


class ProbeOptions(Schema):
    """What every probe says.

    ``name`` is by default its kind. ``max_items`` takes a sample, drawn by ``evaluate.seed``: the same for every model.
    """

    name: Slug
    max_items: Annotated[int, Field(gt=0)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _named_by_its_kind(cls, value: Any) -> Any:
        return {"name": value.get("kind"), **value} if isinstance(value, dict) else value

    @property
    def paths(self) -> dict[str, str]:
        """The files and folders that it names, by their keys."""
        return {}

    @property
    def by_likelihood(self) -> bool:
        """Whether it asks how likely the model finds given texts, rather than for answers."""
        return False


class BbqProbe(ProbeOptions):
    """Questions of BBQ (Parrish et al. 2022) in its own JSON lines: ``path`` is a file, or a folder of them.

    ``answer_by``: the letter that the model gives, or which of the three answers it finds likeliest, in all or per
    token.
    """

    kind: Literal["bbq"]
    path: Annotated[str, NotFingerprinted()]
    answer_by: Literal["generation", "likelihood", "likelihood_per_token"] = "generation"

    @property
    def paths(self) -> dict[str, str]:
        """The file or folder."""
        return {"path": self.path}

    @property
    def by_likelihood(self) -> bool:
        """Whether answers are compared rather than generated."""
        return self.answer_by != "generation"


class PairsProbe(ProbeOptions):
    """Pairs of sentences as in CrowS-Pairs (Nangia et al. 2020): ``path`` is a file, or a folder of them."""

    kind: Literal["pairs"]
    path: Annotated[str, NotFingerprinted()]

    @property
    def paths(self) -> dict[str, str]:
        """The file or folder."""
        return {"path": self.path}

    @property
    def by_likelihood(self) -> bool:
        """Always."""
        return True


class CounterfactualProbe(ProbeOptions):
    """The test split's prompts with words of groups swapped, each pair both ways: ``[[he, she], [his, her]]``."""

    kind: Literal["counterfactual"]
    words: Annotated[tuple[tuple[str, str], ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _every_word_has_one_other(self) -> CounterfactualProbe:
        named = [word.casefold() for pair in self.words for word in pair]
        for word in named:
            if not word.strip() or word != word.strip():
                raise ValueError(f"words: {word!r} is no word")
            if named.count(word) > 1:
                raise ValueError(f"words: {word!r} is there twice, so that nobody could tell what stands for it")
        return self


class ClassifierOptions(Schema):
    """A sequence-classification model in a folder (safetensors only); above ``threshold`` its ``label`` is given."""

    path: Annotated[str, NotFingerprinted()]
    label: Annotated[str, Field(min_length=1)]
    threshold: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.5


class RefusalProbe(ProbeOptions):
    """Prompts that should be refused (``harmful``) and prompts that should not (``harmless``), a file each.

    ``max_items`` holds for each of them. A refusal is told by phrases (``patterns`` in place of hone's own), or by a
    classifier.
    """

    kind: Literal["refusal"]
    harmful: Annotated[str, NotFingerprinted()]
    harmless: Annotated[str, NotFingerprinted()]
    patterns: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    classifier: ClassifierOptions | None = None

    @model_validator(mode="after")
    def _told_in_one_way(self) -> RefusalProbe:
        if self.patterns and self.classifier is not None:
            raise ValueError("patterns: a refusal is told by them or by the classifier; keep one of the two")
        return self

    @property
    def paths(self) -> dict[str, str]:
        """Both files, and the classifier's folder."""
        told = {} if self.classifier is None else {"classifier.path": self.classifier.path}
        return {"harmful": self.harmful, "harmless": self.harmless, **told}


class ToxicityProbe(ProbeOptions):
    """Answers to ``prompts`` (a file) that a classifier finds toxic."""

    kind: Literal["toxicity"]
    prompts: Annotated[str, NotFingerprinted()]
    classifier: ClassifierOptions

    @property
    def paths(self) -> dict[str, str]:
        """The file, and the classifier's folder."""
        return {"prompts": self.prompts, "classifier.path": self.classifier.path}


BiasProbe = Annotated[
    BbqProbe | PairsProbe | CounterfactualProbe | RefusalProbe | ToxicityProbe, Field(discriminator="kind")
]


class BiasConfig(Schema):
    """Config of the bias stage: ``probe`` of ``subject``; ``files`` are what the probe names, by its keys.

    ``metric`` is what a counterfactual probe scores the answers by. ``chat_template`` is for a base that has none of
    its own. ``seed`` draws the sample of ``probe.max_items``.
    """

    subject: Annotated[BaseSubject | ModelSubject, Field(discriminator="kind")]
    base: BaseModelRef | None = None
    probe: BiasProbe
    files: dict[str, Reference] = {}
    metric: MetricSpec | None = None
    generation: GenerationConfig = GenerationConfig()
    chat_template: str | None = None
    seed: Seed = 0


class BiasInputs(Inputs):
    """``model`` is there for a `ModelSubject`, ``data`` for a counterfactual probe."""

    data: Stored[DataArtifact] | None = None
    model: Stored[TrainArtifact] | Stored[OptimizeArtifact] | None = None


class BiasArtifact(Artifact):
    """What the bias stage leaves: ``figures`` by their names in `FIGURES`, each with its 95% interval.

    A figure that nothing readable was said for is absent. ``groups`` holds the same figures for each group of items
    (BBQ's categories). ``n`` items were asked, of which ``unreadable`` have no readable answer and are in none of
    the figures; ``truncated`` answers were cut. ``data_digest`` is that of what was asked.

    Files: ``items.parquet``, one row per item: ``id, cluster, group, prompt, answer, finish_reason``, what the probe
    found in it, and as ``figure.<name>`` what it says for each figure, which is the mean of that column without nulls.
    """

    probe: Slug
    kind: str
    subject: str
    figures: dict[str, Score]
    groups: dict[str, dict[str, Score]]
    n: int
    unreadable: int
    truncated: int
    data_digest: str
    prompt_tokens: int
    completion_tokens: int
    engine: str
    items: RelativePath = "items.parquet"

    @property
    def unreadable_share(self) -> float:
        """The share of items without a readable answer."""
        return self.unreadable / self.n if self.n else 0.0
