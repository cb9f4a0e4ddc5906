"""What Prometheus reads of the service: requests, jobs, webhooks on their way out, rows that wait."""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args

from pipeline.service.api.exposition import family
from pipeline.service.api.traffic import Traffic
from pipeline.service.store.pool import RowPool
from pipeline.service.store.records import Records
from schemas.fine_tuning import JobStatus
from schemas.outgoing import DeliveryState


def exposition(records: Records, traffic: Traffic) -> str:
    """Return the metrics in Prometheus's text format. Raises SQLAlchemyError where the database is away."""
    return "\n".join([*traffic.lines(), *_records(records)]) + "\n"


def _records(records: Records) -> Iterator[str]:
    jobs, webhooks = records.jobs.count(), records.outbox.count()
    statuses = [("", {"status": status}, float(jobs.get(status, 0))) for status in get_args(JobStatus)]
    yield from family("hone_service_jobs", "gauge", "Fine-tuning jobs by status.", statuses)
    states = [("", {"state": state}, float(webhooks.get(state, 0))) for state in get_args(DeliveryState)]
    yield from family("hone_service_webhooks", "gauge", "Webhooks that are sent, by state.", states)
    rows = [("", {"name": found.name}, float(found.rows)) for found in RowPool(records.engine).waiting()]
    yield from family("hone_service_waiting_rows", "gauge", "Rows that wait for a retraining.", rows)
