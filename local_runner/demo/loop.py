"""The whole circle on this machine: a version is served, what is asked changes, and a better version takes its place.

    python -m local_runner.demo.loop [FOLDER]

Trains and serves a version, lets customers ask, rate and correct it, and from some point on ask about products that
were launched since. `hone monitor` gives an alarm, its webhook has the version retrained on what was corrected, the
gate decides, and a rollout moves the traffic.
"""

from __future__ import annotations

import base64
import json
import secrets
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.resources import files
from itertools import islice
from pathlib import Path
from typing import Any, Final

from local_runner.cli.common import registry
from local_runner.demo.drift import Question, questions
from local_runner.demo.loop_parts import Hone, People, wait_for
from pipeline.core.errors import ConfigError, EngineError, HoneError
from pipeline.core.workspace import write_atomic
from schemas.errors import ExitCode

NAME: Final = "desk"
OLD: Final = f"{NAME}@1"
NEW: Final = f"{NAME}@2"

RETRAIN_SECONDS: Final = 1200.0


@dataclass(frozen=True)
class Sizes:
    """How much is asked: rows that are trained and tested on, and questions in each part of the story."""

    train: int = 1600
    test: int = 300
    reference: int = 200
    window: int = 100
    drifted: int = 300
    scored: int = 150
    rollout: int = 240


@dataclass(frozen=True)
class Loop:
    """What came of it. Scores are shares of right answers, of the first version and the second."""

    quiet_alarm: bool
    alarm: bool
    drifted: tuple[str, ...]
    run: str
    verdict: str
    rollout: tuple[str, ...]
    champion: str
    new_before: float
    new_after: float
    known_before: float
    known_after: float
    seconds: float


def go_round(folder: Path, sizes: Sizes, tell: Callable[[str], None]) -> Loop:
    """Play the whole story in ``folder``; ``tell`` takes a line for each of its parts.

    Raises:
        ConfigError: the folder has a story in it already.
        HoneError: a part failed.
    """
    began = time.monotonic()
    root = folder / ".hone"
    if root.exists():
        raise ConfigError("a loop was played here before", where=str(folder), fix="remove it, or name another folder")
    folder.mkdir(parents=True, exist_ok=True)
    key = f"hone_loop_{secrets.token_hex(24)}"
    secret = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
    variables = {"HONE_SERVICE_KEY": key, "HONE_WEBHOOK_SECRET": secret}
    hone = Hone(root.absolute(), variables, folder.absolute() / "loop.log")
    known, drifted = questions(0), questions(1, drifted=True)
    spec = _write(folder, known, sizes)
    tell(f"training {OLD} on {sizes.train} messages")
    hone.run("run", str(spec))
    with hone.serving("service", "--port", "0", "--engine", "vllm", "--engines", "2") as service:
        config = _gateway(folder, service)
        with hone.serving("gateway", str(config), "--port", "0") as gateway:
            story = _Story(hone, People(service, key), People(gateway, key), sizes, tell)
            return story.play(known, drifted, began)


def _write(folder: Path, known: Iterator[Question], sizes: Sizes) -> Path:
    """Write the rows and the description; return its path."""
    for name, count in (("messages.jsonl", sizes.train), ("messages_test.jsonl", sizes.test)):
        lines = (json.dumps(question.row()) + "\n" for question in islice(known, count))
        write_atomic(folder / name, "".join(lines))
    spec = folder / "loop.yaml"
    write_atomic(spec, (files("local_runner.demo") / "loop.yaml").read_text(encoding="utf-8"))
    return spec


def _gateway(folder: Path, service: str) -> Path:
    """Write the gateway's configuration: the service is the one engine, and serves every version."""
    config = {
        "engines": {"here": {"base_url": service, "api_key_env": "HONE_SERVICE_KEY"}},
        "versions": {version: {"engines": {"here": version}} for version in (OLD, NEW)},
        "models": {NAME: {}},
        "capture": {"text": True, "retention_days": 30},
    }
    path = folder / "gateway.yaml"
    write_atomic(path, json.dumps(config, indent=2) + "\n")
    return path


@dataclass(frozen=True)
class _Story:
    hone: Hone
    service: People
    gateway: People
    sizes: Sizes
    tell: Callable[[str], None]

    def play(self, known: Iterator[Question], drifted: Iterator[Question], began: float) -> Loop:
        sizes = self.sizes
        scored = {"known": list(islice(known, sizes.scored)), "new": list(islice(drifted, sizes.scored))}
        before = self._score(OLD, scored)
        self._traffic("customers ask as they always did", islice(known, sizes.reference + sizes.window))
        quiet = self._monitor()
        self.tell(f"monitor: {'ALARM' if quiet['alarm'] else 'no alarm'}")
        self._traffic("customers ask about new products", islice(drifted, sizes.drifted))
        alarm = self._monitor("--retrain", f"{self.service.base_url}/webhooks/retrain")
        found = tuple(reading["detector"] for reading in alarm["readings"] if reading["drifted"])
        self.tell(f"monitor: {'ALARM' if alarm['alarm'] else 'no alarm'} ({', '.join(found)})")
        [sent] = alarm["sent"]
        self.tell(f"webhook: {sent['note']}")
        job = self._retrained()
        verdict = job["hone"]["verdict"]
        self.tell(f"gate: {job['hone']['version']} is {verdict}")
        after = self._score(NEW, scored)
        rollout = self._roll_out(drifted) if verdict == "promoted" else ()
        number = registry(self.hone.root).alias(NAME, "champion")
        return Loop(
            quiet_alarm=quiet["alarm"],
            alarm=alarm["alarm"],
            drifted=found,
            run=job["hone"]["run"],
            verdict=verdict,
            rollout=rollout,
            champion=f"{NAME}@{number}",
            new_before=before["new"],
            new_after=after["new"],
            known_before=before["known"],
            known_after=after["known"],
            seconds=time.monotonic() - began,
        )

    def _score(self, version: str, scored: dict[str, list[Question]]) -> dict[str, float]:
        """Ask a version directly, so that nothing of it is captured."""
        found = {name: self.service.ask(version, asked) for name, asked in scored.items()}
        self.tell(
            f"{version} is right on {found['known']:.1%} about known products and {found['new']:.1%} about new ones"
        )
        return found

    def _traffic(self, what: str, asked: Iterator[Question]) -> None:
        right = self.gateway.ask(NAME, list(asked), rates=True)
        self.tell(f"{what}: {right:.1%} of the answers are right")

    def _monitor(self, *more: str) -> dict[str, Any]:
        sizes = ("--reference-rows", str(self.sizes.reference), "--window", str(self.sizes.window))
        return self.hone.run("monitor", f"{NAME}@champion", *sizes, *more, accepted=(ExitCode.OK, ExitCode.DRIFT))

    def _retrained(self) -> dict[str, Any]:
        """Wait for the job that the webhook started."""

        def ended() -> dict[str, Any] | None:
            [job] = self.service.get("/fine_tuning/jobs")["data"]
            if job["status"] in ("failed", "cancelled"):
                raise EngineError(f"the retraining {job['status']}: {job['error']}", where=str(job["id"]))
            return job if job["status"] == "succeeded" else None

        return wait_for(ended, "retrained version", RETRAIN_SECONDS)

    def _roll_out(self, asked: Iterator[Question]) -> tuple[str, ...]:
        """Give the new version traffic step by step while customers ask; return what was decided."""
        guardrails = {"latency": None, "length": None}  # engines share two cores; other names are longer
        policy = {"steps": [25, 100], "minimum_requests": 30, "guardrails": guardrails}
        rollout = self.gateway.post("/rollouts", {"name": NAME, "candidate": NEW, "policy": policy})["id"]
        self._traffic(f"a rollout sends customers to {NEW}, first every fourth", islice(asked, self.sizes.rollout))
        events = self.gateway.get(f"/rollouts/{rollout}")["events"]
        decided = tuple(f"{event['kind']} {event['before']:g}% to {event['after']:g}%" for event in events)
        self.tell(f"rollout: {'; '.join(decided)}")
        return decided


def main() -> int:
    """Play the story; the exit status is 1 where the circle does not close."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "hone-loop")

    def tell(line: str) -> None:
        sys.stdout.write(f"{time.strftime('%H:%M:%S')}  {line}\n")
        sys.stdout.flush()

    try:
        found = go_round(folder, Sizes(), tell)
    except HoneError as error:
        sys.stderr.write(f"error: {error}\n")
        return int(error.exit_code)
    write_atomic(folder / "loop.json", json.dumps(asdict(found), indent=2) + "\n")
    tell(
        f"{found.champion} is champion; right about new products: {found.new_before:.1%} before, {found.new_after:.1%} "
        f"after; about known ones: {found.known_before:.1%} and {found.known_after:.1%}; {found.seconds:.0f} s"
    )
    return int(not (found.alarm and not found.quiet_alarm and found.champion == NEW))


if __name__ == "__main__":
    sys.exit(main())
