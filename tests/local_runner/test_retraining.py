"""A signed delivery to the service becomes a job that retrains a version, once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from local_runner import retraining
from local_runner.retraining import ORIGIN, RetrainingDesk
from pipeline.control.session import Session
from pipeline.service.api.keys import Keyring
from pipeline.service.app import Parts, Webhook, service_app
from pipeline.service.files.shelf import Shelf
from pipeline.service.jobs.supervisor import Supervisor
from pipeline.service.store.records import Records
from schemas.webhook import RetrainRequest
from tests.service.support import SECRET, signed
from tests.support.service import Echo, Script, database_of
from tests.support.trained import NEW, Trained, messages

URL = "/v1/webhooks/retrain"


class Hosted:
    """A service over a trained version whose jobs nobody carries out."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.trained = Trained(folder, messages(60)).finish_run()
        root = self.trained.root
        monkeypatch.setattr(retraining, "registry", lambda _root: self.trained.registry)
        (root / "service").mkdir()
        self.records = Records.open(database_of(root))
        shelf = Shelf(root / "service" / "files")
        shelf.open()
        self.supervisor = Supervisor(self.records, shelf, Script(), root, "hone")
        self.desk = RetrainingDesk(self.records, shelf, self.supervisor)
        keyring = Keyring(self.records.keys, "o" * 20 + "perator-key-1234", where="a test")
        parts = Parts(self.records, shelf, keyring, self.supervisor, Echo(), webhook=Webhook(SECRET, self.desk.start))
        self.client = TestClient(service_app(parts))

    def deliver(self, name: str, **changed: Any) -> Any:
        body = json.dumps({"type": "retrain", "version": "triage@champion", "rows": NEW, **changed})
        return self.client.post(URL, content=body, headers=signed(body, name=name))

    def jobs(self) -> list[Any]:
        return self.records.jobs.page(after=None, limit=20)[0]


@pytest.fixture
def hosted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hosted:
    return Hosted(tmp_path, monkeypatch)


def test_a_delivery_is_a_job_that_is_the_retraining(hosted: Hosted) -> None:
    answer = hosted.deliver("msg_1", promote="candidate")
    assert answer.status_code == 202, answer.text
    run = answer.json()["run"]
    [job] = hosted.jobs()
    assert (job.run, job.status, job.request.model) == (run, "queued", "triage@1")
    assert job.request.metadata == {ORIGIN: "triage@1"}
    assert job.spec.promote == "candidate" and job.spec.evaluate.baselines.champion
    carried = Session(hosted.trained.root, lambda: hosted.trained.registry, None)  # type: ignore[arg-type]
    assert carried.resolve_spec(job.spec, hosted.supervisor.shelf.folder).run_id() == run


def test_repeats_and_the_same_rows_are_one_job(hosted: Hosted) -> None:
    first = hosted.deliver("msg_1")
    assert hosted.deliver("msg_1").status_code == 409
    assert hosted.deliver("msg_2").json() == first.json()
    assert len(hosted.jobs()) == 1
    assert hosted.deliver("msg_3", rows=NEW[:2]).json() != first.json()
    assert len(hosted.jobs()) == 2


def test_what_is_not_signed_or_not_there_starts_nothing(hosted: Hosted) -> None:
    assert hosted.client.post(URL, content="{}").status_code == 401
    answer = hosted.deliver("msg_1", version="triage@9")
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "invalid")
    assert hosted.jobs() == []


def test_a_body_may_be_larger_than_a_job_and_not_larger_than_a_delivery(hosted: Hosted) -> None:
    long = [{"text": f"{number} " + "x" * 1000, "intent": "setup"} for number in range(5000)]
    assert hosted.deliver("msg_1", rows=long).status_code == 202
    assert hosted.deliver("msg_2", rows=long * 2).status_code == 413


def test_a_job_that_was_given_up_does_not_keep_a_run_from_being_tried_again(hosted: Hosted) -> None:
    request = RetrainRequest.model_validate({"type": "retrain", "version": "triage", "rows": NEW})
    hosted.desk.start(request)
    hosted.records.jobs.move(hosted.jobs()[0].id, ("queued",), "cancelled")
    hosted.desk.start(request)
    assert [job.status for job in hosted.jobs()] == ["queued", "cancelled"]
