"""`hone data check`: a run's data stage carried out and told, with its rows as they will be trained.

The calls are the run's own, so the run finds them done; what is left is in the workspace's artifacts and nowhere else.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.control.refusal import refusal
from pipeline.control.session import Session
from pipeline.core.errors import DataError
from pipeline.core.examples import read_examples
from pipeline.core.findings import ordered, refusing
from pipeline.execute import load
from pipeline.flow import train_config
from pipeline.train.methods import check_kind
from schemas.artifacts import Stored
from schemas.data import DataArtifact, Example, Split
from schemas.events import Event
from schemas.faults import FAULTS
from schemas.plan import PlanArtifact
from schemas.preflight import Finding
from schemas.resolved import ResolvedRun

if TYPE_CHECKING:
    from rich.text import Text

_LABELS = 5
"""Labels that a line names from each end, the most and the least frequent."""

_LABEL_LENGTH = 30
"""Characters of a label that a line can name."""

_SPARE = 4
"""Rows rendered for each that is shown: some may be too long and left out."""


@dataclass(frozen=True)
class Fact:
    """One line about the data."""

    name: str
    value: str
    remark: str = ""


@dataclass(frozen=True)
class DataCheck:
    """The checked data of a run. ``labels`` counts rows by split and label; ``retention`` has each task's data."""

    run: ResolvedRun
    plan: PlanArtifact
    data: Stored[DataArtifact]
    retention: Mapping[str, Stored[DataArtifact]]
    labels: Mapping[Split, Mapping[str, int]]

    @property
    def refusal(self) -> DataError | None:
        """Why a run would not go on with this data; None where it would."""
        return refusal(self.data.artifact, self.run)

    @property
    def max_length(self) -> int:
        """The training length in tokens."""
        return self.plan.decisions.max_length

    def as_json(self) -> dict[str, Any]:
        """Return everything as JSON data."""
        return {
            "run": self.run.run_id(),
            "artifact": str(self.data.path),
            "max_length": self.max_length,
            "error": None if self.refusal is None else self.refusal.record().model_dump(mode="json"),
            "findings": [
                {**one.model_dump(mode="json"), "what": FAULTS[one.code].what, "fix": FAULTS[one.code].fix}
                for one in findings(self)
            ],
            "data": self.data.artifact.model_dump(mode="json"),
            "labels": {split: dict(counts) for split, counts in self.labels.items()},
            "retention": {name: found.artifact.model_dump(mode="json") for name, found in self.retention.items()},
        }


def check_data(
    session: Session, run: ResolvedRun, sink: Callable[[Event], None], cancelled: Callable[[], bool]
) -> DataCheck:
    """Carry out plan and data of a run, and read what they left.

    Raises:
        HoneError: whatever leaves no data to look at; rows that the training method does not learn from included.
    """
    made = session.try_out(run, "data", sink, cancelled)
    data = load(session.store, made["data"])
    check_kind(run.spec.train.method, data.artifact.kind, "data")
    retention = {
        name.removeprefix("data.retention-"): load(session.store, ref)
        for name, ref in made.items()
        if name.startswith("data.retention-")
    }
    return DataCheck(run, load(session.store, made["plan"]).artifact, data, retention, _label_counts(data))


def _label_counts(data: Stored[DataArtifact]) -> dict[Split, dict[str, int]]:
    counts: dict[Split, dict[str, int]] = {}
    for split, path in data.artifact.files.items():
        counter = Counter(example.label for example in read_examples(data.file(path)) if example.label is not None)
        if counter:
            counts[split] = dict(counter.most_common())
    return counts


def findings(check: DataCheck) -> list[Finding]:
    """Return what the preflight found, errors first."""
    return ordered(check.data.artifact.findings)


def facts(check: DataCheck) -> list[Fact]:
    """Return what is known of the data besides, in the order in which the data stage works."""
    artifact = check.data.artifact
    return [
        Fact("read", f"{artifact.read:,} rows", _encodings(artifact)),
        Fact("kept", f"{sum(artifact.rows.values()):,} rows", _splits(artifact)),
        *(Fact("over max_rows", f"{drop.count:,} rows") for drop in artifact.dropped if drop.reason == "over_max_rows"),
        _personal(check),
        *_label_lines(check.labels),
        *_lengths(check),
        _verdict(artifact),
        *(
            Fact(f"retention {name}", f"{sum(found.artifact.rows.values()):,} rows", _splits(found.artifact))
            for name, found in check.retention.items()
        ),
    ]


def _encodings(artifact: DataArtifact) -> str:
    named = sorted({encoding for encoding in artifact.encoding.values() if encoding != "-"})
    return f"as {', '.join(named)}" if named else ""


def _splits(artifact: DataArtifact) -> str:
    return ", ".join(f"{split} {rows:,}" for split, rows in artifact.rows.items())


def _personal(check: DataCheck) -> Fact:
    action = check.run.spec.data.personal_data.action
    if action == "off":
        return Fact("personal data", "not looked for", "data.personal_data.action is off")
    found = check.data.artifact.personal_data
    if not found:
        return Fact("personal data", "none found", "looked for by patterns; names have none")
    return Fact(
        "personal data",
        f"{sum(found.values()):,} found",
        ", ".join(f"{kind} {count:,}" for kind, count in found.items()),
    )


def _label_lines(labels: Mapping[Split, Mapping[str, int]]) -> list[Fact]:
    return [
        Fact(f"labels in {split}", f"{len(counts):,} different", _label_text(counts))
        for split, counts in labels.items()
    ]


def _label_text(counts: Mapping[str, int]) -> str:
    """Name labels with their rows, the most frequent first; where they are long texts, only how unequal they are."""
    from pipeline.report.wording import clip

    if any(len(label) > _LABEL_LENGTH for label in counts):
        return f"{min(counts.values()):,} to {max(counts.values()):,} rows each"
    named = [f"{clip(label, _LABEL_LENGTH)} {count:,}" for label, count in counts.items()]
    return ", ".join(named if len(named) <= 2 * _LABELS else [*named[:_LABELS], "…", *named[-_LABELS:]])


def _lengths(check: DataCheck) -> list[Fact]:
    report = check.data.artifact.preflight
    if report is None:
        return [Fact("tokens and mask", "not checked", _why_unchecked(check))]
    return [
        Fact(
            "token lengths",
            f"median {report.median_length:.0f}",
            f"95% up to {report.p95_length:.0f}, longest {report.longest:,}, of at most {check.max_length:,}",
        ),
        Fact(
            "trained tokens",
            f"{report.trained_tokens / report.tokens:.1%}",
            f"{report.trained_tokens:,} of {report.tokens:,} in {report.kept:,} training rows",
        ),
    ]


def _why_unchecked(check: DataCheck) -> str:
    if check.run.base.weights is None:
        return "the base gets its tokenizer when it is trained; its rows are checked then"
    return "no training row can be used"


def _verdict(artifact: DataArtifact) -> Fact:
    from pipeline.report.wording import count

    errors = len(refusing(artifact.findings))
    warnings = sum(one.severity == "warning" and not one.ignored for one in artifact.findings)
    ignored = sum(one.ignored for one in artifact.findings)
    told = count(warnings, "warning") + (f", {ignored:,} ignored (preflight.ignore)" if ignored else "")
    return Fact("preflight", f"refuses the run: {count(errors, 'error')}" if errors else "passed", told)


def masked_rows(check: DataCheck, count: int, *, color: bool) -> list[tuple[Example, Text]]:
    """Return the first ``count`` training rows as they are trained, the trained tokens set apart.

    Raises:
        ModelError: the base's tokenizer cannot be loaded.
        RenderError: there is no chat template.
    """
    from local_runner.show_rows import masked_text
    from pipeline.render import inspect_examples
    from pipeline.train.tokenizer import choose_tokenizer
    from schemas.render import RenderOptions

    config = train_config(check.run, check.plan, check.run.spec.train.seeds[0])
    path = check.data.file(check.data.artifact.files["train"])
    trains_tokenizer = config.base.init is not None
    examples = read_examples(path, limit=None if trains_tokenizer else count * _SPARE)
    tokenizer = choose_tokenizer(config, examples, check.data.artifact.kind)
    options = RenderOptions.model_validate({name: getattr(config, name) for name in RenderOptions.model_fields})
    rendered = inspect_examples(examples[: count * _SPARE], tokenizer, options, config.max_length, source="train")
    pairs = zip(rendered.examples[:count], rendered.rows[:count], strict=True)
    return [(example, masked_text(row, tokenizer, color=color)) for example, row in pairs]
