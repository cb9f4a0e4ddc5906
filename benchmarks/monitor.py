"""How often `hone monitor` gives an alarm: over windows in which nothing changed, and over shifts that were planted.

    python -m benchmarks.monitor [DATA] [--windows 1000] [--trials 20] [--json FILE] [--docs docs/monitoring.md]

DATA (left out: $HONE_DATA, then ../shared/data) holds clinc150/ and banking77/. Requests are utterances that the model
which answers them was not trained on: TF-IDF and logistic regression over CLINC150's training rows, with its own
labels, probabilities, refusals (it says that a request is out of scope) and ratings (of every fifth: is it right?).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.monitor_traffic import OUT_OF_SCOPE_SHARE, Traffic
from pipeline.core.workspace import write_atomic
from pipeline.monitor.compare import compare_windows
from pipeline.monitor.rows import Row
from schemas.monitor import DriftReading, MonitorConfig

if TYPE_CHECKING:
    import numpy as np

MOST_FALSE, LEAST_POWER = 0.05, 0.9
ALPHAS = (0.01, 0.05)

WINDOWS_PER_REFERENCE = 10
"""A version is watched by many windows against one reference; another reference is drawn after so many."""

ARRIVING = 0.3
"""The share of a window's requests that a domain has which was not there before."""

RISEN, RISEN_LESS = 0.25, 0.2
"""The share of requests out of scope to which `OUT_OF_SCOPE_SHARE` rises, and one that is shown without a target."""

ROWS_PER_USER = 5
BEGIN, END = "<!-- figures:begin -->", "<!-- figures:end -->"
SEED = 23


@dataclass
class Alarms:
    """Alarms over windows, at each level, and which detectors drifted at the default one."""

    windows: int = 0
    alarms: Counter[float] = field(default_factory=Counter)
    drifted: Counter[str] = field(default_factory=Counter)

    def add(self, readings: Sequence[DriftReading]) -> None:
        self.windows += 1
        smallest = min(reading.p_adjusted for reading in readings)
        self.alarms.update(alpha for alpha in ALPHAS if smallest <= alpha)
        self.drifted.update(reading.detector for reading in readings if reading.drifted)

    def share(self, alpha: float = MonitorConfig().alpha) -> float:
        return self.alarms[alpha] / self.windows


def null_windows(traffic: Traffic, count: int, rng: np.random.Generator, config: MonitorConfig) -> Alarms:
    """Compare windows of unchanged traffic with references of the same."""
    found = Alarms()
    size, before = config.window, config.reference_rows
    while found.windows < count:
        rows = traffic.draw(before + WINDOWS_PER_REFERENCE * size, rng)
        for number in range(min(WINDOWS_PER_REFERENCE, count - found.windows)):
            start = before + number * size
            found.add(_compare(rows[:before], rows[start : start + size], config, found.windows))
    return found


def shifted(
    traffic: Traffic, others: Sequence[Row], share: float, trials: int, rng: np.random.Generator, config: MonitorConfig
) -> Alarms:
    """Compare windows in which ``share`` of the requests are ``others`` with references that have none of them."""
    found = Alarms()
    new = round(share * config.window)
    for _ in range(trials):
        rows = traffic.draw(config.reference_rows + config.window - new, rng)
        current = [*rows[config.reference_rows :], *(others[place] for place in rng.permutation(len(others))[:new])]
        found.add(_compare(rows[: config.reference_rows], current, config, found.windows))
    return found


def by_users(traffic: Traffic, count: int, rng: np.random.Generator, config: MonitorConfig) -> Iterator[Alarms]:
    """Yield alarms where users ask five things of one kind each: with the users known, and with rows on their own."""
    known, unknown = Alarms(), Alarms()
    users = (config.reference_rows + config.window) // ROWS_PER_USER
    before = config.reference_rows // ROWS_PER_USER
    for number in range(count):
        asked = [traffic.draw_user(ROWS_PER_USER, f"user {user}", rng) for user in range(users)]
        sides = [[row for rows in part for row in rows] for part in (asked[:before], asked[before:])]
        known.add(_compare(*sides, config, number))
        unknown.add(_compare(*([Traffic.without_user(row) for row in side] for side in sides), config, number))
    yield from (known, unknown)


def _compare(
    reference: Sequence[Row], current: Sequence[Row], config: MonitorConfig, seed: int
) -> tuple[DriftReading, ...]:
    return compare_windows(reference, current, config.model_copy(update={"seed": seed}))[0]


def measure(data: Path, windows: int, trials: int) -> dict[str, Any]:
    """Return the figures."""
    import numpy as np
    from threadpoolctl import threadpool_limits

    config = MonitorConfig()
    rng = np.random.default_rng(SEED)
    with threadpool_limits(1):
        traffic = Traffic.of(data)
        null = null_windows(traffic, windows, rng, config)
        known, unknown = by_users(traffic, max(20, windows // 10), rng, config)
        arriving = {}
        for domain in traffic.domains:
            without = Traffic.of(data, without=domain)
            arriving[domain] = shifted(without, without.rows_of(domain), ARRIVING, trials, rng, config)
        banking = [shifted(traffic, traffic.banking, share, trials, rng, config) for share in (ARRIVING, 1.0)]
        rising = {}
        for share in (RISEN, RISEN_LESS):
            added = (share - OUT_OF_SCOPE_SHARE) / (1 - OUT_OF_SCOPE_SHARE)
            rising[f"out of scope rises from {OUT_OF_SCOPE_SHARE:.0%} to {share:.0%}"] = shifted(
                traffic, traffic.outside, added, trials, rng, config
            )
    power = {
        **{f"{domain} arrives, {ARRIVING:.0%} of requests": each for domain, each in arriving.items()},
        f"Banking77 arrives, {ARRIVING:.0%} of requests": banking[0],
        "Banking77 after CLINC150, all requests": banking[1],
        **rising,
    }
    return {
        "reference_rows": config.reference_rows,
        "window": config.window,
        "null": {"windows": null.windows, **{f"alarms at {alpha:g}": null.share(alpha) for alpha in ALPHAS}},
        "null, users of five requests": {
            "windows": known.windows,
            "alarms at 0.01": known.share(0.01),
            "alarms at 0.05": known.share(0.05),
            "alarms at 0.01, users not known": unknown.share(0.01),
            "alarms at 0.05, users not known": unknown.share(0.05),
        },
        "power at 0.01": {name: each.share() for name, each in power.items()},
        "trials of each shift": trials,
        "detectors": {
            name: {detector: count / each.windows for detector, count in sorted(each.drifted.items())}
            for name, each in power.items()
        },
    }


def table(figures: dict[str, Any]) -> str:
    """Return the figures as docs/monitoring.md has them."""
    null, users = figures["null"], figures["null, users of five requests"]
    unchanged = [
        ("CLINC150", null["windows"], null["alarms at 0.01"], null["alarms at 0.05"]),
        ("users of five requests", users["windows"], users["alarms at 0.01"], users["alarms at 0.05"]),
        (
            "the same, were users not known",
            users["windows"],
            users["alarms at 0.01, users not known"],
            users["alarms at 0.05, users not known"],
        ),
    ]
    lines = [
        f"With {figures['reference_rows']:,} reference rows and windows of {figures['window']}:",
        "",
        "| nothing changed | windows | alarms at 0.01 | alarms at 0.05 |",
        "|---|---|---|---|",
        *(f"| {name} | {windows:,} | {low:.1%} | {high:.1%} |" for name, windows, low, high in unchanged),
        "",
        f"| what changed, {figures['trials of each shift']} windows each | alarms at 0.01 | what drifted most often |",
        "|---|---|---|",
    ]
    for name, power in figures["power at 0.01"].items():
        often = sorted(figures["detectors"][name].items(), key=lambda found: -found[1])[:3]
        lines.append(f"| {name} | {power:.0%} | {', '.join(f'{title} {share:.0%}' for title, share in often)} |")
    return "\n".join(lines)


def insert(page: str, filling: str) -> str:
    """Return a page with its figures replaced; it has both markers once."""
    assert page.count(BEGIN) == page.count(END) == 1
    head, _, rest = page.partition(BEGIN)
    return f"{head}{BEGIN}\n{filling}\n{END}{rest.partition(END)[2]}"


def met(figures: dict[str, Any]) -> bool:
    """Return whether alarms are rare enough where nothing changed, and every shift is found often enough."""
    false = [figures["null"]["alarms at 0.05"], figures["null, users of five requests"]["alarms at 0.05"]]
    power = [share for name, share in figures["power at 0.01"].items() if not name.endswith(f"to {RISEN_LESS:.0%}")]
    return max(false) <= MOST_FALSE and min(power) >= LEAST_POWER


def main() -> int:
    """Measure; the exit status is 1 where a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="?", default=Path(os.environ.get("HONE_DATA", "../shared/data")))
    parser.add_argument("--windows", type=int, default=1000)
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--docs", type=Path, help="write the figures into this page")
    arguments = parser.parse_args()
    figures = measure(arguments.data, arguments.windows, arguments.trials)
    print(json.dumps(figures, indent=2))
    if arguments.json:
        shown = {name: value for name, value in figures.items() if name != "detectors"}  # the page of docs has these
        write_atomic(arguments.json, json.dumps(shown, indent=2) + "\n")
    if arguments.docs:
        write_atomic(arguments.docs, insert(arguments.docs.read_text(encoding="utf-8"), table(figures)))
    return int(not met(figures))


if __name__ == "__main__":
    sys.exit(main())
