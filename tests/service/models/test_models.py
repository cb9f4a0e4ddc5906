"""Names of models, and what is said to them and comes back."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.testclient import TestClient

from pipeline.core.errors import EngineError
from pipeline.service.models.engines import Target
from pipeline.service.store.events import KnownCheckpoint, NewEvent
from schemas.fine_tuning import CheckpointMetrics
from tests.support.service import Service, order, streamed

CHAT = "/v1/chat/completions"
MODEL = "ft:hone-tiny:acme:triage:0123"
CHECKPOINT = f"{MODEL}:ckpt-step-4"


def ask(client: TestClient, model: str, text: str = "hi", **more: Any) -> Any:
    return client.post(CHAT, json={"model": model, "messages": [{"role": "user", "content": text}], **more})


@pytest.fixture
def made(service: Service, client: TestClient) -> str:
    """A job that has made `MODEL` of version 1, with a checkpoint; return its id."""
    job = str(order(client).json()["id"])
    found = KnownCheckpoint(job, CHECKPOINT, CheckpointMetrics(step=4), "service/checkpoints/x/step-4")
    service.records.events.add_checkpoint(found, NewEvent("Checkpoint created at step 4"))
    service.records.jobs.move(job, ("queued",), "succeeded", fine_tuned_model=MODEL, version="triage@1")
    return job


def test_what_is_asked_arrives_and_the_answer_names_who_gave_it(service: Service, client: TestClient) -> None:
    answer = ask(client, "triage@champion", tools=[{"type": "function"}], temperature=0)
    assert answer.status_code == 200
    assert answer.headers["x-hone-version"] == "triage@2"
    assert answer.json() == {
        "path": "/v1/chat/completions",
        "asked": {
            "model": "served",
            "messages": [{"role": "user", "content": "hi"}],
            "tools": [{"type": "function"}],
            "temperature": 0,
        },
    }
    assert service.engines.lent == []
    other = client.post("/v1/completions", json={"model": "triage", "prompt": "once", "max_tokens": 3})
    assert other.json() == {"path": "/v1/completions", "asked": {"model": "served", "prompt": "once", "max_tokens": 3}}


def test_embeddings_are_the_engines_where_it_has_them(client: TestClient) -> None:
    asked = {"model": "triage", "input": ["a", "b"], "dimensions": 8}
    answer = client.post("/v1/embeddings", json=asked)
    assert answer.json() == {"path": "/v1/embeddings", "asked": {**asked, "model": "served"}}
    assert answer.headers["x-hone-version"] == "triage@2"
    without = client.post("/v1/embeddings", json={**asked, "input": "no such path"})
    assert without.status_code == 404
    assert without.json()["error"]["message"] == "The engine of triage@2 has no /v1/embeddings"
    assert client.post("/v1/embeddings", json={"model": "triage"}).status_code == 400


def test_a_stream_comes_as_it_is(service: Service, client: TestClient) -> None:
    answer = ask(client, "triage", "abc", stream=True)
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert streamed(answer.text) == [{"said": "a"}, {"said": "b"}, {"said": "c"}, "[DONE]"]
    assert service.engines.lent == []


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("triage", Target("triage")),
        ("triage@champion", Target("triage@champion")),
        ("triage@2", Target("triage@2")),
        (MODEL, Target("triage@1")),
        (CHECKPOINT, Target("triage@1", "service/checkpoints/x/step-4")),
    ],
)
def test_every_kind_of_name_leads_somewhere(
    service: Service, client: TestClient, made: str, name: str, target: Target
) -> None:
    assert ask(client, name).status_code == 200
    assert service.engines.asked == [target]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["nobody", "ft:unknown", "triage@latest", "../x", "hone:tiny", "a b"])
def test_other_names_do_not(client: TestClient, name: str) -> None:
    for answer in (ask(client, name), client.get(f"/v1/models/{name}")):
        assert answer.status_code == 404
    assert ask(client, name).json()["error"]["code"] == "model_not_found"


def test_a_checkpoint_waits_for_its_job(service: Service, client: TestClient) -> None:
    job = str(order(client).json()["id"])
    found = KnownCheckpoint(job, CHECKPOINT, CheckpointMetrics(step=4), "service/checkpoints/x/step-4")
    service.records.events.add_checkpoint(found, NewEvent("Checkpoint created at step 4"))
    assert ask(client, CHECKPOINT).json()["error"]["code"] == "job_not_finished"


@pytest.mark.parametrize(
    ("text", "status", "message"),
    [("too long", 400, "context"), ("odd", 422, "no such thing"), ("broken", 500, "The engine refused the request")],
)
def test_an_engines_error_has_openais_shape(
    service: Service, client: TestClient, text: str, status: int, message: str
) -> None:
    answer = ask(client, "triage", text)
    assert answer.status_code == status
    assert answer.json()["error"]["message"] == message
    assert service.engines.lent == []


def test_what_cannot_be_served_now_is_said(service: Service, client: TestClient) -> None:
    service.engines.error = EngineError("every engine is in use")
    answer = ask(client, "triage")
    assert answer.status_code == 503 and answer.headers["retry-after"]
    assert answer.json()["error"]["message"] == "every engine is in use"


@pytest.mark.parametrize("body", [{}, {"model": "triage"}, {"model": "triage", "messages": []}, {"messages": [{}]}])
def test_a_request_needs_a_model_and_something_to_say(client: TestClient, body: dict[str, Any]) -> None:
    assert client.post(CHAT, json=body).status_code == 400


def test_models_are_listed_and_found(client: TestClient, made: str) -> None:
    listed = client.get("/v1/models").json()
    names = [model["id"] for model in listed["data"]]
    assert names == [MODEL, "triage@1", "triage@2", "triage@champion", "triage@candidate", "triage"]
    for name in (*names, CHECKPOINT):
        found = client.get(f"/v1/models/{name}").json()
        assert (found["id"], found["owned_by"]) == (name, "acme")


def test_asking_needs_its_scope(service: Service) -> None:
    assert ask(service.client(service.key("train")), "triage").status_code == 403
    assert ask(service.client(service.key("infer")), "triage").status_code == 200
