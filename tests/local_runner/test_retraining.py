"""A signed delivery to the service becomes a job that retrains a version, once."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from local_runner import retraining
from local_runner.retraining import ORIGIN, RetrainingDesk, read_retrain_policy
from pipeline.control.session import Session
from pipeline.core.errors import ConfigError
from pipeline.service.api.keys import Keyring
from pipeline.service.app import Parts, Webhook, service_app
from pipeline.service.files.shelf import Shelf
from pipeline.service.jobs.supervisor import Supervisor
from pipeline.service.retraining.gatherer import Gatherer
from pipeline.service.store.pool import RowPool
from pipeline.service.store.records import Records
from schemas.retraining import RetrainPolicy
from schemas.webhook import RetrainRequest
from tests.service.support import SECRET, signed
from tests.support.service import Echo, Script, database_of
from tests.support.trained import NEW, Trained, messages

URL = "/v1/webhooks/retrain"
DATA = "/v1/webhooks/data"


class Hosted:
    """A service over a trained version whose jobs nobody carries out; opened again, it finds what was there."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.trained = Trained(folder, messages(60)).finish_run()
        monkeypatch.setattr(retraining, "registry", lambda _root: self.trained.registry)
        (self.trained.root / "service").mkdir()
        self.now = time.time()
        self.open()

    def open(self, **policy: Any) -> None:
        root = self.trained.root
        self.records = Records.open(database_of(root))
        shelf = Shelf(root / "service" / "files")
        shelf.open()
        self.supervisor = Supervisor(self.records, shelf, Script(), root, "hone")
        self.policy = RetrainPolicy.model_validate(policy)
        self.desk = RetrainingDesk(self.records, shelf, self.supervisor, self.policy, lambda: self.now)
        keyring = Keyring(self.records.keys, "o" * 20 + "perator-key-1234", where="a test")
        webhook = Webhook(SECRET, self.desk.start, self.desk.accept)
        parts = Parts(self.records, shelf, keyring, self.supervisor, Echo(), webhook=webhook)
        self.client = TestClient(service_app(parts))
        pool = RowPool(self.records.engine)
        self.gatherer = Gatherer(pool, self.policy.data, self.desk.start_waiting, lambda: self.now)

    def deliver(self, name: str, **changed: Any) -> Any:
        return self.post(URL, name, {"type": "retrain", "version": "triage@champion", "rows": NEW, **changed})

    def bring(self, name: str, rows: Any, model: str = "triage") -> Any:
        return self.post(DATA, name, {"type": "data", "name": model, "rows": rows})

    def post(self, path: str, name: str, body: Any) -> Any:
        text = json.dumps(body)
        return self.client.post(path, content=text, headers=signed(text, name=name))

    def file(self, name: str) -> str:
        found = self.records.files.get(name)
        assert found is not None
        return found.stored_as

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


def rows(count: int, first: int = 0) -> list[dict[str, str]]:
    return [{"text": f"a new complaint, number {number}", "intent": "setup"} for number in range(first, first + count)]


@pytest.mark.slow
def test_a_hundred_at_once_are_one_job_and_stay_so_after_a_restart(hosted: Hosted) -> None:
    """Fifty of one id and fifty of ids of their own ask for the same retraining; the answer is one run, or 409."""
    names = ["msg_same"] * 50 + [f"msg_{number}" for number in range(50)]
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(hosted.deliver, names))
    assert {answer.status_code for answer in answers} == {202, 409}
    assert sum(answer.status_code == 202 for answer in answers) == 51
    assert len({answer.json()["run"] for answer in answers if answer.status_code == 202}) == 1
    hosted.records.close()
    hosted.open()
    assert hosted.deliver("msg_same").status_code == 409
    assert hosted.deliver("msg_later").json()["run"] == hosted.jobs()[0].run
    assert len(hosted.jobs()) == 1


def test_a_name_rests_and_a_repeat_is_no_new_retraining(hosted: Hosted) -> None:
    hosted.open(cooldown_hours=24)
    first = hosted.deliver("msg_1")
    hosted.now += 3600
    refused = hosted.deliver("msg_2", rows=NEW[:2])
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "too_soon")
    assert abs(int(refused.headers["retry-after"]) - 23 * 3600) <= 60
    assert hosted.deliver("msg_3").json() == first.json()
    hosted.records.jobs.move(hosted.jobs()[0].id, ("queued",), "failed")
    assert hosted.deliver("msg_2", rows=NEW[:2]).status_code == 202  # the id was given back
    assert len(hosted.jobs()) == 2


def test_a_month_and_a_run_have_a_budget(hosted: Hosted) -> None:
    hosted.open(monthly_runs=1, max_hours=2)
    assert hosted.deliver("msg_1", constraints={"max_hours": 5}).status_code == 202
    assert hosted.jobs()[0].spec.constraints.max_hours == 2
    refused = hosted.deliver("msg_2", rows=NEW[:2])
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "over_budget")
    hosted.now += int(refused.headers["retry-after"])
    assert hosted.deliver("msg_2", rows=NEW[:2], constraints={"max_hours": 1}).status_code == 202
    assert hosted.jobs()[0].spec.constraints.max_hours == 1


def test_rows_of_many_deliveries_are_one_retraining(hosted: Hosted) -> None:
    hosted.open(data={"minimum_rows": 12, "quiet_minutes": 10, "hold_out": 0.25})
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda number: hosted.bring(f"msg_{number}", rows(3, 3 * number)), [0, 1, 2, 3] * 5))
    assert sorted(answer.status_code for answer in answers) == [202] * 4 + [409] * 16
    assert hosted.bring("msg_4", rows(1, 12)).json() == {
        "name": "triage", "rows": 13, "needed": 12, "status": "waiting"
    }  # fmt: skip
    assert hosted.gatherer.look() == [] and hosted.jobs() == []
    hosted.records.close()
    hosted.open(data={"minimum_rows": 12, "quiet_minutes": 10, "hold_out": 0.25})
    hosted.now += 601
    [run] = hosted.gatherer.look()
    [job] = hosted.jobs()
    assert (job.run, job.spec.promote) == (run, "candidate")
    lines = hosted.supervisor.shelf.path(hosted.file(job.request.training_file)).read_text().splitlines()
    assert sorted(json.loads(line)["text"] for line in lines) == sorted(row["text"] for row in rows(13))
    assert hosted.gatherer.look() == [] and len(hosted.jobs()) == 1
    assert hosted.bring("msg_5", rows(1, 20)).json()["rows"] == 1


def test_rows_that_are_too_soon_wait(hosted: Hosted) -> None:
    hosted.open(cooldown_hours=2, data={"minimum_rows": 4, "quiet_minutes": 0})
    hosted.deliver("msg_1")
    hosted.bring("msg_2", rows(8))
    assert hosted.gatherer.look() == []
    hosted.now += 7201
    assert len(hosted.gatherer.look()) == 1 and len(hosted.jobs()) == 2


def test_rows_of_another_form_are_refused_at_the_door(hosted: Hosted) -> None:
    refused = hosted.bring("msg_1", [*rows(1), {"text": "no intent"}, {"question": "hi"}])
    told = refused.json()["error"]
    assert (refused.status_code, told["code"], told["where"]) == (422, "invalid", "rows")
    assert "2 rows are not like those that triage@1" in told["message"] and "row 2: " in told["message"]
    assert "no intent" not in told["message"]
    assert hosted.bring("msg_1", rows(1), "unknown").json()["error"]["code"] == "invalid"
    for body in ({"rows": []}, {"rows": rows(1), "version": "triage@1"}, {"type": "retrain"}):
        given = {"type": "data", "name": "triage", "rows": rows(1), **body}
        assert hosted.post(DATA, "msg_1", given).status_code == 422
    assert hosted.client.post(DATA, content="{}").status_code == 401
    assert hosted.bring("msg_1", rows(1)).json()["rows"] == 1


def test_a_policy_is_read_and_its_errors_are_all_told(tmp_path: Path) -> None:
    assert read_retrain_policy(None) == RetrainPolicy()
    path = tmp_path / "retraining.yaml"
    path.write_text("cooldown_hours: 24\ndata: {minimum_rows: 5}\n")
    assert read_retrain_policy(path).data.minimum_rows == 5
    path.write_text("cooldown: 24\nmax_hours: 0\ndata: {minimum_rows: none}\n")
    with pytest.raises(ConfigError) as caught:
        read_retrain_policy(path)
    told = str(caught.value)
    assert "cooldown_hours" in told and "max_hours" in told and "data.minimum_rows" in told
