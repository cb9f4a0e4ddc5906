"""The steps that remove rows, in their order; each takes drafts and gives those that stay, the ledger has the rest.

Rows of given validation and test files are never removed for being copies or contradictions: a score stays comparable
with others on the same file (see `pipeline.data.leakage`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pipeline.core.context import CallContext
from pipeline.core.errors import DataError
from pipeline.data.contradictions import contradictions
from pipeline.data.dedup import Copy, exact_copies, find_neighbors, near_copies
from pipeline.data.ledger import Ledger, Reason
from pipeline.data.names import listed, quoted
from pipeline.data.order import name_of, place
from pipeline.data.rows import Draft
from schemas.data import Deduplicate

_MOST_LABELS = 200
_LABEL_SHARE = 0.1
_MANY = 0.2
"""Share of rows from which a removal is worth a warning."""


@dataclass(frozen=True)
class Distinct:
    """The rows after the removal of copies: near-duplicate pairs and clusters as indexes into ``drafts``."""

    drafts: list[Draft]
    pairs: list[tuple[int, int, float]]
    clusters: list[int]
    conflicting: int


def limit_rows(drafts: list[Draft], limit: int | None, seed: int, ledger: Ledger) -> list[Draft]:
    """Keep a random draw of ``limit`` rows of the training file, in their order; a growing file changes few of them."""
    pool = [index for index, draft in enumerate(drafts) if draft.source == "train"]
    if limit is None or len(pool) <= limit:
        return drafts
    drawn = set(sorted(pool, key=lambda index: (place(name_of(drafts[index]), seed), index))[:limit])
    for index in pool:
        if index not in drawn:
            ledger.drop(drafts[index], "over_max_rows", with_content=False)
    return [draft for index, draft in enumerate(drafts) if draft.source != "train" or index in drawn]


def resolve_contradictions(drafts: list[Draft], action: str, ledger: Ledger, context: CallContext) -> list[Draft]:
    """Drop, keep or refuse training rows with the same prompt and different answers.

    Raises:
        DataError: there are some, ``action`` is ``stop``, and the ledger does not collect.
    """
    pool = [index for index, draft in enumerate(drafts) if draft.source == "train"]
    groups = [[pool[index] for index in group] for group in contradictions([drafts[index] for index in pool])]
    rows = sorted(index for group in groups for index in group)
    if not rows:
        return drafts
    told = f"{len(rows)} rows share {len(groups)} prompts with different answers"
    named = listed([f"rows {listed([drafts[index].row for index in group])}" for group in groups], separator="; ")
    if action == "stop":
        error = DataError(
            f"{told}: {named}", where="data.contradictions", fix="correct them, or set data.contradictions to drop"
        )
        ledger.stop(error, "contradiction")
    if action != "drop":
        for index in rows:
            ledger.note(drafts[index], "contradiction")
    if action == "stop":
        return drafts
    if action == "keep":
        context.warn(f"{told}; they are kept: {named}")
        return drafts
    context.warn(f"{told}; they are removed: {named}")
    for group in groups:
        others = ", ".join(str(drafts[index].row) for index in group)
        for index in group:
            ledger.drop(drafts[index], "contradiction", detail=f"rows {others}")
    gone = set(rows)
    return [draft for index, draft in enumerate(drafts) if index not in gone]


def name_labels(drafts: list[Draft]) -> list[Draft]:
    """Take the answer as the label where few different ones occur, so that splits can keep their shares.

    How many differ is told by the answers as they were given: placeholders for personal data are all alike.
    """
    answers = {draft.as_given.answer_text for draft in drafts if draft.source == "train"}
    rows = sum(draft.source == "train" for draft in drafts)
    is_conversation = all(draft.messages and not draft.chosen and draft.desirable is None for draft in drafts)
    is_labeled = any(draft.label is not None for draft in drafts)
    if is_labeled or not is_conversation or len(answers) > min(_MOST_LABELS, _LABEL_SHARE * rows):
        return drafts
    return [replace(draft, label=draft.answer_text) for draft in drafts]


def remove_copies(drafts: list[Draft], options: Deduplicate, ledger: Ledger, context: CallContext) -> Distinct:
    """Remove exact and near copies among the training rows, and find what is near what among all that stay.

    Raises:
        DataError: one row is left of many.
    """
    pool = [index for index, draft in enumerate(drafts) if draft.source == "train"]
    copies = exact_copies([drafts[index] for index in pool])
    if not options.exact:
        for copy in copies:
            ledger.note(drafts[pool[copy.index]], "exact_duplicate")
    else:
        drafts = _without(drafts, [_at(copy, pool) for copy in copies], "exact_duplicate", ledger)
        if copies and len(pool) - len(copies) == 1:
            raise DataError(
                f"all {len(pool)} rows are identical", where="data.path", fix="give rows that differ from each other"
            )
    neighbors = find_neighbors(drafts, options.threshold if options.near else None, context)
    training = [(a, b, s) for a, b, s in neighbors.pairs if drafts[a].source == drafts[b].source == "train"]
    copies, conflicting = near_copies(drafts, training, options.threshold)
    if not options.near or options.near_action == "keep":
        for copy in copies if options.near else ():
            ledger.note(drafts[copy.index], "near_duplicate")
        copies = []
    if len(copies) > _MANY * len(pool):
        context.warn(
            f"{len(copies)} of {len(pool)} rows are near-duplicates and are removed; if they only share a frame, "
            "set data.prompt_template to it so that it does not count, or raise data.deduplicate.threshold"
        )
    kept = _without(drafts, copies, "near_duplicate", ledger)
    gone = {copy.index for copy in copies}
    for index in conflicting:
        if index not in gone:
            ledger.note(drafts[index], "disagreeing_near_duplicates")
    return _reindexed(drafts, kept, gone, neighbors.pairs, neighbors.clusters, conflicting)


def check_labels(drafts: Sequence[Draft], context: CallContext) -> None:
    """Warn of labels that are tested and never trained."""
    trained = {draft.label for draft in drafts if draft.source == "train"}
    for source in ("validation", "test"):
        unseen = sorted(
            {draft.label or "" for draft in drafts if draft.source == source and draft.label not in trained}
        )
        if unseen:
            context.warn(f"labels of {source} without a training row: {quoted(unseen)}")


def _at(copy: Copy, pool: Sequence[int]) -> Copy:
    return Copy(pool[copy.index], pool[copy.original], copy.similarity)


def _without(drafts: list[Draft], copies: Sequence[Copy], reason: Reason, ledger: Ledger) -> list[Draft]:
    for copy in copies:
        detail = None if reason == "exact_duplicate" else f"similarity {copy.similarity:.3f}"
        ledger.drop(drafts[copy.index], reason, detail=detail, copy_of=drafts[copy.original].row)
    gone = {copy.index for copy in copies}
    return [draft for index, draft in enumerate(drafts) if index not in gone]


def _reindexed(
    drafts: list[Draft],
    kept: list[Draft],
    gone: set[int],
    pairs: Sequence[tuple[int, int, float]],
    clusters: Sequence[int],
    conflicting: Sequence[int],
) -> Distinct:
    """Carry pairs and clusters over to the rows that stay; rows joined by a removed one stay in one cluster."""
    place = {old: new for new, old in enumerate(index for index in range(len(drafts)) if index not in gone)}
    numbers: dict[int, int] = {}
    return Distinct(
        drafts=kept,
        pairs=[(place[a], place[b], s) for a, b, s in pairs if a in place and b in place],
        clusters=[numbers.setdefault(clusters[old], len(numbers)) for old in place],
        conflicting=sum(index in place for index in conflicting),
    )
