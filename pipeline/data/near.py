"""Near-duplicate pairs of texts: MinHash bands propose them, the exact Jaccard similarity decides.

A text is the set of its word bigrams. Rows that share all values of one band of their MinHash signature are candidates
(Broder 1997; bands: Leskovec, Rajaraman, Ullman, Mining of Massive Datasets, section 3.4), so no pair below the
threshold is ever returned, and few above it are missed: see `bands_for`.
"""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count, pairwise
from typing import TYPE_CHECKING

from pipeline.core.context import CallContext
from pipeline.data.text import words

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PERMUTATIONS = 128
MISSED = 0.01
"""Chance of missing a pair whose similarity is just the threshold, at most (where 128 permutations allow it)."""

_SEED = 42
_CHUNK = 4096
_PAIRS_AT_ONCE = 200_000
_MAX_NEIGHBORS = 128
_BOILERPLATE_SHARE = 0.5
_BOILERPLATE_SAMPLE = 1000
_BOILERPLATE_ROWS = 100
_LONE = 0xFFFFFFFF


@dataclass(frozen=True)
class NearPairs:
    """Pairs of texts (``left[k] < right[k]``, sorted) and their Jaccard similarities."""

    left: NDArray[np.int64]
    right: NDArray[np.int64]
    similarity: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.left)

    def __iter__(self) -> Iterator[tuple[int, int, float]]:
        return zip(self.left.tolist(), self.right.tolist(), self.similarity.tolist(), strict=True)


@dataclass(frozen=True)
class ShingleSets:
    """The sets of all texts in one array: text ``i`` has ``keys[offsets[i]:offsets[i + 1]]`` (repeats possible)."""

    keys: NDArray[np.uint64]
    offsets: NDArray[np.int64]


def bands_for(threshold: float, permutations: int = PERMUTATIONS) -> tuple[int, int]:
    """Return bands and rows per band: as many rows as find a pair at ``threshold`` with chance `1 - MISSED`.

    A pair of similarity s shares a band with chance ``1 - (1 - s**rows)**bands``.
    """
    for rows in range(16, 1, -1):
        bands = permutations // rows
        if (1 - threshold**rows) ** bands <= MISSED:
            return bands, rows
    return permutations, 1


def near_duplicate_pairs(
    texts: Sequence[str], threshold: float, context: CallContext | None = None, *, skip_boilerplate: bool = True
) -> NearPairs:
    """Return the pairs of ``texts`` whose sets of word bigrams have a Jaccard similarity of at least ``threshold``.

    A text of one word is one shingle. Bigrams in more than half of 100 or more texts are boilerplate and do not count
    where ``skip_boilerplate``. In a group of more than 128 texts that share a band each is compared with the group's
    first and with the next 128 only, which still finds every member of a group of like texts.
    """
    context = context or CallContext()
    with context.progress("near-duplicates", len(texts)) as advance:
        sets = shingle_sets(texts, skip_boilerplate=skip_boilerplate)
        signatures = _signatures(sets, advance)
        candidates = _candidates(signatures, bands_for(threshold), context)
        return _verified(sets, candidates, threshold, context)


def shingle_sets(texts: Sequence[str], *, skip_boilerplate: bool) -> ShingleSets:
    """Return the word bigrams of each text as 64-bit keys, equal exactly where the bigrams are."""
    import numpy as np

    vocabulary: defaultdict[str, int] = defaultdict(count().__next__)
    ids = array("Q")
    lengths = np.empty(len(texts), dtype=np.int64)
    for index, text in enumerate(texts):
        found = words(text)
        ids.extend(map(vocabulary.__getitem__, found))
        if len(found) == 1:
            ids.append(_LONE)
        lengths[index] = max(len(found), 2) if found else 0
    flat = np.frombuffer(ids, dtype=np.uint64)
    counts = np.maximum(lengths - 1, 0)
    ends = np.cumsum(lengths)
    inside = np.ones(len(flat), dtype=bool)
    inside[ends[lengths > 0] - 1] = False
    starts = np.flatnonzero(inside)
    keys = (flat[starts] << np.uint64(32)) | flat[starts + 1] if len(starts) else flat[:0]
    sets = ShingleSets(keys, np.concatenate(([0], np.cumsum(counts))))
    return _without_boilerplate(sets) if skip_boilerplate and len(texts) >= _BOILERPLATE_ROWS else sets


def _without_boilerplate(sets: ShingleSets) -> ShingleSets:
    """Remove shingles that more than half of (a sample of) the texts have, except from texts that have no others."""
    import numpy as np

    total = len(sets.offsets) - 1
    sample = range(0, total, max(1, total // _BOILERPLATE_SAMPLE))
    seen = np.concatenate([np.unique(sets.keys[sets.offsets[i] : sets.offsets[i + 1]]) for i in sample])
    keys, frequency = np.unique(seen, return_counts=True)
    common = keys[frequency > _BOILERPLATE_SHARE * len(sample)]
    if not len(common):
        return sets
    kept = ~np.isin(sets.keys, common)
    owner = np.repeat(np.arange(total), np.diff(sets.offsets))
    kept_per_text = np.bincount(owner[kept], minlength=total)
    kept |= kept_per_text[owner] == 0
    sizes = np.bincount(owner[kept], minlength=total)
    return ShingleSets(sets.keys[kept], np.concatenate(([0], np.cumsum(sizes))))


def _signatures(sets: ShingleSets, advance: Callable[[int], None]) -> NDArray[np.uint32]:
    """MinHash signatures, shape (texts, PERMUTATIONS)."""
    import numpy as np
    from rensa import RMinHash

    total = len(sets.offsets) - 1
    values = array("I")  # four bytes, on every platform that Python and PyTorch share
    for start in range(0, total, _CHUNK):
        stop = min(start + _CHUNK, total)
        first, last = sets.offsets[start], sets.offsets[stop]
        rows = (sets.offsets[start : stop + 1] - first).astype(np.uint64)
        matrix = RMinHash.digest_matrix_from_flat_token_hashes(sets.keys[first:last], rows, PERMUTATIONS, _SEED)
        for row in matrix.to_rows():
            values.fromlist(row)
        advance(stop - start)
    return np.frombuffer(values, dtype=np.uint32).reshape(total, PERMUTATIONS)


def _candidates(signatures: NDArray[np.uint32], banding: tuple[int, int], context: CallContext) -> NDArray[np.int64]:
    """Return the pairs that share a band, each once and sorted, as ``left * texts + right``."""
    import numpy as np

    total = len(signatures)
    bands, rows = banding
    found = np.empty(0, dtype=np.int64)
    for band in range(bands):
        context.check()
        keys = mixed(signatures[:, band * rows : (band + 1) * rows])
        order = np.argsort(keys, kind="stable")
        found = np.union1d(found, _neighbors(keys[order], order, total))
    return found


def mixed(columns: NDArray[np.uint32]) -> NDArray[np.uint64]:
    """Return one 64-bit key per row (FNV-1a over 32-bit values); unlike rows have equal keys by chance only."""
    import numpy as np

    keys = np.full(len(columns), 0xCBF29CE484222325, dtype=np.uint64)
    for column in columns.T:
        keys = (keys ^ column) * np.uint64(0x100000001B3)
        keys ^= keys >> np.uint64(29)
    return keys


def _neighbors(keys: NDArray[np.uint64], order: NDArray[np.int64], total: int) -> NDArray[np.int64]:
    """Return the pairs within each run of equal ``keys``: each with the run's first, and with its nearest neighbors."""
    import numpy as np

    begins = np.flatnonzero(np.concatenate(([True], keys[1:] != keys[:-1])))
    first = np.repeat(begins, np.diff(np.concatenate((begins, [len(keys)]))))
    far = np.flatnonzero(np.arange(len(keys)) - first > _MAX_NEIGHBORS)
    pairs = [order[first[far]] * total + order[far]]
    at = np.arange(len(keys))
    for distance in range(1, _MAX_NEIGHBORS + 1):
        at = at[at + distance < len(keys)]
        at = at[keys[at] == keys[at + distance]]
        if not len(at):
            break
        pairs.append(order[at] * total + order[at + distance])
    return np.concatenate(pairs)


def _verified(sets: ShingleSets, candidates: NDArray[np.int64], threshold: float, context: CallContext) -> NearPairs:
    """Keep the candidates whose exact similarity reaches the threshold."""
    import numpy as np
    from scipy.sparse import csr_matrix

    total = len(sets.offsets) - 1
    left, right = candidates // total, candidates % total
    involved = np.unique(np.concatenate((left, right)))
    place = np.zeros(total, dtype=np.int64)
    place[involved] = np.arange(len(involved))
    sizes = np.diff(sets.offsets)[involved]
    slices = [sets.keys[sets.offsets[i] : sets.offsets[i + 1]] for i in involved]
    columns, indices = np.unique(np.concatenate([sets.keys[:0], *slices]), return_inverse=True)
    matrix = csr_matrix(
        (np.ones(len(indices), dtype=np.int32), indices, np.concatenate(([0], np.cumsum(sizes)))),
        shape=(len(involved), len(columns)),
    )
    matrix.sum_duplicates()
    matrix.data[:] = 1
    sizes = np.diff(matrix.indptr)
    kept = [np.empty(0, dtype=np.int64)]
    similarities = [np.empty(0)]
    bounds = [*range(0, len(left), _PAIRS_AT_ONCE), len(left)]
    for start, stop in pairwise(bounds):
        context.check()
        first, second = place[left[start:stop]], place[right[start:stop]]
        shared = np.asarray(matrix[first].multiply(matrix[second]).sum(axis=1)).ravel()
        similarity = shared / np.maximum(sizes[first] + sizes[second] - shared, 1)
        near = similarity >= threshold
        kept.append(np.flatnonzero(near) + start)
        similarities.append(similarity[near])
    chosen = np.concatenate(kept)
    return NearPairs(left[chosen], right[chosen], np.concatenate(similarities))


def similarity(left: str, right: str) -> float:
    """Return the Jaccard similarity of the word-bigram sets of two texts; 1 where neither has a word."""
    first, second = _bigrams(left), _bigrams(right)
    return len(first & second) / len(first | second) if first | second else 1.0


def _bigrams(text: str) -> set[tuple[str, ...]]:
    found = words(text)
    return set(pairwise(found)) if len(found) > 1 else {tuple(found)} - {()}
