"""Retrainings that the service's webhooks start: each is a job, so that it outlives the process that accepted it."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Final

from pydantic import ValidationError
from sqlalchemy import Connection

from local_runner.caller import LocalCaller
from local_runner.cli.common import registry
from pipeline.control.labelled import check_rows
from pipeline.control.retraining import Retraining, write_retraining
from pipeline.control.session import Session
from pipeline.control.versions import open_version
from pipeline.core.errors import ConfigError
from pipeline.core.secrets import visible_secrets
from pipeline.core.spec import describe_error, parse_mapping, read_yaml_text
from pipeline.service.files.shelf import Shelf
from pipeline.service.jobs.supervisor import Supervisor
from pipeline.service.refusal import Refused
from pipeline.service.retraining.limits import Begun, Limits, month_of
from pipeline.service.store.events import NewEvent
from pipeline.service.store.files import KnownFile
from pipeline.service.store.jobs import new_job_id
from pipeline.service.store.pool import RowPool
from pipeline.service.store.records import Records
from schemas.fine_tuning import JobRequest
from schemas.retraining import RetrainPolicy
from schemas.run import RunSpec
from schemas.webhook import UPLOADS, NewRows, NewRowsAnswer, RetrainRequest

MOST_ROWS: Final = 100_000
"""Rows of a name that may wait."""

ORIGIN = "retraining"
"""The key of a job's metadata that says which version it retrains."""

_LONGEST_NAME = 64
_WHAT = "policy of retrainings"


@dataclass(frozen=True)
class RetrainingDesk:
    """Accepts retrainings, and rows for them. One of it serves a database.

    Args:
        records: where jobs are.
        shelf: where their files are.
        supervisor: carries them out; its root is the workspace.
        policy: what they may take.
        clock: Unix time in seconds.
    """

    records: Records
    shelf: Shelf
    supervisor: Supervisor
    policy: RetrainPolicy = field(default_factory=RetrainPolicy)
    clock: Callable[[], float] = time.time
    _lock: Lock = field(default_factory=Lock)

    def start(self, request: RetrainRequest) -> str:
        """Write a retraining down as a job and return its run's id; the same retraining is one job.

        Raises:
            HoneError: see `write_retraining` and `Retraining.check`, or whatever its description names cannot be had.
            Refused: it is too soon after another one, or over the month's budget.
        """
        return self._start(request)

    def accept(self, new: NewRows, delivery: str) -> NewRowsAnswer:
        """Keep rows until there are enough of them; those of one delivery are kept once.

        Raises:
            HoneError: there is no champion, or its rows have another form.
            Refused: too many wait already.
        """
        files = open_version(self.supervisor.root, self._session().open_registry(), f"{new.name}@champion")
        check_rows(self.supervisor.root, files, new.rows)
        pool = RowPool(self.records.engine)
        if pool.count(new.name) + len(new.rows) > MOST_ROWS:
            fix = "have them retrained: docs/webhook.md says when"
            raise Refused("unavailable", f"{MOST_ROWS} rows of {new.name} would wait", where="rows", fix=fix)
        pool.add(new.name, delivery, new.rows, self.clock())
        return NewRowsAnswer(name=new.name, rows=pool.count(new.name), needed=self.policy.data.minimum_rows)

    def start_waiting(self, name: str) -> str:
        """Start the retraining of a name's champion on its waiting rows, which it takes, and return the run's id.

        Raises:
            HoneError, Refused: see `start`; the rows go on waiting.
        """
        pool = RowPool(self.records.engine)
        found = pool.read(name)
        data = self.policy.data
        request = RetrainRequest(
            type="retrain", version=f"{name}@champion", rows=found.rows, hold_out=data.hold_out, promote=data.promote
        )
        return self._start(request, lambda connection, run: pool.take(connection, found.numbers, run))

    def _start(self, request: RetrainRequest, also: Callable[[Connection, str], None] | None = None) -> str:
        """Start a retraining; ``also`` is done with its run's id in the transaction that notes it."""
        root = self.supervisor.root
        session = self._session()
        made = write_retraining(request, root, session.open_registry(), root / UPLOADS / "retraining", session.secrets)
        spec = self._within_budget(with_absolute_paths(made))
        run = session.resolve_spec(spec, made.description.parent)
        made.check(run)
        name = run.run_id()
        with self._lock:  # of many at once that are the same, one is noted
            if self.records.jobs.has_run(name):
                if also is not None:
                    with self.records.engine.begin() as connection:
                        also(connection, name)
                return name
            limits = Limits(self.policy.cooldown_hours, self.policy.monthly_runs)
            limits.check(made.version.name, 1.0, self._begun(), self.clock())
            self._add(made, spec, name, also)
        return name

    def _session(self) -> Session:
        root = self.supervisor.root
        return Session(root, lambda: registry(root), LocalCaller(), visible_secrets())

    def _within_budget(self, spec: RunSpec) -> RunSpec:
        """Return a description that trains no longer than a retraining may."""
        most = self.policy.max_hours
        if most is None:
            return spec
        hours = min(spec.constraints.max_hours or most, most)
        return spec.model_copy(update={"constraints": spec.constraints.model_copy(update={"max_hours": hours})})

    def _begun(self) -> Iterator[Begun]:
        """Yield the retrainings of this month, and those within the cooldown."""
        now = self.clock()
        since = min(month_of(now)[0], now - self.policy.cooldown_hours * 3600.0)
        for job in self.records.jobs.with_metadata(ORIGIN, int(since)):
            version = (job.request.metadata or {})[ORIGIN]
            given_up = job.status in ("failed", "cancelled")
            yield Begun(version.partition("@")[0], job.created_at, given_up=given_up)

    def _add(
        self, made: Retraining, spec: RunSpec, run: str, also: Callable[[Connection, str], None] | None = None
    ) -> None:
        version = str(made.version)
        request = JobRequest(
            model=version, training_file=self._training_file(made), suffix=made.version.name, metadata={ORIGIN: version}
        )
        job = new_job_id()
        told = [NewEvent(f"Created fine-tuning job: {job}"), NewEvent(f"It retrains {version} as run {run}")]
        taking = None if also is None else lambda connection: also(connection, run)
        self.records.jobs.add(job, request, spec, 0, told, run=run, also=taking)
        self.supervisor.wake()

    def _training_file(self, made: Retraining) -> str:
        """Return the id of a file with the rows that were carried, or what names those that lie elsewhere."""
        if made.request.rows is None:
            assert made.request.data is not None
            return made.request.data.path[:_LONGEST_NAME]
        content = "".join(json.dumps(row) + "\n" for row in made.request.rows).encode("ascii")
        digest = hashlib.sha256(content).hexdigest()
        file = KnownFile.new("retraining.jsonl", "fine-tune", len(content), digest, ".jsonl")
        self.shelf.put(file.stored_as, content)
        self.records.files.add(file)
        return file.id


def with_absolute_paths(made: Retraining) -> RunSpec:
    """Return a retraining's description with paths that lead to the same files from anywhere."""
    folder = made.description.parent
    data = made.spec.data
    places = {name: getattr(data, name) for name in ("path", "validation_path", "test_path")}
    found = {name: str(folder / place) for name, place in places.items() if place and (folder / place).exists()}
    return made.spec.model_copy(update={"data": data.model_copy(update=found)})


def read_retrain_policy(path: Path | None) -> RetrainPolicy:
    """Read what retrainings may take; without a file the defaults.

    Raises:
        SourceError: the file cannot be read.
        ConfigError: it is not YAML, or no such policy; the message holds every error.
    """
    if path is None:
        return RetrainPolicy()
    values = parse_mapping(read_yaml_text(path, _WHAT), str(path), _WHAT)
    try:
        return RetrainPolicy.model_validate(values)
    except ValidationError as error:
        lines = dict.fromkeys(describe_error(dict(item), RetrainPolicy) for item in error.errors())
        raise ConfigError("\n  ".join(lines), where=str(path), fix="see docs/webhook.md") from error
