"""`hone data check`: a run's data stage carried out and told, with its rows as they will be trained.

The calls are the run's own, so the run finds them done; what is left is in the workspace's artifacts and nowhere else.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.control.session import Session
from pipeline.core.examples import read_examples
from pipeline.execute import load
from pipeline.flow import train_config
from pipeline.train.methods import check_kind
from schemas.artifacts import Stored
from schemas.data import DataArtifact, DropCount, Example, Split
from schemas.events import Event
from schemas.plan import PlanArtifact
from schemas.resolved import ResolvedRun

if TYPE_CHECKING:
    from rich.text import Text

_LABELS = 5
"""Labels that a line names from each end, the most and the least frequent."""

_LABEL_LENGTH = 30
"""Characters of a label that a line can name."""

FEW_ROWS = 10
"""Rows of a split below which the table warns."""

_SPARE = 4
"""Rows rendered for each that is shown: some may be too long and left out."""


@dataclass(frozen=True)
class Finding:
    """One line of the table. ``remark`` names rows or what follows; ``warns``: something to look at."""

    name: str
    value: str
    remark: str = ""
    warns: bool = False


@dataclass(frozen=True)
class DataCheck:
    """The checked data of a run. ``labels`` counts rows by split and label; ``retention`` has each task's data."""

    run: ResolvedRun
    plan: PlanArtifact
    data: Stored[DataArtifact]
    retention: Mapping[str, Stored[DataArtifact]]
    labels: Mapping[Split, Mapping[str, int]]

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
            "data": self.data.artifact.model_dump(mode="json"),
            "labels": {split: dict(counts) for split, counts in self.labels.items()},
            "retention": {name: found.artifact.model_dump(mode="json") for name, found in self.retention.items()},
        }


def check_data(
    session: Session, run: ResolvedRun, sink: Callable[[Event], None], cancelled: Callable[[], bool]
) -> DataCheck:
    """Carry out plan and data of a run, and read what they left.

    Raises:
        HoneError: whatever refuses the data; rows that the training method does not learn from included.
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
    """Return the lines of the table, in the order in which the data stage works."""
    artifact = check.data.artifact
    return [
        Finding("read", f"{artifact.read:,} rows", _encodings(artifact)),
        Finding("kept", f"{sum(artifact.rows.values()):,} rows", _splits(artifact)),
        *_few_rows(artifact),
        *(_dropped(drop) for drop in artifact.dropped),
        _personal(check),
        *_leaks(artifact),
        *_label_lines(check.labels),
        *_preflight(check),
        *(
            Finding(f"retention {name}", f"{sum(found.artifact.rows.values()):,} rows", _splits(found.artifact))
            for name, found in check.retention.items()
        ),
    ]


def _encodings(artifact: DataArtifact) -> str:
    named = sorted({encoding for encoding in artifact.encoding.values() if encoding != "-"})
    return f"as {', '.join(named)}" if named else ""


def _splits(artifact: DataArtifact) -> str:
    return ", ".join(f"{split} {rows:,}" for split, rows in artifact.rows.items())


def _few_rows(artifact: DataArtifact) -> list[Finding]:
    few = [f"{split} {artifact.rows.get(split, 0):,}" for split in ("train", "test") if _is_small(artifact, split)]
    if not few:
        return []
    return [Finding("few rows", ", ".join(few), f"fewer than {FEW_ROWS} teach or show next to nothing", warns=True)]


def _is_small(artifact: DataArtifact, split: Split) -> bool:
    return artifact.rows.get(split, 0) < FEW_ROWS


_REASONS = {
    "bad_row": "cannot be used",
    "over_max_rows": "over max_rows",
    "personal_data": "dropped for personal data",
    "contamination": "asked by validation or test",
    "contradiction": "contradictory answers",
    "exact_duplicate": "exact duplicates",
    "near_duplicate": "near duplicates",
}


def _dropped(drop: DropCount) -> Finding:
    more = ", …" if drop.count > len(drop.examples) else ""
    rows = f"rows {', '.join(map(str, drop.examples))}{more}" if drop.examples else ""
    name = _REASONS.get(drop.reason, drop.reason.replace("_", " "))
    return Finding(f"removed: {name}", f"{drop.count:,} rows", rows, warns=drop.reason != "over_max_rows")


def _personal(check: DataCheck) -> Finding:
    action = check.run.spec.data.personal_data.action
    if action == "off":
        return Finding("personal data", "not looked for", "data.personal_data.action is off")
    found = check.data.artifact.personal_data
    done = {"report": "left as it is", "redact": "replaced by its kind", "drop": "its rows dropped"}[action]
    if not found:
        return Finding("personal data", "none found", "looked for by patterns; names have none")
    kinds = ", ".join(f"{kind} {count:,}" for kind, count in found.items())
    return Finding("personal data", f"{sum(found.values()):,} found", f"{kinds}; {done}", warns=action == "report")


def _leaks(artifact: DataArtifact) -> list[Finding]:
    lines = [
        Finding(
            f"copies of training rows in {split}", f"{count:,} rows", "same words; kept and marked", warns=count > 0
        )
        for split, count in artifact.leaked.items()
    ]
    near, noisy = artifact.near_train_test_rows, artifact.conflicting_near_duplicates
    lines.append(Finding("test rows near training rows", f"{near:,} rows", "scored apart" if near else "", near > 0))
    if noisy:
        lines.append(Finding("near duplicates that disagree", f"{noisy:,} rows", "labels may be noisy", warns=True))
    return lines


def _label_lines(labels: Mapping[Split, Mapping[str, int]]) -> list[Finding]:
    return [
        Finding(f"labels in {split}", f"{len(counts):,} different", _label_text(counts))
        for split, counts in labels.items()
    ]


def _label_text(counts: Mapping[str, int]) -> str:
    """Name labels with their rows, the most frequent first; where they are long texts, only how unequal they are."""
    from pipeline.report.wording import clip

    if any(len(label) > _LABEL_LENGTH for label in counts):
        return f"{min(counts.values()):,} to {max(counts.values()):,} rows each"
    named = [f"{clip(label, _LABEL_LENGTH)} {count:,}" for label, count in counts.items()]
    return ", ".join(named if len(named) <= 2 * _LABELS else [*named[:_LABELS], "…", *named[-_LABELS:]])


def _preflight(check: DataCheck) -> list[Finding]:
    report = check.data.artifact.preflight
    if report is None:
        return [Finding("tokens and mask", "not checked", "the base gets its tokenizer when it is trained", warns=True)]
    cut = f", {report.truncated:,} cut" if report.truncated else ""
    return [
        Finding(
            "token lengths",
            f"median {report.median_length:.0f}",
            f"95% up to {report.p95_length:.0f}, longest {report.longest:,}, of at most {check.max_length:,}",
        ),
        Finding(
            "rows too long",
            f"{report.dropped_long:,} left out{cut}",
            "raise train.max_length" if report.dropped_long or report.truncated else "",
            warns=report.dropped_long + report.truncated > 0,
        ),
        Finding(
            "preflight",
            "passed",
            f"{report.kept:,} training rows, {report.trained_tokens:,} of {report.tokens:,} tokens trained "
            f"({report.trained_tokens / report.tokens:.1%})",
        ),
    ]


def masked_rows(check: DataCheck, count: int, *, color: bool) -> list[tuple[Example, Text]]:
    """Return the first ``count`` training rows as they are trained, the trained tokens set apart.

    Raises:
        ModelError: the base's tokenizer cannot be loaded.
        RenderError: a row cannot be rendered.
    """
    from local_runner.show_rows import masked_text
    from pipeline.render import render_examples
    from pipeline.train.tokenizer import choose_tokenizer
    from schemas.render import RenderOptions

    config = train_config(check.run, check.plan, check.run.spec.train.seeds[0])
    path = check.data.file(check.data.artifact.files["train"])
    trains_tokenizer = config.base.init is not None
    examples = read_examples(path, limit=None if trains_tokenizer else count * _SPARE)
    tokenizer = choose_tokenizer(config, examples, check.data.artifact.kind)
    options = RenderOptions.model_validate({name: getattr(config, name) for name in RenderOptions.model_fields})
    rendered = render_examples(examples[: count * _SPARE], tokenizer, options, config.max_length, source="train")
    pairs = zip(rendered.examples[:count], rendered.rows[:count], strict=True)
    return [(example, masked_text(row, tokenizer, color=color)) for example, row in pairs]
