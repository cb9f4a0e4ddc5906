"""`/v1/fine_tuning/jobs`: accepted jobs, their statuses and lists. Nobody works on them here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.support.service import Service, order, streamed, told, upload

JOBS = "/v1/fine_tuning/jobs"


def test_an_accepted_job_is_committed(service: Service, client: TestClient, tmp_path: Path) -> None:
    answer = order(client, suffix="triage", metadata={"team": "a"}, seed=3)
    assert answer.status_code == 200
    job = answer.json()
    assert job == {
        "id": job["id"],
        "object": "fine_tuning.job",
        "created_at": job["created_at"],
        "finished_at": None,
        "estimated_finish": None,
        "status": "queued",
        "model": "hone:tiny",
        "fine_tuned_model": None,
        "organization_id": "acme",
        "training_file": job["training_file"],
        "validation_file": None,
        "result_files": [],
        "hyperparameters": {"n_epochs": "auto", "batch_size": "auto", "learning_rate_multiplier": "auto"},
        "method": job["method"],
        "seed": 3,
        "trained_tokens": None,
        "metadata": {"team": "a"},
        "integrations": [],
        "error": None,
        "hone": {"run": None, "version": None, "verdict": None},
    }
    again = Service(tmp_path)  # as another process sees it
    assert again.client(again.key()).get(f"{JOBS}/{job['id']}").json() == job
    assert told(client, job["id"]) == [f"Created fine-tuning job: {job['id']}"]
    again.records.close()


@pytest.mark.parametrize(
    ("changes", "status", "param"),
    [
        ({"training_file": "file-unknown"}, 400, "training_file"),
        ({"validation_file": "file-unknown"}, 400, "validation_file"),
        ({"model": "gpt-4o"}, 404, "model"),
        ({"suffix": "x" * 65}, 400, "suffix"),
        ({"seed": -1}, 400, "seed"),
        ({"metadata": {str(n): "v" for n in range(17)}}, 400, "metadata"),
        ({"colour": "red"}, 400, "colour"),
        ({"method": {"type": "reinforcement"}}, 400, "method.type"),
        ({"method": {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 0}}}}, 400, None),
        ({"integrations": [{"type": "wandb"}]}, 400, "integrations"),
        ({"spec": {"task": "poetry"}}, 400, "spec"),
    ],
)
def test_what_does_not_fit_is_named(
    service: Service, client: TestClient, changes: dict[str, Any], status: int, param: str | None
) -> None:
    answer = order(client, **changes)
    assert answer.status_code == status, answer.text
    if param is not None:
        assert answer.json()["error"]["param"] == param
    assert client.get(JOBS).json()["data"] == []


def test_only_files_for_fine_tuning_are_trained_on(client: TestClient) -> None:
    batch = upload(client, purpose="batch").json()["id"]
    answer = order(client, training_file=batch)
    assert answer.status_code == 400 and "purpose batch" in answer.json()["error"]["message"]


def test_lists_have_pages_and_filters(client: TestClient) -> None:
    odd = 'a"b.c$[0]'
    pairs: list[dict[str, str] | None] = [{"team": "a"}, {"team": "b", odd: "x"}, None, {"team": "a", "k": ""}]
    names = [order(client, metadata=metadata).json()["id"] for metadata in pairs]

    def listed(**query: Any) -> list[str]:
        answer = client.get(JOBS, params=query)
        assert answer.status_code == 200, answer.text
        return [job["id"] for job in answer.json()["data"]]

    assert listed() == names[::-1]
    assert listed(limit=2) == [names[3], names[2]]
    assert listed(limit=2, after=names[2]) == [names[1], names[0]]
    assert listed(**{"metadata[team]": "a"}) == [names[3], names[0]]
    assert listed(**{"metadata[team]": "a", "metadata[k]": ""}) == [names[3]]
    assert listed(**{f"metadata[{odd}]": "x"}) == [names[1]]
    assert listed(metadata="null") == [names[2]]
    assert client.get(JOBS, params={"after": "ftjob-unknown"}).json()["error"]["param"] == "after"


def test_a_waiting_job_pauses_goes_on_and_is_cancelled(client: TestClient) -> None:
    job = order(client).json()["id"]

    def change(verb: str) -> Any:
        return client.post(f"{JOBS}/{job}/{verb}")

    assert change("resume").json()["error"]["code"] == "invalid_status"
    assert change("pause").json()["status"] == "paused"
    assert change("pause").status_code == 400
    assert change("resume").json()["status"] == "queued"
    assert change("pause").json()["status"] == "paused"
    cancelled = change("cancel").json()
    assert cancelled["status"] == "cancelled" and cancelled["finished_at"] >= cancelled["created_at"]
    for verb in ("pause", "resume", "cancel"):
        assert change(verb).status_code == 400
    assert told(client, job) == [
        f"Created fine-tuning job: {job}",
        "The job is paused",
        "The job goes on",
        "The job is paused",
        "The job was cancelled",
    ]


@pytest.mark.slow
def test_events_have_pages_and_are_followed_to_the_end(client: TestClient) -> None:
    job = order(client).json()["id"]
    client.post(f"{JOBS}/{job}/cancel")
    first = client.get(f"{JOBS}/{job}/events", params={"limit": 1}).json()
    assert [event["message"] for event in first["data"]] == ["The job was cancelled"] and first["has_more"]
    rest = client.get(f"{JOBS}/{job}/events", params={"after": first["last_id"]}).json()
    assert [event["message"] for event in rest["data"]] == [f"Created fine-tuning job: {job}"]
    followed = client.get(f"{JOBS}/{job}/events", params={"stream": "true"})
    assert followed.headers["content-type"].startswith("text/event-stream")
    assert streamed(followed.text) == [*rest["data"], *first["data"], "[DONE]"]
    behind = client.get(f"{JOBS}/{job}/events", params={"stream": "true", "after": rest["last_id"]})
    assert streamed(behind.text) == [*first["data"], "[DONE]"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ""),
        ("GET", "/events"),
        ("GET", "/checkpoints"),
        ("POST", "/cancel"),
        ("POST", "/pause"),
        ("POST", "/resume"),
    ],
)
def test_an_unknown_job_is_a_404(client: TestClient, method: str, path: str) -> None:
    answer = client.request(method, f"{JOBS}/ftjob-unknown{path}")
    assert answer.status_code == 404
    assert answer.json()["error"]["param"] == "fine_tuning_job_id"
