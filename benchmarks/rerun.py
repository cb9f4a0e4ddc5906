"""Run a finished run again: zero stages are executed, in a few CPU-seconds.

    python -m benchmarks.rerun [--runs 5] [--json FILE]

The smoke run is carried out once; then the same command is run again in processes of its own.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.survival import command, run_once

TARGET_CPU_SECONDS = 4.0


@dataclass(frozen=True)
class Rerun:
    """Median CPU-seconds of the repeated command; calls executed over all repetitions, and reused by each."""

    runs: int
    cpu_seconds: float
    executed: int
    reused: int

    @property
    def met(self) -> bool:
        """Whether nothing was executed within the CPU-seconds allowed."""
        return self.executed == 0 and self.reused > 0 and self.cpu_seconds <= TARGET_CPU_SECONDS


def again(spec: Path, workspace: Path) -> tuple[float, int, int]:
    """Run the command; return its CPU-seconds, and how many calls it executed and reused."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    printed = subprocess.run(command(spec, workspace), capture_output=True, text=True, check=False).stdout
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    result = json.loads(printed)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return seconds, len(result["executed"]), len(result["reused"])


def measure(spec: Path, workspace: Path, runs: int) -> Rerun:
    """Finish the run in ``workspace`` and measure ``runs`` repetitions."""
    run_once(spec, workspace, (0, 10))
    results = [again(spec, workspace) for _ in range(runs)]
    return Rerun(
        runs=runs,
        cpu_seconds=round(statistics.median(seconds for seconds, _, _ in results), 2),
        executed=sum(executed for _, executed, _ in results),
        reused=min(reused for _, _, reused in results),
    )


def main() -> int:
    """Run the benchmark; the exit status is 1 where a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    arguments = parser.parse_args()
    from tests.support.smoke import write_smoke

    with tempfile.TemporaryDirectory() as name:
        result = measure(write_smoke(Path(name)), Path(name) / "workspace", arguments.runs)
    if arguments.json:
        arguments.json.write_text(json.dumps({**asdict(result), "met": result.met}, indent=2) + "\n")
    print(f"executed {result.executed}, reused {result.reused} calls in {result.cpu_seconds} CPU-s (median)")
    return 0 if result.met else 1


if __name__ == "__main__":
    sys.exit(main())
