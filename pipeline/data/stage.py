"""The data stage: files become split files of conversations; every row that is not kept is counted and set aside."""

from __future__ import annotations

import functools
import operator
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.core.context import CallContext
from pipeline.core.digests import DigestCache
from pipeline.core.errors import ConfigError, DataError
from pipeline.core.examples import write_examples
from pipeline.core.workspace import Workspace
from pipeline.data.backends import load_tokenizer, load_vocabulary
from pipeline.data.card import CardFacts, write_card
from pipeline.data.checks.gather import preflight
from pipeline.data.dedup import join_groups
from pipeline.data.examples import make_examples
from pipeline.data.filters import (
    Distinct,
    check_labels,
    limit_rows,
    name_labels,
    remove_copies,
    resolve_contradictions,
)
from pipeline.data.formats import format_digest, kind_of
from pipeline.data.leakage import Leakage, decontaminate, find_leakage
from pipeline.data.ledger import Dropped, Ledger
from pipeline.data.load import Loaded, check_bad_rows, load_source
from pipeline.data.names import quoted
from pipeline.data.order import name_of
from pipeline.data.personal_data import redact_value
from pipeline.data.prepared import Prepared
from pipeline.data.redaction import clean_personal_data
from pipeline.data.rows import Draft
from pipeline.data.split import assign_splits, make_units
from pipeline.data.trained import find_trained
from schemas.base import Reference, canonical_digest
from schemas.data import DataArtifact, DataConfig, DataInputs, DataOptions, Example, ExampleKind, Split
from schemas.preflight import Finding

if TYPE_CHECKING:
    from pipeline.render import Inspection


def run(config: DataConfig, inputs: DataInputs, context: CallContext, workspace: Workspace) -> DataArtifact:
    """Read, check, clean, part and write the data.

    Raises:
        SourceError, ConfigError, DataError, IntegrityError: a source, an option or rows are not as they must be.
        RenderError, ModelError: there is no tokenizer or chat template, or rows would train wrongly and no preflight is
            asked for.
    """
    prepared = _prepare(config, inputs, context)
    inspections = _inspect(config, prepared.examples, context)
    findings = preflight(config, prepared, inspections, context)
    artifact = _artifact(config, inputs, prepared, inspections, findings)
    _write(config.options, prepared, artifact, context, workspace)
    return artifact


def _prepare(config: DataConfig, inputs: DataInputs, context: CallContext) -> Prepared:
    options = config.options
    ledger = Ledger(collects=config.preflight is not None)
    loaded = _load(config, ledger, context)
    kind = _one_kind(loaded)
    for source in loaded:
        ledger.entries += [
            Dropped(source.role, row.number, "bad_row", row.reason, None, row.content) for row in source.bad
        ]
    drafts = [draft for source in loaded for draft in source.drafts]
    drafts = limit_rows(drafts, options.max_rows, options.split.seed, ledger)
    drafts, personal = clean_personal_data(drafts, options.personal_data, ledger, context)
    drafts = resolve_contradictions(drafts, options.contradictions, ledger, context)
    drafts = decontaminate(drafts, options.decontaminate, ledger, context)
    drafts = name_labels(drafts)
    distinct = remove_copies(drafts, options.deduplicate, ledger, context)
    check_labels(distinct.drafts, context)
    splits = _splits(config, distinct, loaded, context)
    leakage = find_leakage(distinct.drafts, splits, distinct.pairs)
    near = options.deduplicate.threshold if options.deduplicate.near else None
    trained = find_trained(distinct.drafts, splits, inputs.trained, near, context)
    if options.is_grouped:
        distinct = replace(distinct, clusters=join_groups(distinct.clusters, [row.group for row in distinct.drafts]))
    leaked = functools.reduce(operator.or_, trained.values(), leakage)
    _tell_leakage(leakage, distinct, splits, context)
    examples = make_examples(distinct, splits, leaked, options.split.seed)
    return Prepared(options, loaded, kind, ledger, personal, distinct, splits, leakage, trained, leaked, examples)


def _load(config: DataConfig, ledger: Ledger, context: CallContext) -> list[Loaded]:
    references: dict[Split, Reference | None] = {
        "train": config.files.train,
        "validation": config.files.validation,
        "test": config.files.test,
    }
    loaded = [
        load_source(reference, role, config.options, context)
        for role, reference in references.items()
        if reference is not None
    ]
    _stop_for_bad_rows(loaded, config.options, ledger)
    for source in loaded:
        unread = [split for split in source.others if references[split] is None]
        if unread:
            context.warn(
                f"{source.role} is read of {source.location}; {' and '.join(unread)} there "
                f"{'is' if len(unread) == 1 else 'are'} not: name it in data.{unread[0]}_path to use it"
            )
        if source.bad and not ledger.stops:
            context.warn(f"{len(source.bad)} of {source.read} rows of {source.role} cannot be used and are set aside")
        if source.unread_text:
            context.warn(
                f"columns of {source.role} hold text that nothing reads: {quoted(source.unread_text)}; "
                "to use one, name it in data.columns or write it into data.prompt_template"
            )
        if source.unread_keys:
            named = ", ".join(f"{key} ({count})" for key, count in sorted(source.unread_keys.items()))
            context.warn(f"turns of {source.role} have keys that nothing reads: {named}")
        if source.own_system:
            context.warn(
                f"{source.own_system} rows of {source.role} keep their own system turn; data.system is not used"
            )
    return loaded


def _stop_for_bad_rows(loaded: Sequence[Loaded], options: DataOptions, ledger: Ledger) -> None:
    """Stop for bad rows that may not be set aside, and for a file that has no others."""
    try:
        check_bad_rows(loaded, options.bad_rows)
    except DataError as error:
        if not all(source.drafts for source in loaded):
            raise
        ledger.stop(error, "unusable_row")


def _one_kind(loaded: Sequence[Loaded]) -> ExampleKind:
    kinds = {source.role: kind_of(source.layout.format) for source in loaded}
    if len(set(kinds.values())) > 1:
        told = ", ".join(f"{role} holds {kind} rows" for role, kind in kinds.items())
        raise DataError(f"the files differ: {told}", where="data.format", fix="give files of one format")
    return kinds["train"]


def _splits(config: DataConfig, distinct: Distinct, loaded: Sequence[Loaded], context: CallContext) -> list[Split]:
    """Return the split of each row: its file's where that is given, else cut from the training file."""
    options = config.options.split
    given = {source.role for source in loaded}
    wanted: dict[Split, float] = {"test": options.test, "validation": options.validation}
    shares = {split: share for split, share in wanted.items() if split not in given}
    pool = [index for index, draft in enumerate(distinct.drafts) if draft.source == "train"]
    drafts = [distinct.drafts[index] for index in pool]
    if not drafts:
        raise DataError("no row is left to train on", where="data", fix="see the counts of removed rows above")
    labels = [draft.label for draft in drafts] if options.by in ("stratified", "cluster") else [None] * len(drafts)
    if options.by == "stratified" and None in labels:
        raise ConfigError(
            "rows have no labels to stratify by",
            where="data.split.by",
            fix="declare data.labels or data.columns.label, or use cluster",
        )
    _check_several_labels(drafts, _labels_are_named(config.options, loaded), context)
    if any(share > 0 for share in shares.values()) and _labels_are_named(config.options, loaded):
        _check_lone_labels(labels)
    keys: Sequence[object] = range(len(pool))
    names = [name_of(draft) for draft in drafts]
    if options.by == "cluster":
        keys = [distinct.clusters[index] for index in pool]
    elif options.by == "group":
        keys = [draft.group for draft in drafts]
        names = [(draft.group or "", "") for draft in drafts]
    splits: list[Split] = [draft.source for draft in distinct.drafts]
    for index, split in zip(pool, assign_splits(make_units(keys, labels, names), shares, options.seed), strict=True):
        splits[index] = split
    return splits


def _labels_are_named(options: DataOptions, loaded: Sequence[Loaded]) -> bool:
    return options.labels is not None or loaded[0].layout.format == "label"


def _check_several_labels(drafts: Sequence[Draft], named: bool, context: CallContext) -> None:
    """Refuse one label for every row where labels are named; where they only look like labels, warn."""
    labels = {draft.label for draft in drafts}
    (label,) = labels if len(labels) == 1 else (None,)
    if label is None or len(drafts) == 1:
        return
    told = f"every one of {len(drafts)} rows has the answer {label!r}, so there is nothing to learn or to measure"
    if named:
        raise DataError(told, where="data.path", fix="add rows with other labels")
    context.warn(told)


def _check_lone_labels(labels: Sequence[str | None]) -> None:
    lone = sorted(label for label, count in Counter(labels).items() if count == 1 and label is not None)
    if lone:
        raise DataError(
            f"{'label' if len(lone) == 1 else 'labels'} {quoted(lone)} "
            f"{'has' if len(lone) == 1 else 'have'} one row, which cannot be both trained and tested",
            where="data.split.by",
            fix="add rows of it, remove it, or set data.split.by to random",
        )


def _tell_leakage(leakage: Leakage, distinct: Distinct, splits: Sequence[Split], context: CallContext) -> None:
    for split, count in leakage.copies(splits).items():
        if count:
            context.warn(f"{count} rows of {split} have the same words as a training row")
    near = sum(splits[index] == "test" for index in leakage.near)
    if near:
        context.warn(
            f"{near} test rows have a near-duplicate among the training rows; scores without them are shown apart"
        )
    if distinct.conflicting:
        context.warn(
            f"{distinct.conflicting} rows have a near-duplicate with another answer: their labels may be noisy"
        )


def _inspect(config: DataConfig, examples: dict[Split, list[Example]], context: CallContext) -> dict[Split, Inspection]:
    """Render every split, where there is a tokenizer, and say how many of its rows are too long.

    Raises:
        RenderError: rows would train wrongly, and no preflight is asked for that would say so.
    """
    from pipeline.render import inspect_examples

    render = config.render
    if render is None:
        return {}
    tokenizer, vocabulary = load_tokenizer(render), load_vocabulary(render)
    found: dict[Split, Inspection] = {}
    for split, rows in examples.items():
        context.check()
        options, length = render.options, render.max_length
        found[split] = inspect_examples(rows, tokenizer, options, length, source=split, vocabulary=vocabulary)
        if config.preflight is None:
            found[split].refuse(options, length, split)
        if found[split].long and options.long_rows != "stop":
            done = "cut" if options.long_rows == "truncate" else "left out"
            told = f"{len(found[split].long)} rows of {split} are longer than {length} tokens"
            context.warn(f"{told}: they are {done if split != 'test' else 'asked all the same, whole'}")
    return found


def _artifact(
    config: DataConfig,
    inputs: DataInputs,
    prepared: Prepared,
    inspections: Mapping[Split, Inspection],
    findings: tuple[Finding, ...],
) -> DataArtifact:
    options, train = config.options, prepared.loaded[0]
    drafts = prepared.distinct.drafts
    labels = options.labels
    if labels is None and _labels_are_named(options, prepared.loaded):
        labels = tuple(sorted({draft.label for draft in drafts if draft.label is not None}))
    return DataArtifact(
        kind=prepared.kind,
        read=sum(source.read for source in prepared.loaded),
        rows={split: len(rows) for split, rows in prepared.examples.items()},
        dropped=prepared.ledger.counts(),
        labels=labels,
        personal_data=dict(sorted(prepared.personal.found.items())),
        leaked=prepared.leaked.copies(prepared.splits),
        near_train_test_rows=sum(example.near_train for example in prepared.examples.get("test", [])),
        clusters=len(set(prepared.distinct.clusters)),
        conflicting_near_duplicates=prepared.distinct.conflicting,
        encoding={source.role: source.encoding for source in prepared.loaded},
        source_digest=_source_digest(prepared.loaded, config),
        template_digest=format_digest(train.layout.format, options),
        preflight=inspections["train"].report if "train" in inspections else None,
        findings=findings,
        files={split: f"{split}.jsonl" for split in prepared.examples},
        trained={name: stored.ref for name, stored in inputs.trained.items()},
    )


def _source_digest(loaded: Sequence[Loaded], config: DataConfig) -> str:
    digests: dict[str, str] = {}
    for source in loaded:
        reference: Reference = getattr(config.files, source.role)
        path = Path(reference.location)
        digests[source.role] = reference.digest or (DigestCache(None).digest(path) if path.exists() else "unresolved")
    return canonical_digest(digests)


def _write(
    options: DataOptions, prepared: Prepared, artifact: DataArtifact, context: CallContext, workspace: Workspace
) -> None:
    total = sum(artifact.rows.values())
    with context.progress("writing", total) as advance:
        for split, path in artifact.files.items():
            write_examples(workspace.file(path), prepared.examples[split])
            advance(artifact.rows[split])
    personal = options.personal_data

    def clean(value: Any) -> Any:
        return redact_value(value, personal.kinds, Counter()) if personal.action in ("redact", "drop") else value

    prepared.ledger.write(workspace.file("dropped.jsonl"), clean)
    layout = prepared.loaded[0].layout
    facts = CardFacts(
        artifact=artifact,
        options=options,
        row_format=layout.format,
        columns={str(slot): name for slot, name in layout.columns.items()},
        unused_columns=prepared.loaded[0].unread_columns,
        conflicting=prepared.distinct.conflicting,
        answers_with_personal_data=prepared.personal.answered.total(),
        label_counts=_label_counts(prepared.examples),
    )
    workspace.file("card.md").write_text(write_card(facts), encoding="utf-8", newline="\n")


def _label_counts(examples: dict[Split, list[Example]]) -> dict[Split, dict[str, int]]:
    counts = {split: Counter(row.label for row in rows if row.label is not None) for split, rows in examples.items()}
    return {split: dict(count) for split, count in counts.items()} if any(counts.values()) else {}
