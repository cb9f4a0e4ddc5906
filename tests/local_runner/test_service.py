"""OpenAI's own client against a live service, typed as docs/service.md says: one job, trained for real, killed, paused,
and carried to its end.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pipeline.backends.checkpoint_peft import write_checkpoint_adapter
from pipeline.backends.track_mlflow import MlflowRegistry
from pipeline.control.job_checkpoints import WEIGHTS
from pipeline.core.workspace import Store
from schemas.base import ArtifactRef
from tests.support.live_service import LiveService, live_service, wait_for
from tests.support.small_jobs import conversations, small_spec

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

PAGE = Path(__file__).resolve().parents[2] / "docs" / "service.md"

STEPS = 40


@dataclass(frozen=True)
class Story:
    """What was seen, and the service at the end of it."""

    service: LiveService
    client: Any
    file: Any
    content: bytes
    job: Any
    waiting: Any
    paused: Any
    steps_when_paused: int
    streamed: list[Any]


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    """Order two jobs and cancel one; kill the service while it trains the other, then pause it, and see it through."""
    content = conversations()
    with live_service(tmp_path_factory.mktemp("service") / "workspace") as service:
        client = service.start()
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(service.root.parent)
            Path("train.jsonl").write_bytes(content)
            file, job = order_as_documented(service)
        waiting = client.fine_tuning.jobs.create(model="hone:tiny", training_file=file.id)
        waiting = client.fine_tuning.jobs.cancel(waiting.id)
        wait_for(lambda: bool(client.fine_tuning.jobs.checkpoints.list(job.id).data), "checkpoint")
        service.kill()
        client.close()
        client = service.start()
        wait_for(
            lambda: "going on from step" in str(client.fine_tuning.jobs.list_events(job.id).data), "training again"
        )
        client.fine_tuning.jobs.pause(job.id)
        wait_for(lambda: client.fine_tuning.jobs.retrieve(job.id).status == "paused", "pause")
        paused = client.fine_tuning.jobs.retrieve(job.id)
        steps = len(metrics(client, job.id))
        client.fine_tuning.jobs.resume(job.id)
        streamed = list(follow(client, job.id))
        job = client.fine_tuning.jobs.retrieve(job.id)
        yield Story(service, client, file, content, job, waiting, paused, steps, streamed)
        client.close()


def order_as_documented(service: LiveService) -> tuple[Any, Any]:
    """Run the page's first block with this service's address and key, and a description that is done in seconds."""
    code, names = blocks()[0], {}
    for shown, real in {
        "http://127.0.0.1:8080/v1": service.base_url,
        "hone_...": service.key,
        '{"task": "classification", "evaluate": {"target": {"accuracy": 0.9}}}': repr(small_spec(STEPS)),
    }.items():
        assert code.count(shown) == 1
        code = code.replace(shown, real)
    exec(code, names)
    names["client"].close()
    return names["file"], names["job"]


def blocks() -> list[str]:
    """Return the page's Python."""
    return re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


def metrics(client: Any, job: str) -> list[Any]:
    return [event for event in client.fine_tuning.jobs.list_events(job, limit=100) if event.type == "metrics"]


def follow(client: Any, job: str) -> Iterator[Any]:
    """Follow a job with the SDK's own reader of server-sent events."""
    from openai import Stream
    from openai.types.fine_tuning import FineTuningJobEvent

    path = f"/fine_tuning/jobs/{job}/events?stream=true"
    with client.get(path, cast_to=FineTuningJobEvent, stream=True, stream_cls=Stream[FineTuningJobEvent]) as events:
        yield from events


def test_files_come_back_as_they_were(story: Story) -> None:
    assert (story.file.bytes, story.file.purpose, story.file.status) == (len(story.content), "fine-tune", "processed")
    assert story.client.files.content(story.file.id).read() == story.content
    assert story.file.id in [file.id for file in story.client.files.list(purpose="fine-tune")]


def test_the_job_succeeds_with_a_model_and_its_metrics(story: Story) -> None:
    job = story.job
    assert (job.status, job.error, job.seed, job.metadata) == ("succeeded", None, 0, {"team": "support"})
    assert job.fine_tuned_model == f"ft:hone-tiny:hone:support-triage:{job.id.removeprefix('ftjob-')[:8]}"
    assert job.method.supervised.hyperparameters.batch_size == 8
    assert job.trained_tokens > 0 and job.finished_at >= job.created_at
    assert job.hone["version"] == "support-triage@1"
    lines = story.client.files.content(job.result_files[0]).read().decode().splitlines()
    trained = [line for line in lines[1:] if line.split(",")[1]]
    assert int(trained[-1].split(",")[0]) == STEPS


def test_the_waiting_job_was_cancelled_without_being_begun(story: Story) -> None:
    assert story.waiting.status == "cancelled"
    messages = [event.message for event in story.client.fine_tuning.jobs.list_events(story.waiting.id)]
    assert messages == ["The job was cancelled", f"Created fine-tuning job: {story.waiting.id}"]


def test_what_was_killed_and_paused_was_done_once(story: Story) -> None:
    """The run's stages were made once each, the training went on from where it was, and one version is registered."""
    assert story.paused.status == "paused" and story.paused.fine_tuned_model is None
    assert story.steps_when_paused < STEPS
    messages = [event.message for event in story.streamed]
    assert messages.count("train.seed-0 finished") == 1
    assert messages.count("register finished") == 1
    resumed = [message for message in messages if "going on from step" in message]
    assert len(resumed) == 2, messages  # after the kill, and after the pause
    store = Store(story.service.root)
    assert len(list(store.list("train"))) == len(list(store.list("register"))) == 1
    (train,) = store.list("train")
    log = store.directory(ArtifactRef(stage="train", fingerprint=train.fingerprint)) / "log.jsonl"
    steps = [line["step"] for line in map(json.loads, log.read_text().splitlines()) if "loss" in line]
    assert steps == sorted(set(steps)) and steps[-1] == STEPS
    registry = MlflowRegistry(story.service.root / "mlflow.db", None)
    assert [str(version) for version in registry.list_versions()] == ["support-triage@1"]


def test_events_are_followed_in_their_order(story: Story) -> None:
    paged = list(story.client.fine_tuning.jobs.list_events(story.job.id, limit=7))
    assert [event.id for event in story.streamed] == [event.id for event in reversed(paged)]
    messages = [event.message for event in story.streamed]
    for message in (
        f"Created fine-tuning job: {story.job.id}",
        "Fine-tuning job started",
        "The service was restarted; the job goes on",
        "The job is paused",
        "The job goes on",
    ):
        assert message in messages
    assert str(story.service.root) not in " ".join(messages)
    last = metrics(story.client, story.job.id)[0].data
    assert last["step"] == STEPS and (last.get("train_loss") or last.get("valid_loss")) > 0


def test_checkpoints_are_listed_once_each(story: Story) -> None:
    found = list(story.client.fine_tuning.jobs.checkpoints.list(story.job.id, limit=3))
    steps = [checkpoint.step_number for checkpoint in found]
    assert steps == sorted(set(steps), reverse=True) and steps[0] == STEPS
    assert found[0].fine_tuned_model_checkpoint == f"{story.job.fine_tuned_model}:ckpt-step-{STEPS}"
    assert found[0].metrics.train_loss > 0


def test_the_last_checkpoint_is_the_adapter_that_was_left(story: Story, tmp_path: Path) -> None:
    """Byte for byte, so what a checkpoint's name leads to is what was trained up to there."""
    root = story.service.root
    (train,) = Store(root).list("train")
    trained = Store(root).directory(train) / "model"
    weights = root / "service" / "checkpoints" / story.job.id / f"step-{STEPS:08d}" / WEIGHTS
    write_checkpoint_adapter(weights, trained, tmp_path / "adapter")
    names = {path.name for path in trained.iterdir()}
    assert {path.name for path in (tmp_path / "adapter").iterdir()} == names
    assert all((tmp_path / "adapter" / name).read_bytes() == (trained / name).read_bytes() for name in names)


def test_the_model_answers_by_its_name(story: Story) -> None:
    assert story.job.fine_tuned_model in [model.id for model in story.client.models.list()]
    asked = {
        "messages": [{"role": "user", "content": "lamp 1 in room 7 is fan 9"}],
        "max_tokens": 4,
        "temperature": 0,
    }
    whole = story.client.chat.completions.with_raw_response.create(model=story.job.fine_tuned_model, **asked)
    assert whole.headers["x-hone-version"] == "support-triage@1"
    code = blocks()[1].replace("My parcel never came.", asked["messages"][0]["content"])
    exec(code, {"client": story.client, "job": story.job})
    text = whole.parse().choices[0].message.content
    with story.client.chat.completions.create(model="support-triage@1", stream=True, **asked) as pieces:
        assert "".join(piece.choices[0].delta.content or "" for piece in pieces if piece.choices) == text


@pytest.mark.full
def test_a_checkpoint_answers_by_its_name(story: Story) -> None:
    """The last one, as the model that was left; another engine takes the place of the model's."""
    asked = {"messages": [{"role": "user", "content": "lamp 1"}], "max_tokens": 4, "temperature": 0}
    answers = [
        story.client.chat.completions.create(model=model, **asked).choices[0].message.content
        for model in (story.job.fine_tuned_model, f"{story.job.fine_tuned_model}:ckpt-step-{STEPS}")
    ]
    assert answers[0] == answers[1]


def test_errors_are_those_that_the_sdk_knows(story: Story) -> None:
    from openai import AuthenticationError, BadRequestError, NotFoundError, OpenAI

    with pytest.raises(NotFoundError) as missing:
        story.client.fine_tuning.jobs.retrieve("ftjob-unknown")
    assert missing.value.param == "fine_tuning_job_id" and missing.value.request_id is not None
    with pytest.raises(BadRequestError) as bad:
        story.client.fine_tuning.jobs.create(model="hone:tiny", training_file="file-unknown")
    assert (bad.value.code, bad.value.param) == ("file_not_found", "training_file")
    with pytest.raises(BadRequestError):
        story.client.fine_tuning.jobs.cancel(story.job.id)
    stranger = OpenAI(base_url=story.service.base_url, api_key="hone_a_b", max_retries=0)
    with stranger, pytest.raises(AuthenticationError):
        stranger.files.list()


def test_the_service_ends_when_it_is_asked_to(story: Story) -> None:
    """Last in this file: the service is gone after it."""
    assert story.service.stop() == 0
    assert "Traceback" not in story.service.log.read_text()
