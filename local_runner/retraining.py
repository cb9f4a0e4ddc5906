"""Retrainings that the service's webhook starts: each is a job, so that it outlives the process that accepted it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

from local_runner.caller import LocalCaller
from local_runner.cli.common import registry
from pipeline.control.retraining import Retraining, write_retraining
from pipeline.control.session import Session
from pipeline.core.secrets import visible_secrets
from pipeline.service.files.shelf import Shelf
from pipeline.service.jobs.supervisor import Supervisor
from pipeline.service.store.events import NewEvent
from pipeline.service.store.files import KnownFile
from pipeline.service.store.jobs import new_job_id
from pipeline.service.store.records import Records
from schemas.fine_tuning import JobRequest
from schemas.run import RunSpec
from schemas.webhook import UPLOADS, RetrainRequest

_LONGEST_NAME = 64

ORIGIN = "retraining"
"""The key of a job's metadata that says which version it retrains."""


@dataclass(frozen=True)
class RetrainingDesk:
    """Accepts retrainings.

    Args:
        records: where jobs are.
        shelf: where their files are.
        supervisor: carries them out; its root is the workspace.
    """

    records: Records
    shelf: Shelf
    supervisor: Supervisor

    def start(self, request: RetrainRequest) -> str:
        """Write a retraining down as a job and return its run's id; the same retraining is one job.

        Raises:
            HoneError: see `write_retraining` and `Retraining.check`, or whatever its description names cannot be had.
        """
        root = self.supervisor.root
        session = Session(root, lambda: registry(root), LocalCaller(), visible_secrets())
        made = write_retraining(request, root, session.open_registry(), root / UPLOADS / "retraining", session.secrets)
        spec = with_absolute_paths(made)
        run = session.resolve_spec(spec, made.description.parent)
        made.check(run)
        name = run.run_id()
        if not self.records.jobs.has_run(name):
            self._add(made, spec, name)
        return name

    def _add(self, made: Retraining, spec: RunSpec, run: str) -> None:
        version = str(made.version)
        request = JobRequest(
            model=version, training_file=self._training_file(made), suffix=made.version.name, metadata={ORIGIN: version}
        )
        job = new_job_id()
        told = [NewEvent(f"Created fine-tuning job: {job}"), NewEvent(f"It retrains {version} as run {run}")]
        self.records.jobs.add(job, request, spec, 0, told, run=run)
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
