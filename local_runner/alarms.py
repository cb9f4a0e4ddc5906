"""What `hone monitor` does about an alarm: tells somebody, and has the version retrained on what people corrected."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local_runner.cli.common import registry
from local_runner.variables import WEBHOOK_SECRET
from pipeline.control.alarm import Sender, drift_event, retrain_order
from pipeline.control.labelled import labelled_rows
from pipeline.control.monitoring import Watched
from pipeline.control.versions import open_version
from pipeline.core.errors import ConfigError
from pipeline.core.signed_delivery import Delivery


@dataclass(frozen=True)
class Sent:
    """A delivery: where it went, what came back (null where nothing was sent), and that in words."""

    url: str
    answer: dict[str, Any] | None
    note: str


def check_secret(*urls: str | None) -> None:
    """Refuse addresses for which there is no secret, before anything is measured.

    Raises:
        ConfigError: the variable is not set.
    """
    if any(urls) and not os.environ.get(WEBHOOK_SECRET):
        raise ConfigError(
            f"{WEBHOOK_SECRET} is not set, and deliveries are signed with it",
            where="--notify, --retrain",
            fix="set it to the secret that the receiver has",
        )


@dataclass(frozen=True)
class Alarms:
    """Sends alarms; see `hone monitor --help` for what each of the addresses is told."""

    root: Path
    notify: str | None
    retrain: str | None
    hold_out: float
    minimum_rows: int

    def send(self, found: Watched) -> tuple[Sent, ...]:
        """Send what an alarm asks for.

        Raises:
            SourceError: a receiver cannot be reached, or refused it.
            ConfigError: the version's rows have a form that answers cannot be written back into.
        """
        sent = []
        if self.notify is not None:
            sent.append(self._deliver(self.notify, drift_event(found.report), "the alarm was delivered"))
        if self.retrain is not None:
            sent.append(self._retrain(self.retrain, found))
        return tuple(sent)

    def _retrain(self, url: str, found: Watched) -> Sent:
        files = open_version(self.root, registry(self.root), found.report.version)
        judged = [row for rows in (*found.chosen.past, found.chosen.current) for row in rows]
        labelled = labelled_rows(self.root, files, judged)
        if len(labelled.rows) < self.minimum_rows:
            note = (
                f"nothing is retrained: {len(labelled.rows)} answers are corrected or accepted, {self.minimum_rows} "
                "are needed (--minimum-rows)"
            )
            return Sent(url, None, note)
        order = retrain_order(found.report, labelled.rows, self.hold_out)
        told = f"{len(labelled.rows)} rows were delivered"
        return self._deliver(url, order, f"{told}, {labelled.unfit} did not fit" if labelled.unfit else told)

    @staticmethod
    def _deliver(url: str, delivery: Delivery, note: str) -> Sent:
        answer = Sender(url, os.environ[WEBHOOK_SECRET]).send(delivery)
        run = answer.get("run")
        return Sent(url, answer, f"{note}: run {run}" if run else note)
