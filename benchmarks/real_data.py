"""The chain on real data: a base from CLINC150 and SNIPS, LoRA on Banking77, and what the gate says of forgetting.

    python -m benchmarks.real_data [DATA] [--folder FOLDER] [--docs docs] [--json FILE]

DATA (left out: $HONE_DATA, then ../shared/data) holds clinc150/, snips_nlu/ and banking77/. A 1M-parameter base is
pretrained from nothing on utterance to label, then tuned on Banking77's training file and tested on all 3,080 test
rows. FOLDER keeps the workspace, so that an interrupted chain goes on. With ``--docs`` the reports are written there.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from examples.real_data.prepare import prepare
from pipeline.core.workspace import write_atomic

GATE_FAILED = 10
TARGET = 0.70
TEST_ROWS = 3080


@dataclass(frozen=True)
class Chain:
    """What was measured, as shares. ``retention_refused``: the gate's condition on the base's own task failed."""

    test_rows: int
    exact_match: float
    exact_match_low: float
    exact_match_high: float
    clean: float
    near_train: float
    tfidf: float
    base_own_task_before: float
    base_own_task_after: float
    retention_refused: bool
    verdict: str

    @property
    def met(self) -> bool:
        """Whether the tuned model reaches the target on every test row and its forgetting was refused."""
        return (
            self.test_rows == TEST_ROWS
            and self.exact_match >= TARGET
            and self.retention_refused
            and self.verdict == "refused"
        )


def run(folder: Path, name: str) -> dict[str, Any]:
    """Carry out one description in ``folder`` and return its report.

    Raises:
        SystemExit: it ended in another way than promoted or refused.
    """
    command = [
        sys.executable,
        "-m",
        "local_runner.main",
        "run",
        str(folder / name),
        "-w",
        str(folder / ".hone"),
        "--json",
    ]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode not in (0, GATE_FAILED):
        raise SystemExit(f"{name} ended with {done.returncode}: {done.stdout[-3000:]}")
    report = Path(json.loads(done.stdout)["summary"]["report"]).with_suffix(".json")
    value: dict[str, Any] = json.loads(report.read_text(encoding="utf-8"))
    value["path"] = str(report)
    return value


def _score(report: dict[str, Any], subject: str, metric: str) -> dict[str, Any]:
    found = next(item for item in report["subjects"] if item["name"] == subject)
    value: dict[str, Any] = found["scores"][metric]
    return value


def measure(report: dict[str, Any]) -> Chain:
    """Return the figures of the Banking77 report."""
    tuned = next(item for item in report["subjects"] if item["role"] == "tuned")
    score = tuned["scores"]["exact_match"]
    tfidf = next(item for item in report["subjects"] if "tfidf" in item["name"] or "TF-IDF" in item["title"])
    retention = report["retention"][0]
    conditions = [item for item in report["conditions"] if item["name"].startswith("retention")]
    return Chain(
        test_rows=score["n"],
        exact_match=score["value"],
        exact_match_low=score["low"],
        exact_match_high=score["high"],
        clean=tuned["slices"]["clean"]["exact_match"]["value"],
        near_train=tuned["slices"]["near_train"]["exact_match"]["value"],
        tfidf=tfidf["scores"]["exact_match"]["value"],
        base_own_task_before=retention["before"]["value"],
        base_own_task_after=retention["after"]["value"],
        retention_refused=any(not item["passed"] for item in conditions),
        verdict="promoted" if report["answer"] == "ship" else "refused",
    )


def carry_out(data: Path, folder: Path) -> tuple[Chain, dict[str, Any], dict[str, Any]]:
    """Carry out the chain in ``folder``; return its figures and both reports."""
    prepare(data, folder)
    base = run(folder, "clinc-base.yaml")
    tuned = run(folder, "banking77.yaml")
    return measure(tuned), base, tuned


def main() -> int:
    """Run the chain; the exit status is 1 where a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="?", default=Path(os.environ.get("HONE_DATA", "../shared/data")))
    parser.add_argument("--folder", type=Path, help="keep the workspace here")
    parser.add_argument("--docs", type=Path, help="write the reports to this folder")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        chain, base, tuned = carry_out(arguments.data, (arguments.folder or Path(temporary)).absolute())
        if arguments.docs:
            for name, report in (("clinc-base", base), ("banking77", tuned)):
                text = Path(report["path"]).with_suffix(".md").read_text(encoding="utf-8")
                write_atomic(arguments.docs / f"report-{name}.md", text)
    if arguments.json:
        arguments.json.write_text(json.dumps({**asdict(chain), "met": chain.met}, indent=2) + "\n")
    for name, value in asdict(chain).items():
        print(f"{name}: {value}")
    return 0 if chain.met else 1


if __name__ == "__main__":
    sys.exit(main())
