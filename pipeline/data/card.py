"""The dataset card: what is in the splits, what was removed and why, in Markdown with Hugging Face front matter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from schemas.data import DataArtifact, DataOptions, Split

_SIZES: Final = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))

_REASONS: Final = {
    "bad_row": "could not be used",
    "over_max_rows": "not drawn (`max_rows`)",
    "personal_data": "held personal data",
    "contradiction": "same prompt, different answers",
    "contamination": "same prompt as a validation or test row",
    "exact_duplicate": "copy of an earlier row",
    "near_duplicate": "nearly a copy of an earlier row",
}


@dataclass(frozen=True)
class CardFacts:
    """What the card tells beyond the artifact."""

    artifact: DataArtifact
    options: DataOptions
    row_format: str
    columns: dict[str, str]
    unused_columns: tuple[str, ...]
    conflicting: int
    answers_with_personal_data: int
    label_counts: dict[Split, dict[str, int]] = field(default_factory=dict)


def write_card(facts: CardFacts) -> str:
    """Return the card's Markdown. It depends on nothing but ``facts``: no date, no path."""
    artifact = facts.artifact
    parts = [
        _front_matter(artifact),
        "# Dataset card\n",
        _introduction(facts),
        _columns(facts),
        "## Splits\n",
        _table(("split", "rows", "copies of training rows"), _split_rows(artifact)),
        _split_words(facts),
        "## Removed rows\n",
        _removed(artifact),
        "## Personal data\n",
        _personal(facts),
        "## Labels\n",
        _labels(facts),
    ]
    return "\n".join(part for part in parts if part)


def _front_matter(artifact: DataArtifact) -> str:
    total = sum(artifact.rows.values())
    size = next((name for limit, name in _SIZES if total < limit), "n>1M")
    lines = ["---", "configs:", "- config_name: default", "  data_files:"]
    for split, path in artifact.files.items():
        lines += [f"  - split: {split}", f"    path: {path}"]
    task = "text-classification" if artifact.labels else "text-generation"
    return "\n".join([*lines, "size_categories:", f"- {size}", "task_categories:", f"- {task}", "---\n"])


def _introduction(facts: CardFacts) -> str:
    kept, artifact = sum(facts.artifact.rows.values()), facts.artifact
    return f"{kept:,} rows of kind *{artifact.kind}*, from {artifact.read:,} rows read as `{facts.row_format}`.\n"


def _columns(facts: CardFacts) -> str:
    read = ", ".join(f"{slot} from `{name}`" for slot, name in facts.columns.items())
    unused = ", ".join(f"`{name}`" for name in facts.unused_columns)
    return (f"Columns: {read}." if read else "") + (f" Not read: {unused}." if unused else "") + "\n"


def _split_rows(artifact: DataArtifact) -> list[tuple[str, str, str]]:
    return [
        (split, f"{rows:,}", "" if split == "train" else f"{artifact.leaked.get(split, 0):,}")
        for split, rows in artifact.rows.items()
    ]


def _split_words(facts: CardFacts) -> str:
    artifact, options = facts.artifact, facts.options
    near = f"{artifact.near_train_test_rows:,} test rows have a near-duplicate among the training rows (`near_train`)"
    how = f"Near-duplicates share {options.deduplicate.threshold:g} of their word bigrams (Jaccard) or more"
    if not options.deduplicate.near:
        how = "Near-duplicates were not looked for; rows with the same words count as such"
    return (
        f"\nCut by `{options.split.by}` with seed {options.split.seed}. {how}; all rows form {artifact.clusters:,} "
        f"clusters. {near}; {facts.conflicting:,} rows have a near-duplicate with another answer.\n"
    )


def _removed(artifact: DataArtifact) -> str:
    if not artifact.dropped:
        return "None.\n"
    rows = [
        (_REASONS.get(drop.reason, drop.reason), f"{drop.count:,}", ", ".join(map(str, drop.examples)))
        for drop in artifact.dropped
    ]
    return _table(("reason", "rows", "first row numbers"), rows) + "\nEach is in `dropped.jsonl` with its reason.\n"


def _personal(facts: CardFacts) -> str:
    action = facts.options.personal_data.action
    if action == "off":
        return "Not looked for.\n"
    found = facts.artifact.personal_data
    done = {"report": "left as it is", "redact": "replaced by its kind", "drop": "its rows removed"}[action]
    if not found:
        return f"Looked for {', '.join(facts.options.personal_data.kinds)} by patterns; none found.\n"
    rows = [(kind, f"{count:,}") for kind, count in found.items()]
    is_kept = action == "redact" and facts.options.personal_data.answers == "keep"
    kept = " and are left as they are" if is_kept and facts.answers_with_personal_data else ""
    return (
        _table(("kind", "found"), rows)
        + f"\nFound by patterns and {done}; {facts.answers_with_personal_data:,} of these were in answers{kept}. "
        "Names of people have no form that a pattern finds.\n"
    )


def _labels(facts: CardFacts) -> str:
    counts = facts.label_counts
    if not counts:
        return "None.\n"
    splits = list(counts)
    names = sorted({name for split in splits for name in counts[split]})
    rows = [(f"`{_cell(name)}`", *(f"{counts[split].get(name, 0):,}" for split in splits)) for name in names]
    return _table(("label", *splits), rows)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ").replace("`", "'")


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(header) + " |", "|" + " --- |" * len(header)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)]) + "\n"
