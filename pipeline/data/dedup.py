"""Which repeated rows go, and which rows belong together: exact copies, near-duplicates, clusters."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from pipeline.core.context import CallContext
from pipeline.data.contradictions import answer_key, prompt_key
from pipeline.data.near import near_duplicate_pairs, similarity
from pipeline.data.rows import Draft, spoken
from pipeline.data.text import words


@dataclass(frozen=True)
class Copy:
    """Row ``index`` repeats row ``original`` (both indexes into the list of drafts), with this similarity."""

    index: int
    original: int
    similarity: float = 1.0


@dataclass(frozen=True)
class Neighborhood:
    """The near-duplicates of a list of drafts: pairs of indexes, and the cluster of each draft.

    A cluster is everything that pairs join, numbered by its first row.
    """

    pairs: list[tuple[int, int, float]]
    clusters: list[int]


def exact_copies(drafts: Sequence[Draft]) -> list[Copy]:
    """Return the rows whose prompt and answer repeat an earlier row's, but for white space at their ends."""
    first: dict[Hashable, int] = {}
    copies = []
    for index, draft in enumerate(drafts):
        original = first.setdefault((prompt_key(draft), answer_key(draft), draft.label), index)
        if original != index:
            copies.append(Copy(index, original))
    return copies


def find_neighbors(drafts: Sequence[Draft], threshold: float | None, context: CallContext) -> Neighborhood:
    """Return which rows ask nearly the same; without a ``threshold`` only rows with the very same words do.

    Rows are compared as they were given: what differs only in personal data that was replaced stays different.
    """
    texts = _compared([draft.as_given for draft in drafts])
    pairs = _same_words(texts) if threshold is None else list(near_duplicate_pairs(texts, threshold, context))
    return Neighborhood(pairs, _clusters(len(drafts), pairs))


def join_groups(clusters: Sequence[int], groups: Sequence[str | None]) -> list[int]:
    """Return ``clusters`` with the rows of a group in one: neither are independent of each other."""
    first: dict[tuple[str, Hashable], int] = {}
    pairs = [
        (first.setdefault(key, index), index, 1.0)
        for index, (cluster, group) in enumerate(zip(clusters, groups, strict=True))
        for key in (("cluster", cluster), ("group", group))
        if key != ("group", None)
    ]
    return _clusters(len(clusters), pairs)


def near_copies(
    drafts: Sequence[Draft], pairs: Sequence[tuple[int, int, float]], threshold: float
) -> tuple[list[Copy], list[int]]:
    """Return the rows to remove, and the rows with a near-duplicate that has another answer (noise in the labels).

    In order of rows, a row goes if an earlier row that stays asks nearly the same and answers the same: each removed
    row is within the threshold of one that is kept. Rows that answer differently both stay.
    """
    earlier: dict[int, list[tuple[int, float]]] = {}
    conflicting: set[int] = set()
    for left, right, likeness in pairs:
        if _same_answer(drafts[left], drafts[right], threshold):
            earlier.setdefault(right, []).append((left, likeness))
        elif not drafts[left].chosen and drafts[left].desirable is None:  # a prompt may have several of both
            conflicting |= {left, right}
    gone: set[int] = set()
    copies = []
    for index in sorted(earlier):
        kept = [(likeness, -original) for original, likeness in earlier[index] if original not in gone]
        if kept:
            likeness, original = max(kept)
            gone.add(index)
            copies.append(Copy(index, -original, likeness))
    return copies, sorted(conflicting)


def _compared(drafts: Sequence[Draft]) -> list[str]:
    """Return the text by which each row is compared: what it asks.

    The system turn counts where most rows have one of their own: a document, say, under one question for all.
    """
    systems = ["\n".join(spoken(turn) for turn in draft.prompt if turn.role == "system") for draft in drafts]
    is_own = 2 * len(set(systems)) > len(drafts)
    return [
        f"{system}\n{draft.prompt_text}" if is_own else draft.prompt_text
        for system, draft in zip(systems, drafts, strict=True)
    ]


def _same_answer(left: Draft, right: Draft, threshold: float) -> bool:
    """Whether two rows answer the same, as they were given; the label decides where the row was given with one."""
    if left.label != right.label or left.desirable != right.desirable:
        return False
    if left.as_given.label is not None or answer_key(left) == answer_key(right):
        return True
    return similarity(left.as_given.answer_text, right.as_given.answer_text) >= threshold


def _same_words(texts: Sequence[str]) -> list[tuple[int, int, float]]:
    first: dict[tuple[str, ...], int] = {}
    pairs = []
    for index, text in enumerate(texts):
        original = first.setdefault(tuple(words(text)), index)
        if original != index:
            pairs.append((original, index, 1.0))
    return pairs


def _clusters(count: int, pairs: Sequence[tuple[int, int, float]]) -> list[int]:
    """Return the connected component of each index, numbered from 0 by first index (union-find, path halving)."""
    parent = list(range(count))

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index

    for left, right, _ in pairs:
        first, second = sorted((root(left), root(right)))
        parent[second] = first
    numbers: dict[int, int] = {}
    return [numbers.setdefault(root(index), len(numbers)) for index in range(count)]
