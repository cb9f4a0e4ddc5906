"""A live service that is killed again and again: every accepted job is carried out, and none of it twice."""

from __future__ import annotations

import json
import random
import time
from pathlib import Path

import pytest

from pipeline.backends.track_mlflow import MlflowRegistry
from pipeline.core.workspace import Store
from tests.support.live_service import live_service, wait_for
from tests.support.small_jobs import conversations, preferences, small_spec

pytestmark = [pytest.mark.full, pytest.mark.timeout(1800)]

KILLS = 6
STEPS = 12


def test_no_accepted_job_is_lost_or_carried_out_twice(tmp_path: Path) -> None:
    draw = random.Random(0)
    with live_service(tmp_path / "workspace") as service:
        client = service.start()
        file = client.files.create(file=("rows.jsonl", conversations()), purpose="fine-tune")
        accepted = []
        for number in range(KILLS):
            method = {"type": "supervised", "supervised": {"hyperparameters": {"batch_size": 8}}}
            job = client.fine_tuning.jobs.create(
                model="hone:tiny",
                training_file=file.id,
                suffix=f"job-{number}",
                seed=number,
                method=method,
                extra_body={"spec": small_spec(STEPS)},
            )
            accepted.append(job.id)
            time.sleep(0.0 if number == 0 else draw.uniform(0.0, 12.0))
            service.kill()
            client = service.start()
        jobs = client.fine_tuning.jobs
        wait_for(lambda: all(jobs.retrieve(job).status == "succeeded" for job in accepted), "end of all jobs", 900)
        assert sorted(job.id for job in jobs.list()) == sorted(accepted)
        for job in accepted:
            messages = [event.message for event in jobs.list_events(job, limit=100)]
            assert sum("successfully completed" in message for message in messages) == 1
        assert service.stop() == 0
    registry = MlflowRegistry(tmp_path / "workspace" / "mlflow.db", None)
    assert [str(version) for version in registry.list_versions()] == [f"job-{number}@1" for number in range(KILLS)]
    store = Store(tmp_path / "workspace")
    trained = list(store.list("train"))
    assert len(trained) == len(list(store.list("register"))) == KILLS
    for ref in trained:
        lines = [json.loads(line) for line in (store.directory(ref) / "log.jsonl").read_text().splitlines()]
        assert [line["step"] for line in lines if "loss" in line] == list(range(1, STEPS + 1))


def test_preferences_in_openais_shape_are_trained_on(tmp_path: Path) -> None:
    with live_service(tmp_path / "workspace") as service:
        client = service.start()
        file = client.files.create(file=("pairs.jsonl", preferences()), purpose="fine-tune")
        method = {"type": "dpo", "dpo": {"hyperparameters": {"batch_size": 8, "beta": 0.2}}}
        job = client.fine_tuning.jobs.create(
            model="hone:tiny", training_file=file.id, method=method, extra_body={"spec": small_spec(STEPS)}
        )
        wait_for(lambda: client.fine_tuning.jobs.retrieve(job.id).finished_at is not None, "end")
        job = client.fine_tuning.jobs.retrieve(job.id)
        assert job.status == "succeeded", job.error
        assert job.method.dpo.hyperparameters.beta == 0.2
        assert service.stop() == 0
