"""Which model a name means: one that a job made, one of its checkpoints, a registered version or an alias."""

from __future__ import annotations

import re

from pipeline.service.api.errors import Refusal
from pipeline.service.models.engines import Target
from pipeline.service.store.records import Records

_VERSION = re.compile(r"[a-z0-9](\.?[a-z0-9_-])*(@(champion|candidate|[0-9]{1,9}))?", re.ASCII)
_SHOWN = 200


def unknown_model(name: str) -> Refusal:
    """Return the refusal of a name that means nothing."""
    message = f"The model '{name[:_SHOWN]}' does not exist"
    return Refusal(404, message, param="model", code="model_not_found")


def target_of(name: str, records: Records) -> Target:
    """Return what a name means. A job's model is always the version that the job made, whatever aliases do.

    Raises:
        Refusal: it means nothing, or a checkpoint of a job that has not succeeded.
    """
    job = records.jobs.by_model(name)
    if job is not None and job.version is not None:
        return Target(job.version)
    checkpoint = records.events.checkpoint(name)
    if checkpoint is not None:
        owner = records.jobs.get(checkpoint.job)
        if owner is None or owner.version is None:
            message = "A checkpoint can be asked once its job has succeeded"
            raise Refusal(400, message, param="model", code="job_not_finished")
        return Target(owner.version, checkpoint.folder)
    if _VERSION.fullmatch(name):
        return Target(name)
    raise unknown_model(name)
