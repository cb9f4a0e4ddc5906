"""The judge stage: a language model compares two subjects' answers to the same items, or is compared with people."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from schemas.artifacts import Artifact, Inputs, Stored
from schemas.base import Digest, NotFingerprinted, Reference, RelativePath, Schema, Seed
from schemas.evaluate import EvaluateArtifact, Score

CRITERIA = (
    "Prefer the answer that is correct, does what is asked and nothing else, and is no longer than it needs to be."
)


class JudgeOptions(Schema):
    """A judge behind an OpenAI-compatible address, and how it is asked; the key is a secret's name, never its value.

    ``ties``: whether it may call two answers equally good. ``show_reference``: whether it sees the expected answer.
    ``max_items`` takes a sample, drawn by ``seed``. ``concurrency`` bounds requests under way; ``timeout_seconds`` is
    for one of them.
    """

    base_url: str
    model: str
    api_key_secret: str | None = None
    criteria: Annotated[str, Field(min_length=1)] = CRITERIA
    ties: bool = True
    show_reference: bool = False
    max_new_tokens: Annotated[int, Field(gt=0)] = 512
    temperature: Annotated[float, Field(ge=0.0)] = 0.0
    max_items: Annotated[int, Field(gt=0)] | None = None
    seed: Seed = 0
    concurrency: Annotated[int, Field(ge=1, le=32), NotFingerprinted()] = 8
    timeout_seconds: Annotated[float, Field(gt=0.0), NotFingerprinted()] = 120.0


class JudgeSpec(JudgeOptions):
    """`evaluate.judge:`: ``template`` is a file in place of the prompt that comes with hone, ``labels`` a file or
    folder of pairs that people have judged, against which the judge is measured.
    """

    template: Annotated[str | None, NotFingerprinted()] = None
    labels: Annotated[str | None, NotFingerprinted()] = None


class JudgeConfig(JudgeOptions):
    """Config of the judge stage. ``labels`` given: the judge is measured against people, and there are no inputs.

    ``candidate`` and ``baseline`` name the inputs; ``related`` are the models under test and their bases.
    """

    template: Reference | None = None
    labels: Reference | None = None
    candidate: str = ""
    baseline: str = ""
    related: tuple[str, ...] = ()
    alpha: Annotated[float, Field(gt=0.0, lt=0.5)] = 0.05
    resamples: Annotated[int, Field(ge=1000)] = 10_000


class JudgeInputs(Inputs):
    """Two evaluations of the same items; none where the judge is measured against people."""

    candidate: Stored[EvaluateArtifact] | None = None
    baseline: Stored[EvaluateArtifact] | None = None

    @model_validator(mode="after")
    def _two_or_none(self) -> JudgeInputs:
        if (self.candidate is None) != (self.baseline is None):
            raise ValueError("a judge compares two evaluations; give both candidate and baseline")
        return self


class Preference(Schema):
    """Whose answers are preferred: (wins + ties / 2) / n with its interval; ``p_value`` against one half.

    ``clusters`` counts the clusters of near-duplicates, null where every item is its own.
    """

    n: int
    clusters: int | None
    wins: int
    losses: int
    ties: int
    value: float
    low: float
    high: float
    p_value: float
    test: str
    interval: str


class Biases(Schema):
    """What moves a judge beside the answers; null where nothing could be counted.

    ``inconsistent``: items whose verdict changed with the order, which count as ties. ``first_shown``: decided verdicts
    for the answer that stood first. ``longer``: decided items of unequal length that went to the longer answer;
    ``people_longer`` the same of people's verdicts on the same items.
    """

    inconsistent: Score | None
    first_shown: Score | None
    longer: Score | None
    people_longer: Score | None = None


class Agreement(Schema):
    """The judge against people on ``n`` pairs: ``kappa`` is Cohen's, null where everything is one verdict."""

    n: int
    same: Score
    kappa: Score | None


class JudgeArtifact(Artifact):
    """What the judge stage leaves: ``preference`` of two subjects' answers, or ``agreement`` with people.

    Files: ``judgements.parquet``, two rows per item, one for each order: ``id, cluster, order, verdict, preferred,
    reason, raw, requests, prompt_tokens, completion_tokens, outcome, label``. ``identical`` items had the same answer
    twice and are ties that nobody was asked about; ``unjudged`` ones got no readable verdict in an order, and are in
    none of the figures. ``self_preference`` names what the judge is, where it is a model under test or its base.
    """

    model: str
    candidate: str
    baseline: str
    criteria: str
    template_digest: Digest
    items: int
    identical: int
    unjudged: int
    preference: Preference | None
    agreement: Agreement | None
    biases: Biases
    self_preference: str | None
    requests: int
    prompt_tokens: int
    completion_tokens: int
    judgements: RelativePath = "judgements.parquet"

    @property
    def unjudged_share(self) -> float:
        """The share of items without a readable verdict."""
        return self.unjudged / self.items if self.items else 0.0
