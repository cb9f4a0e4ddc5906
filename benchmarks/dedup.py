"""Near-duplicate removal against datasketch's MinHashLSH(0.8, 128), on documents that this script makes.

    python -m benchmarks.dedup [--documents 100000] [--runs 5] [--json FILE]

Both get the same texts and return pairs of word-bigram Jaccard similarity >= 0.8. The exact answer comes from prefix
filtering (Chaudhuri, Ganti, Kaushik 2006, "A primitive operator for similarity joins"), which misses no pair. Each
measurement is a process of its own; the two take turns; medians over the runs are shown.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from random import Random

from pipeline.data.near import PERMUTATIONS, near_duplicate_pairs
from pipeline.data.text import words

THRESHOLD = 0.8
METHODS = ("hone", "datasketch")
TARGETS = {"recall": 0.99, "precision": 0.98, "speedup": 2.5}

_COPIED_SHARE = 0.3
_LENGTHS = (20, 80)
_VOCABULARY = 20_000

Pairs = set[tuple[int, int]]


@dataclass(frozen=True)
class Measured:
    """One method on one set of documents; recall and precision are of pairs."""

    method: str
    cpu_seconds: float
    peak_memory_mb: float
    recall: float
    precision: float
    pairs: int


def make_documents(count: int, seed: int) -> list[str]:
    """Return texts of 20-80 words, Zipf-distributed.

    3 of 10 are copies of an earlier text with up to 1 in 8 words replaced, so that their similarities to their
    originals reach from about 0.6 to 1, on both sides of the threshold.
    """
    random = Random(seed)
    vocabulary = [f"w{index}" for index in range(_VOCABULARY)]
    weights = [1 / (rank + 10) for rank in range(_VOCABULARY)]
    stream = iter(random.choices(vocabulary, weights, k=count * (_LENGTHS[1] + 10)))
    documents: list[list[str]] = []
    for _ in range(count):
        if documents and random.random() < _COPIED_SHARE:
            document = list(random.choice(documents))
            for _ in range(random.randint(0, len(document) // 8)):
                document[random.randrange(len(document))] = next(stream)
        else:
            document = [next(stream) for _ in range(random.randint(*_LENGTHS))]
        documents.append(document)
    return [" ".join(document) for document in documents]


def exact_pairs(texts: list[str]) -> Pairs:
    """Return every pair of similarity >= THRESHOLD.

    Two sets that similar share one of the ``n - ceil(0.8 n) + 1`` rarest shingles of each.
    """
    import math
    from collections import Counter, defaultdict

    sets = [_bigrams(text) for text in texts]
    frequency = Counter(shingle for shingles in sets for shingle in shingles)
    holders: dict[tuple[str, ...], list[int]] = defaultdict(list)
    found: Pairs = set()
    for index, shingles in enumerate(sets):
        rarest = sorted(shingles, key=lambda shingle: (frequency[shingle], shingle))
        prefix = rarest[: len(rarest) - math.ceil(THRESHOLD * len(rarest) - 1e-9) + 1]
        for other in {other for shingle in prefix for other in holders[shingle]}:
            shared = len(shingles & sets[other])
            if shared >= THRESHOLD * (len(shingles) + len(sets[other]) - shared) - 1e-9:
                found.add((other, index))
        for shingle in prefix:
            holders[shingle].append(index)
    return found


def _bigrams(text: str) -> frozenset[tuple[str, ...]]:
    found = words(text)
    return frozenset(pairwise(found)) if len(found) > 1 else frozenset({tuple(found)})


def run_hone(texts: list[str]) -> Pairs:
    """Return hone's pairs."""
    found = near_duplicate_pairs(texts, THRESHOLD)
    return set(zip(found.left.tolist(), found.right.tolist(), strict=True))


def run_datasketch(texts: list[str]) -> Pairs:
    """Return datasketch's pairs, by its documented use: one MinHash per text, inserted after it was asked for."""
    from datasketch import MinHash, MinHashLSH

    index = MinHashLSH(threshold=THRESHOLD, num_perm=PERMUTATIONS)
    found: Pairs = set()
    shingles = ([" ".join(pair).encode() for pair in _bigrams(text)] for text in texts)
    for number, signature in enumerate(MinHash.generator(shingles, num_perm=PERMUTATIONS, seed=1)):
        found |= {(other, number) for other in index.query(signature)}
        index.insert(number, signature)
    return found


RUNNERS: dict[str, Callable[[list[str]], Pairs]] = {"hone": run_hone, "datasketch": run_datasketch}


def measure(method: str, texts: list[str], truth: Pairs) -> Measured:
    """Measure one method in this process. Imports are done before the clock starts."""
    RUNNERS[method](texts[:200])
    before = time.process_time()
    found = RUNNERS[method](texts)
    cpu_seconds = time.process_time() - before
    peak = _peak_memory_mb()
    right = len(found & truth)
    return Measured(method, cpu_seconds, peak, right / max(len(truth), 1), right / max(len(found), 1), len(found))


def _peak_memory_mb() -> float:
    """Return this process's own peak; getrusage would count what its parent had when it forked."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def measure_apart(method: str, directory: Path) -> Measured:
    """Measure one method in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.dedup", "--measure", method, "--directory", str(directory)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return Measured(**json.loads(done.stdout))


def compare(documents: int, runs: int, seed: int) -> dict[str, Measured]:
    """Return the medians of each method."""
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder)
        texts = make_documents(documents, seed)
        (directory / "texts.json").write_text(json.dumps(texts))
        (directory / "truth.json").write_text(json.dumps(sorted(exact_pairs(texts))))
        measured: dict[str, list[Measured]] = {method: [] for method in METHODS}
        for _ in range(runs):
            for method in METHODS:
                measured[method].append(measure_apart(method, directory))
    return {method: _median(results) for method, results in measured.items()}


def _median(results: list[Measured]) -> Measured:
    first = results[0]
    return Measured(
        method=first.method,
        cpu_seconds=statistics.median(result.cpu_seconds for result in results),
        peak_memory_mb=statistics.median(result.peak_memory_mb for result in results),
        recall=first.recall,
        precision=first.precision,
        pairs=first.pairs,
    )


def main() -> int:
    """Run the benchmark; the exit status says whether the targets are met."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--documents", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="also write the result to this file")
    parser.add_argument("--measure", choices=METHODS, help=argparse.SUPPRESS)
    parser.add_argument("--directory", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        texts = json.loads((options.directory / "texts.json").read_text())
        truth = {(left, right) for left, right in json.loads((options.directory / "truth.json").read_text())}
        print(json.dumps(asdict(measure(options.measure, texts, truth))))
        return 0
    medians = compare(options.documents, options.runs, options.seed)
    return _report(medians, options)


def _report(medians: dict[str, Measured], options: argparse.Namespace) -> int:
    hone, other = medians["hone"], medians["datasketch"]
    speedup = other.cpu_seconds / hone.cpu_seconds
    met = {
        "recall": hone.recall >= TARGETS["recall"],
        "precision": hone.precision >= TARGETS["precision"],
        "speedup": speedup >= TARGETS["speedup"],
    }
    print(f"{options.documents:,} documents, medians of {options.runs} runs")
    print(f"{'method':<12}{'CPU s':>10}{'peak MB':>10}{'recall':>10}{'precision':>11}{'pairs':>10}")
    for row in medians.values():
        print(
            f"{row.method:<12}{row.cpu_seconds:>10.2f}{row.peak_memory_mb:>10.0f}{row.recall:>10.4f}"
            f"{row.precision:>11.4f}{row.pairs:>10,}"
        )
    print(f"datasketch takes {speedup:.1f} times the CPU-seconds of hone; targets met: {met}")
    if options.json:
        result = {
            "benchmark": "dedup",
            "documents": options.documents,
            "runs": options.runs,
            "seed": options.seed,
            "methods": {name: asdict(row) for name, row in medians.items()},
            "cpu_seconds_ratio": speedup,
            "targets": TARGETS,
            "met": met,
        }
        options.json.write_text(json.dumps(result, indent=2) + "\n")
    return 0 if all(met.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
