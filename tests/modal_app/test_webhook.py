"""The main job on Modal to its served end: a version by the example run, and a signed webhook that has it retrained."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import openai
import pytest
from standardwebhooks import Webhook

from local_runner.environments import environment
from tests.modal_app.plane import APP, PROJECT, TIMEOUT, ModalHome, printed_json, serve_plane
from tests.modal_app.secrets import API_KEY, SECRETS, WEBHOOK_SECRET
from tests.modal_app.serving_support import free_port

pytestmark = [pytest.mark.modal, pytest.mark.full, pytest.mark.vllm, pytest.mark.timeout(1800)]

EXAMPLE = PROJECT / "examples" / "smoke.yaml"


class Deployed:
    """The deployed app with a version that the example run made."""

    def __init__(self, home: ModalHome) -> None:
        self.home = home
        made = home.run("--config", EXAMPLE, "--yes", "--json")
        assert made.returncode == 0, made.stdout
        self.made: dict[str, Any] = printed_json(made.stdout)
        done = home.plane.modal("deploy", "-m", "modal_app.main", cwd=home.folder, env=home.environment)
        assert done.returncode == 0, done.stdout
        self.url = f"{home.plane.functions['webhook'].url}/v1/webhooks/retrain"

    def deliver(
        self, body: dict[str, Any], delivery: str, when: float | None = None, secret: str = WEBHOOK_SECRET
    ) -> Any:
        """Send a signed delivery as the specification's own package signs it."""
        text, moment = json.dumps(body), datetime.fromtimestamp(when or time.time(), UTC)
        headers = {
            "webhook-id": delivery,
            "webhook-timestamp": str(int(moment.timestamp())),
            "webhook-signature": Webhook(secret).sign(delivery, moment, text),
        }
        return httpx.post(self.url, content=text, headers=headers, timeout=TIMEOUT)

    def controllers(self) -> int:
        """Return how many runs were started."""
        return self.home.started("control_run")


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    if not environment("serve-vllm").installed:
        pytest.skip("NO VLLM HERE: hone env create serve-vllm")
    folder = tmp_path_factory.mktemp("webhook")
    with serve_plane(folder / "plane", secrets=SECRETS) as plane:
        yield Deployed(ModalHome(plane, folder, {"HONE_MODAL_PORT": str(free_port())}))


def rows() -> list[dict[str, Any]]:
    return [json.loads(line) for line in (EXAMPLE.parent / "smoke" / "test.jsonl").read_text().splitlines()[:1]]


def body(**changes: Any) -> dict[str, Any]:
    return {"type": "retrain", "version": "smoke@champion", "rows": rows(), **changes}


def test_the_run_on_modal_ends_in_a_version_that_vllm_was_tried_with(deployed: Deployed) -> None:
    summary = deployed.made["summary"]
    assert (deployed.made["status"], summary["verdict"], summary["version"]) == ("finished", "Ship", "smoke@1")
    assert summary["served_answer"]


def test_what_is_unsigned_stale_or_signed_by_another_starts_nothing(deployed: Deployed) -> None:
    before = deployed.controllers()
    assert httpx.post(deployed.url, json=body(), timeout=TIMEOUT).status_code == 401
    assert deployed.deliver(body(), "stale-1", when=time.time() - 3600).status_code == 400
    other = "whsec_" + base64.b64encode(b"another key, also 32 bytes long!").decode()
    assert deployed.deliver(body(), "forged-1", secret=other).status_code == 401
    assert deployed.deliver(body(version="nothing@champion"), "unknown-1").status_code == 422
    assert deployed.controllers() == before


def test_a_signed_delivery_retrains_and_the_better_version_becomes_champion(deployed: Deployed) -> None:
    asked = body(overrides={"train.num_train_epochs": 16})
    answer = deployed.deliver(asked, "delivery-1")
    assert answer.status_code == 202, answer.text
    run = answer.json()["run"]
    assert deployed.deliver(asked, "delivery-1").status_code == 409
    conclusion = wait_for_conclusion(deployed.home, run)
    assert conclusion["summary"]["version"] == "smoke@2", conclusion
    assert conclusion["summary"]["verdict"] == "Ship", conclusion["summary"]["reasons"]
    compared = {row["label"] for row in conclusion["summary"]["scores"]}
    assert any("champion" in label for label in compared)


def test_the_new_version_is_what_the_endpoint_serves(deployed: Deployed) -> None:
    client = openai.OpenAI(
        base_url=f"{deployed.home.plane.functions['Endpoint'].url}/v1", api_key=API_KEY, timeout=TIMEOUT, max_retries=0
    )
    message = {"role": "user", "content": rows()[0]["message"]}
    answer = client.chat.completions.create(model="smoke", messages=[message], max_tokens=48, temperature=0)
    assert answer.choices[0].message.content
    assert "serving smoke@2" in deployed.home.plane.app(APP).logs.text


def wait_for_conclusion(home: ModalHome, run: str) -> dict[str, Any]:
    deadline = time.monotonic() + TIMEOUT
    while (text := home.files().get(f"runs/{run}/conclusion.json")) is None:
        assert time.monotonic() < deadline, home.plane.app(APP).logs.text[-4000:]
        time.sleep(1.0)
    conclusion: dict[str, Any] = json.loads(text)
    return conclusion
