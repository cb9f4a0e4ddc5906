"""Accepted jobs are carried out, each by one worker, and what dies under them loses none."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from pipeline.core.errors import DataError
from pipeline.service.store.jobs import Job
from schemas.events import Event
from schemas.job import JobMessage, JobOrder, JobResult, SavedCheckpoint, StepMetrics
from tests.support.service import Script, Service, order, told, wait_for_stop

JOBS = "/v1/fine_tuning/jobs"

Tell = Callable[[JobMessage], None]


def event(kind: Any, call_id: str = "train.seed-0", **data: Any) -> JobMessage:
    return JobMessage(event=Event(time=1.0, call_id=call_id, kind=kind, data=data))


def until(service: Service, job: str, *statuses: str) -> Job:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        found = service.records.jobs.get(job)
        assert found is not None
        if found.status in statuses:
            return found
        time.sleep(0.01)
    raise AssertionError(f"{found.status}, not {statuses}")


def finish(_order: JobOrder, tell: Tell, _stopped: Callable[[], bool]) -> JobResult:
    tell(event("started", "data"))
    tell(JobMessage(run="triage-0123456789"))
    tell(event("started"))
    tell(event("metric", step=4, loss=0.5))
    for _ in range(2):  # a checkpoint that is made again after a kill is one
        saved = SavedCheckpoint(metrics=StepMetrics(step=4, train_loss=0.5), folder="service/checkpoints/x/step-4")
        tell(JobMessage(checkpoint=saved))
    return JobResult(
        version="triage@1",
        verdict="refused",
        refused_because=("no gain",),
        trained_tokens=12,
        steps=(StepMetrics(step=4, train_loss=0.5), StepMetrics(step=4, valid_loss=0.25)),
    )


def start(tmp_path: Path, does: Any) -> tuple[Service, Any, str]:
    service = Service(tmp_path, Script(does))
    client = service.client(service.key())
    job = order(client, suffix="triage").json()["id"]
    service.supervisor.start()
    return service, client, job


def test_a_job_ends_with_a_model_its_metrics_and_the_gates_word(tmp_path: Path) -> None:
    service, client, job = start(tmp_path, finish)
    until(service, job, "succeeded")
    shown = client.get(f"{JOBS}/{job}").json()
    model = f"ft:hone-tiny:acme:triage:{job.removeprefix('ftjob-')[:8]}"
    assert (shown["fine_tuned_model"], shown["trained_tokens"]) == (model, 12)
    assert shown["hone"] == {"run": "triage-0123456789", "version": "triage@1", "verdict": "refused"}
    content = client.get(f"/v1/files/{shown['result_files'][0]}/content").text
    assert content == "step,train_loss,valid_loss,learning_rate\n4,0.5,,\n4,,0.25,\n"
    (checkpoint,) = client.get(f"{JOBS}/{job}/checkpoints").json()["data"]
    assert checkpoint["fine_tuned_model_checkpoint"] == f"{model}:ckpt-step-4"
    assert checkpoint["metrics"] == {"step": 4, "train_loss": 0.5, "valid_loss": None}
    assert told(client, job)[-3:] == [
        "Checkpoint created at step 4",
        "The gate refused triage@1, so it does not become champion: no gain",
        f"The job has successfully completed; new fine-tuned model: {model}",
    ]
    following = order(client, model=model).json()
    found = service.records.jobs.get(following["id"])
    assert found is not None and found.spec.base_model.name == "triage@1"
    service.close()


@pytest.mark.parametrize(
    ("error", "code", "param", "message"),
    [
        (DataError("row 3 is bad", where="{shelf}/file-a.jsonl:3", fix="repair it"), "data", "training_file",
         "file-a.jsonl:3: row 3 is bad; repair it"),
        (ZeroDivisionError("row of jane"), "internal", None, None),
    ],
)  # fmt: skip
def test_a_job_that_fails_says_why(
    tmp_path: Path, error: Exception, code: str, param: str | None, message: str | None
) -> None:
    def fail(order: JobOrder, *_: object) -> JobResult:
        if isinstance(error, DataError) and error.where is not None:
            error.where = error.where.format(shelf=order.folder)
        raise error

    service, client, job = start(tmp_path, fail)
    until(service, job, "failed")
    shown = client.get(f"{JOBS}/{job}").json()
    assert (shown["error"]["code"], shown["error"]["param"]) == (code, param)
    assert message in (None, shown["error"]["message"])
    service.close()


def test_a_job_under_way_pauses_goes_on_and_is_cancelled(tmp_path: Path) -> None:
    service, client, job = start(tmp_path, None)
    until(service, job, "validating_files")
    assert client.post(f"{JOBS}/{job}/pause").json()["status"] == "pausing"
    assert client.post(f"{JOBS}/{job}/resume").status_code == 400
    until(service, job, "paused")
    assert client.post(f"{JOBS}/{job}/resume").json()["status"] == "queued"
    until(service, job, "validating_files")
    assert client.post(f"{JOBS}/{job}/cancel").json()["status"] == "cancelled"
    service.supervisor.stop()
    assert until(service, job, "cancelled").finished_at is not None
    assert len(service.runner.asked) == 2
    service.close()


def test_a_job_that_ends_while_it_is_cancelled_stays_cancelled(tmp_path: Path) -> None:
    go = threading.Event()

    def late(order: JobOrder, tell: Tell, stopped: Callable[[], bool]) -> JobResult:
        go.wait(20)
        return finish(order, tell, stopped)

    service, client, job = start(tmp_path, late)
    until(service, job, "validating_files")
    client.post(f"{JOBS}/{job}/cancel")
    go.set()
    service.supervisor.stop()
    shown = client.get(f"{JOBS}/{job}").json()
    assert (shown["status"], shown["fine_tuned_model"], shown["result_files"]) == ("cancelled", None, [])
    assert service.shelf.folder.joinpath(".incoming").exists()
    assert [path.suffix for path in service.shelf.folder.iterdir() if path.is_file()] == [".jsonl"]
    service.close()


def test_a_service_that_stops_queues_its_job_again(tmp_path: Path) -> None:
    service, _, job = start(tmp_path, wait_for_stop)
    until(service, job, "validating_files")
    service.supervisor.stop()
    assert until(service, job, "queued").run is None
    service.close()
    again = Service(tmp_path, Script(finish))
    again.supervisor.start()
    until(again, job, "succeeded")
    again.close()


@pytest.mark.parametrize(("left", "then"), [("validating_files", 1), ("running", 1), ("pausing", 0)])
def test_a_service_that_died_left_nothing_under_way(tmp_path: Path, left: Any, then: int) -> None:
    dead = Service(tmp_path)
    job = order(dead.client(dead.key())).json()["id"]
    dead.records.jobs.move(job, ("queued",), left)  # as it is when the process is killed here
    dead.records.close()
    service = Service(tmp_path, Script(finish))
    service.supervisor.start()
    until(service, job, "succeeded", "paused")
    service.close()
    assert len(service.runner.asked) == then


@pytest.mark.parametrize("when", ["telling", "the end"])
def test_a_database_that_was_away_loses_no_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str) -> None:
    """The job is queued again, and ends the second time."""
    service = Service(tmp_path, Script(finish))
    job = order(service.client(service.key())).json()["id"]
    target = (service.records.events, "add") if when == "telling" else (service.records.jobs, "move")
    whole, failed = getattr(*target), []

    def away(*given: Any, **values: Any) -> Any:
        if not failed and (when == "telling" or given[2] == "succeeded"):
            failed.append(when)
            raise OperationalError("", {}, Exception())
        return whole(*given, **values)

    monkeypatch.setattr(*target, away)
    service.supervisor.start()
    until(service, job, "succeeded")
    assert failed and len(service.runner.asked) == 2
    service.close()


def test_no_job_is_taken_twice(service: Service) -> None:
    client = service.client(service.key())
    names = {order(client).json()["id"] for _ in range(12)}
    taken: list[str] = []

    def take() -> None:
        while (job := service.records.jobs.claim()) is not None:
            taken.append(job.id)

    threads = [threading.Thread(target=take) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == sorted(names)
