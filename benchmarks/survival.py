"""Kill a run at random moments and show that the same command finishes it, bit for bit, doing nothing twice.

One run goes through undisturbed. The same description is then run in another workspace and killed (SIGKILL) again and
again at random moments; at last it is let through. Compared are the content digests of all artifacts, weights included,
and the number of times each call finished.

    python -m benchmarks.survival [--kills 30] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from pipeline.control.runs import RunList
from pipeline.core.workspace import Store
from schemas.base import ArtifactRef

ATTEMPT_LIMIT = 600.0
"""Seconds after which an attempt that was not killed counts as hung."""


@dataclass(frozen=True)
class Survival:
    """What was seen. ``mismatched``: calls whose content differs; ``repeated``: calls that finished more than once."""

    kills: int
    attempts: int
    calls: int
    mismatched: tuple[str, ...]
    repeated: tuple[str, ...]
    undisturbed_seconds: float

    @property
    def met(self) -> bool:
        """Whether the killed run came to the same end as the undisturbed one, with nothing done twice."""
        return self.calls > 0 and not self.mismatched and not self.repeated


def command(spec: Path, workspace: Path) -> list[str]:
    """Return the command line of one attempt."""
    return [sys.executable, "-m", "local_runner.main", "run", str(spec), "--workspace", str(workspace), "--json"]


def run_once(spec: Path, workspace: Path, allowed: tuple[int, ...]) -> float:
    """Run to the end and return the seconds it took; raises where the exit code is not one of ``allowed``."""
    started = time.monotonic()
    done = subprocess.run(command(spec, workspace), capture_output=True, text=True, timeout=ATTEMPT_LIMIT, check=False)
    if done.returncode not in allowed:
        raise SystemExit(f"the run ended with {done.returncode}:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    return time.monotonic() - started


def kill_once(spec: Path, workspace: Path, seconds: float) -> bool:
    """Start the run and kill it after ``seconds``; return whether it was still running."""
    process = subprocess.Popen(command(spec, workspace), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.wait()
        return True
    return False


def contents(workspace: Path, run: str | None = None) -> dict[str, str]:
    """Return the content digest of every call of a run (the newest if left out), each file checked."""
    store = Store(workspace)
    return {
        name: store.verify(ArtifactRef(stage=call["stage"], fingerprint=call["fingerprint"])).content_digest
        for name, call in RunList(workspace).find(run).calls().items()
    }


def finishes(workspace: Path) -> dict[str, int]:
    """Return how often each call of the newest run finished."""
    counted: dict[str, int] = {}
    for event in RunList(workspace).find(None).events():
        if event.kind == "finished":
            counted[event.call_id] = counted.get(event.call_id, 0) + 1
    return counted


def survive(spec: Path, folder: Path, kills: int, seed: int, allowed: tuple[int, ...] = (0, 10)) -> Survival:
    """Measure; ``folder`` takes the workspaces.

    Moments are drawn from the undisturbed run's length, each from the start of its attempt. A workspace whose run came
    to its end between two kills is compared, and the next kills go to a fresh one.
    """
    plain = folder / "undisturbed"
    seconds = run_once(spec, plain, allowed)
    expected = contents(plain)
    draw = random.Random(seed)
    hits = attempts = 0
    mismatched: set[str] = set()
    repeated: set[str] = set()
    while hits < kills:
        workspace = folder / f"killed-{attempts}"
        ended = False
        while hits < kills and not ended:
            attempts += 1
            ended = not kill_once(spec, workspace, draw.uniform(0.3, 0.6 * seconds))
            hits += not ended
        run_once(spec, workspace, allowed)
        attempts += 1
        found = contents(workspace)
        mismatched |= {name for name in expected if expected[name] != found.get(name)}
        repeated |= {name for name, count in finishes(workspace).items() if count > 1}
    return Survival(
        kills=hits,
        attempts=attempts,
        calls=len(expected),
        mismatched=tuple(sorted(mismatched)),
        repeated=tuple(sorted(repeated)),
        undisturbed_seconds=round(seconds, 1),
    )


def main() -> int:
    """Run the benchmark; the exit status is 1 where the run did not survive."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    arguments = parser.parse_args()
    from tests.support.smoke import write_smoke

    with tempfile.TemporaryDirectory() as name:
        result = survive(write_smoke(Path(name)), Path(name), arguments.kills, arguments.seed)
    if arguments.json:
        arguments.json.write_text(json.dumps({**asdict(result), "met": result.met}, indent=2) + "\n")
    print(f"killed {result.kills} times; {result.calls} artifacts, {len(result.mismatched)} differ,")
    print(f"{len(result.repeated)} calls finished more than once (undisturbed: {result.undisturbed_seconds} s)")
    return 0 if result.met else 1


if __name__ == "__main__":
    sys.exit(main())
