"""Run every benchmark and write what was measured as one page.

    python -m benchmarks.all --out docs/results.md [--only dedup rerun] [--figures FOLDER]

Each benchmark is a process of its own that writes its figures as JSON; the page is made of those and of nothing else.
FOLDER keeps what was measured, so that an interrupted round goes on.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from pipeline.core.version import CODE_VERSION
from pipeline.core.workspace import write_atomic

IMAGES = Path("docs/images")


@dataclass(frozen=True)
class Benchmark:
    """A benchmark: its module, what it shows, what is asked of it, and arguments beside ``--json``.

    ``plot`` says in words what the plot that it writes shows; where there is none, it is empty.
    """

    name: str
    title: str
    target: str
    arguments: tuple[str, ...] = ()
    plot: str = ""

    def command(self, figures: Path) -> list[str]:
        """Return the command that writes its figures, and its plot beside the page's other images."""
        plot = ["--plot", str(IMAGES / f"{self.name}.png")] if self.plot else []
        return [sys.executable, "-m", f"benchmarks.{self.name}", "--json", str(figures), *self.arguments, *plot]


BENCHMARKS = (
    Benchmark(
        "dedup",
        "Near-duplicate removal against datasketch MinHashLSH(0.8, 128), 100,000 documents",
        "recall at Jaccard >= 0.8 at least .99, precision at least .98, at least 2.5 times fewer CPU-seconds",
    ),
    Benchmark(
        "statistics",
        "Tests and intervals on simulated data sets of which the truth is known",
        "type-I error at most 6.5% at the 5% level (bootstrap and permutation at least 3.5%), 95% intervals that cover "
        "93% to 97%, and at least 93% where counts are small",
        plot="gains found against the true gain: 300 independent items, and about 390 in 60 clusters",
    ),
    Benchmark(
        "gate",
        "The gate's decision on simulated models of which the truth is known",
        "a model no better is promoted in at most 5% of 2,000 trials, one with the planned gain in at least 80% at the "
        "planned size, and a variant 5 points worse is caught in at least 95%",
    ),
    Benchmark(
        "train_overhead",
        "The train stage against a plain TRL script with the same settings",
        "at most 5% more CPU-seconds",
    ),
    Benchmark("rerun", "A finished run, run again", "zero calls executed, at most 4 CPU-seconds"),
    Benchmark(
        "survival",
        "SIGKILL at 30 random moments of a run",
        "the same content digests and weights as undisturbed, no finished call done twice",
    ),
    Benchmark(
        "real_data",
        "A base from CLINC150 and SNIPS, tuned on Banking77, all 3,080 test rows",
        "at least 70% exact match, and the forgetting of CLINC150 refused by the gate",
        ("--docs", "docs"),
    ),
    Benchmark(
        "forgetting",
        "Methods against forgetting: a base from CLINC150 and SNIPS, tuned on Banking77",
        "one method keeps 90% of the base's score on CLINC150 at no more than 3 points of Banking77's, over 3 seeds, "
        "and the gate then promotes",
        plot="accuracy on Banking77 against what is kept of CLINC150, a mark for each method and seed",
    ),
    Benchmark(
        "monitor",
        "Alarms of `hone monitor` on CLINC150 and Banking77, where nothing changed and where shifts were planted",
        "an alarm in at most 5% of 1,000 windows in which nothing changed, at the 5% level, and in at least 90% of "
        "those with a shift, at the default 1%: each of CLINC150's ten domains arriving, Banking77 arriving, requests "
        "out of scope rising from 5% to 25%",
        ("--docs", "docs/monitoring.md"),
    ),
    Benchmark(
        "gateway",
        "The gateway with a rollout, keys and capture against a bare aiohttp pass-through and LiteLLM proxy",
        "at most 1.5 times the median latency that the pass-through adds, to the first streamed byte too, and at least "
        "8 times LiteLLM's requests per second at 32 clients; the interpreter with `litellm[proxy]` is named by "
        "`HONE_LITELLM_PYTHON`",
    ),
)


def run(benchmark: Benchmark, folder: Path) -> tuple[int, dict[str, Any]]:
    """Run one benchmark, unless ``folder`` has its result; return its exit status and its figures."""
    kept, figures = folder / f"{benchmark.name}.result.json", folder / f"{benchmark.name}.json"
    if not kept.is_file():
        status = subprocess.run(benchmark.command(figures), check=False).returncode
        found = json.loads(figures.read_text()) if figures.is_file() else {}
        write_atomic(kept, json.dumps({"status": status, "figures": found}))
    result = json.loads(kept.read_text())
    return result["status"], result["figures"]


def flatten(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the figures as (dotted name, plain value)."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from flatten(item, f"{path}.{key}" if path else str(key))
    else:
        yield path, value


def section(benchmark: Benchmark, status: int, figures: dict[str, Any]) -> str:
    """Return the section of one benchmark."""
    lines = [
        f"## {benchmark.title}",
        "",
        f"Target: {benchmark.target}. **{'Met' if status == 0 else 'Not met'}.**",
        f"Command: `python -m benchmarks.{benchmark.name}`.",
        "",
        *([f"![{benchmark.plot}](images/{benchmark.name}.png)", ""] if benchmark.plot else []),
        "| figure | value |",
        "|---|---|",
    ]
    for name, value in flatten(figures):
        shown = f"{value:.4g}" if isinstance(value, float) else json.dumps(value) if isinstance(value, list) else value
        lines.append(f"| {name} | {shown} |")
    return "\n".join(lines) + "\n"


def page(sections: list[str]) -> str:
    """Return the whole page."""
    day = datetime.now(UTC).date().isoformat()
    memory = psutil.virtual_memory().total / 2**30
    head = (
        "# Results of the benchmarks\n\n"
        f"Generated by `python -m benchmarks.all` on {day} with hone {CODE_VERSION}: {os.cpu_count()} cores, "
        f"{memory:.0f} GiB, no GPU. Times are of a shared machine; ratios are of processes that took turns.\n"
    )
    return "\n".join([head, *sections])


def main() -> int:
    """Run the benchmarks; the exit status is 1 where a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="write the page to this file")
    parser.add_argument("--only", nargs="+", choices=[benchmark.name for benchmark in BENCHMARKS])
    parser.add_argument(
        "--figures", type=Path, help="keep the figures here; a benchmark that has some is not run again"
    )
    arguments = parser.parse_args()
    chosen = [benchmark for benchmark in BENCHMARKS if not arguments.only or benchmark.name in arguments.only]
    with tempfile.TemporaryDirectory() as name:
        folder = arguments.figures or Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        results = [(benchmark, *run(benchmark, folder)) for benchmark in chosen]
    text = page([section(*result) for result in results])
    if arguments.out:
        write_atomic(arguments.out, text)
    else:
        print(text)
    return int(any(status for _, status, _ in results))


if __name__ == "__main__":
    sys.exit(main())
