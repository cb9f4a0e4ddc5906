"""The data stage: where rows come from, how they become conversations, and what was counted on the way."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from schemas.artifacts import Artifact, Inputs, Stored
from schemas.base import ArtifactRef, Digest, NotFingerprinted, Reference, RelativePath, Schema, Seed
from schemas.base import Split as Split
from schemas.preflight import Finding, PreflightConfig
from schemas.render import RenderConfig, RenderReport

RowFormat = Literal[
    "auto", "prompt_completion", "messages", "sharegpt", "alpaca", "preference", "unpaired", "text", "label"
]
Share = Annotated[float, Field(ge=0.0, lt=1.0)]


CHOSEN, REJECTED = ("chosen", "preferred_output"), ("rejected", "non_preferred_output")
"""Usual names of the columns with the better and the worse answer: TRL's and OpenAI's."""


class Columns(Schema):
    """Which column holds what; a name left out is found by its usual names.

    ``label`` is the answer of a classification row, and of an unpaired preference the verdict on its answer (true or
    false); rows of one ``group`` are not independent: they count as one in every test, and ``split.by: group`` keeps
    them in one split. ``input`` follows the prompt in its turn, and ``history`` (pairs of question and answer) stands
    before it, as in Alpaca's rows. ``system`` is a row's own system turn. ``language`` parts an evaluation's items.
    """

    prompt: str | None = None
    input: str | None = None
    history: str | None = None
    system: str | None = None
    completion: str | None = None
    messages: str | None = None
    chosen: str | None = None
    rejected: str | None = None
    text: str | None = None
    label: str | None = None
    group: str | None = None
    language: str | None = None
    tools: str | None = None


class Deduplicate(Schema):
    """Removal of repeated rows.

    ``exact`` is for rows that repeat another character by character; those that differ in case, white space or
    punctuation are near-duplicates. ``threshold`` is the Jaccard similarity of word-bigram sets from which rows are
    near-duplicates.
    """

    exact: bool = True
    near: bool = True
    threshold: Annotated[float, Field(gt=0.0, le=1.0)] = 0.8
    near_action: Literal["drop", "keep"] = "drop"


class SplitOptions(Schema):
    """How rows are parted. Shares are of all kept rows; what is left is for training.

    ``by``: ``random``; ``stratified`` by label; ``group`` by ``columns.group``; ``cluster`` keeps near-duplicates
    together (and stratifies by label where there is one).
    """

    validation: Share = 0.1
    test: Share = 0.2
    by: Literal["random", "stratified", "group", "cluster"] = "cluster"
    seed: Seed = 0

    @model_validator(mode="after")
    def _leaves_training_rows(self) -> SplitOptions:
        if self.validation + self.test >= 1.0:
            raise ValueError("validation and test together leave no rows for training")
        return self


class PersonalData(Schema):
    """What to do about personal data found in the text of rows.

    ``answers`` says what ``redact`` does with answers: ``stop`` replaces it in stray ones only and refuses where more
    than 1% of the rows answer with personal data, ``redact`` always replaces it, ``keep`` leaves answers as they are.
    """

    action: Literal["off", "report", "redact", "drop"] = "redact"
    answers: Literal["stop", "redact", "keep"] = "stop"
    kinds: tuple[Literal["email", "phone", "credit_card", "iban", "ip_address", "ssn"], ...] = (
        "email",
        "phone",
        "credit_card",
        "iban",
        "ip_address",
        "ssn",
    )


class BadRows(Schema):
    """``stop`` ends the run at the first pass with every bad row named.

    ``drop`` sets them aside, up to ``cap`` (a share of rows).
    """

    action: Literal["stop", "drop"] = "stop"
    cap: Annotated[float, Field(ge=0.0, le=1.0)] = 0.01


class DataOptions(Schema):
    """How files become rows, and rows become splits.

    ``format`` ``unpaired`` is said and never found: its columns are those of a question and answer with a label.
    ``prompt_template`` and ``completion_template`` are Jinja templates over a row's columns (``{{ text }}``).
    ``system`` opens every conversation. ``labels`` declares the allowed answers. ``contradictions`` says what
    happens to rows with the same prompt and different answers. ``decontaminate`` says what happens to training rows
    that ask what a row of a given validation or test file asks; those files keep all their rows.
    """

    format: RowFormat = "auto"
    columns: Columns = Columns()
    prompt_template: str | None = None
    completion_template: str | None = None
    system: str | None = None
    labels: tuple[str, ...] | None = None
    max_rows: Annotated[int, Field(gt=0)] | None = None
    bad_rows: BadRows = BadRows()
    contradictions: Literal["drop", "keep", "stop"] = "drop"
    decontaminate: Literal["drop", "report"] = "drop"
    deduplicate: Deduplicate = Deduplicate()
    personal_data: PersonalData = PersonalData()
    split: SplitOptions = SplitOptions()

    @property
    def is_grouped(self) -> bool:
        """Whether rows of one group are not independent; a column that is merely called group does not say so."""
        return self.split.by == "group" or self.columns.group is not None


class DataFiles(Schema):
    """The sources of one data set.

    Where ``test`` or ``validation`` is given, ``split`` does not cut it from ``train``.
    """

    train: Reference
    validation: Reference | None = None
    test: Reference | None = None


class DataConfig(Schema):
    """Config of the data stage.

    ``preflight`` looks for faults and leaves refusing to whoever reads the findings; without it, what may not be stops
    the stage. ``render`` adds the faults of tokens and masks. Neither changes a file of the artifact.
    """

    files: DataFiles
    options: DataOptions = DataOptions()
    render: RenderConfig | None = None
    preflight: PreflightConfig | None = None


class Message(Schema):
    """One turn. ``weight`` 0 keeps an assistant turn out of the loss. Tool calls follow OpenAI's shape."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str = ""
    weight: float | None = None
    name: str | None = None
    tool_calls: tuple[dict[str, Any], ...] | None = None
    tool_call_id: str | None = None
    reasoning_content: str | None = None

    def for_template(self) -> dict[str, Any]:
        """Return the message as chat templates expect it: no empty keys, no ``weight``."""
        return self.model_dump(exclude={"weight"}, exclude_none=True)


class Example(Schema):
    """One row of a split file (``<split>.jsonl``).

    A conversation ends with the assistant turn that is the answer. A preference has ``messages`` (the prompt) with
    ``chosen`` and ``rejected`` continuations. An unpaired preference is a conversation whose answer is ``desirable`` or
    not. A text row has ``text`` alone.

    ``id`` is stable: a digest of the content and its occurrence number. ``cluster`` joins near-duplicates and, where
    ``columns.group`` is declared or rows are split by group, the rows of a group (items of one cluster are not
    independent). ``near_train`` marks a test or validation row with a near-duplicate among training rows.
    """

    id: str
    row: int
    messages: tuple[Message, ...] = ()
    chosen: tuple[Message, ...] = ()
    rejected: tuple[Message, ...] = ()
    text: str | None = None
    tools: tuple[dict[str, Any], ...] | None = None
    label: str | None = None
    desirable: bool | None = None
    language: str | None = None
    cluster: int
    near_train: bool = False

    @property
    def prompt(self) -> tuple[Message, ...]:
        """The turns before the answer."""
        return self.messages[:-1] if self.messages and self.messages[-1].role == "assistant" else self.messages

    @property
    def answer(self) -> str:
        """The content of the last assistant turn; empty where there is none."""
        last = self.messages[-1] if self.messages else None
        return last.content if last is not None and last.role == "assistant" else ""


ExampleKind = Literal["conversation", "preference", "unpaired", "text"]


class DropCount(Schema):
    """How many rows one reason removed; ``examples`` are the first row numbers of the source file (1-based)."""

    reason: str
    count: int
    examples: tuple[int, ...] = ()


class DataArtifact(Artifact):
    """What the data stage leaves.

    Files: ``train.jsonl``, ``validation.jsonl``, ``test.jsonl`` (`Example` lines), ``dropped.jsonl`` (source row,
    reason), ``card.md``. ``rows`` counts kept rows per split, ``read`` all rows seen. ``leaked`` counts rows with
    the very words of a training row; ``conflicting_near_duplicates`` training rows with a near-duplicate that has
    another answer. ``preflight`` are the tokens of the training rows, null where they were not rendered; ``findings``
    what the preflight found, errors first: no later stage reads them. ``trained`` are the other data sets that held-out
    rows were compared with.
    """

    kind: ExampleKind
    read: int
    rows: dict[Split, int]
    dropped: tuple[DropCount, ...]
    labels: tuple[str, ...] | None
    personal_data: dict[str, int]
    leaked: dict[str, int]
    near_train_test_rows: int
    clusters: int
    conflicting_near_duplicates: int = 0
    encoding: dict[str, str]
    source_digest: str
    template_digest: Digest
    preflight: RenderReport | None = None
    findings: Annotated[tuple[Finding, ...], NotFingerprinted()] = ()
    files: dict[Split, RelativePath]
    trained: dict[str, ArtifactRef] = {}


class DataInputs(Inputs):
    """The data stage starts from files.

    ``trained`` are the other data sets that the model learns from, by name: those of the versions that its base comes
    from, and those that are replayed. Held-out rows that repeat their training rows are marked.
    """

    trained: dict[str, Stored[DataArtifact]] = {}
