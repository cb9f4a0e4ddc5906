"""``modal deploy``: what a description's plan makes of sizes, and what the app is said to cost."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from modal_app.client.deployed_cost import Deployed, cost_lines, deployed
from modal_app.endpoint import placement
from modal_app.sizes import deploying
from schemas.placement import Placement
from tests.modal_app.plane import StartHome
from tests.modal_app.secrets import API_KEY, SECRETS
from tests.modal_app.serving_support import Site

ROWS = 600


def write_description(folder: Path, **hardware: Any) -> Path:
    """Write a description of an adapter on a base of 32 billion parameters, with its rows."""
    rows = ({"prompt": f"Where is parcel {number}?", "completion": f"At {number}."} for number in range(ROWS))
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    spec = {
        "name": "parcels",
        "task": "generation",
        "base_model": "Qwen/Qwen3-32B",
        "data": {"path": "rows.jsonl"},
        "serve": {"options": {"max_model_len": 4096}},
        "hardware": hardware,
    }
    path = folder / "parcels.yaml"
    path.write_text(yaml.safe_dump(spec), encoding="utf-8")
    return path


def test_without_a_description_the_endpoint_has_the_usual_gpu() -> None:
    assert not deploying()
    assert (placement().gpu, placement().count, placement().cpu, placement().memory) == ("L40S", 1, 4.0, 32768)


def part(name: str, dollars_per_second: float, most: int, kept: int = 0, gpu: str | None = None) -> Deployed:
    where = Placement(
        gpu=gpu, count=int(gpu is not None), cpu=4.0, memory=8192, timeout=60, dollars_per_second=dollars_per_second
    )
    return Deployed(name, where, most, kept)


def test_costs_are_those_of_all_containers_and_of_those_that_stay() -> None:
    parts = [part("endpoint", 0.001, 1, gpu="L40S"), part("train", 0.002, 4, gpu="H100"), part("loop", 0.00001, 4)]
    idle, most = cost_lines(parts)
    assert idle == "idle: $0.00 a day (no container stays; Modal bills what the Volumes hold beside that)"
    # 3600 * (0.001 + 4 * 0.002 + 4 * 0.00001) = 32.544
    assert most.startswith("at most: $32.54 an hour, while all that may run does: train $28.80 (4 x H100), ")
    assert "endpoint $3.60 (1 x L40S), loop $0.14 (4 x CPU) (prices of " in most
    warm, _ = cost_lines([*parts, part("warm", 0.001, 2, kept=1)])
    assert warm.startswith("idle: $86.40 a day (warm stay")  # 86400 * 0.001


@pytest.mark.modal
def test_a_deployment_has_the_sizes_of_its_plan_and_tells_what_they_cost(start_home: StartHome) -> None:
    home = start_home({"HONE_MODAL_DEVICE": "cuda"}, secrets=SECRETS)
    config = write_description(home.folder)
    done = Site(home).deploy(HONE_MODAL_CONFIG=str(config), HONE_API_KEY=API_KEY)
    assert done.returncode == 0, done.stdout
    server = home.plane.functions["Endpoint"]
    # 32.8e9 parameters in bfloat16 are 61 GiB, and 2 GiB are room. A token's cache is 64 layers * 8 heads * 128 * 2 * 2
    # bytes = 0.25 MiB; 32 requests of rows as short as these take less than the one of 4096 tokens that the engine is
    # started for, or a little more: 1 to 2 GiB. Of an A100-80GB 0.9 * 79.2 = 71.3 GiB may be filled; of 44.5 GiB less.
    assert isinstance(server.gpu, list)
    assert server.gpu[0] == "A100-80GB"
    assert (server.cpu, server.memory) == (4.0, 32768)
    assert server.image is not None
    assert "/.0_serve-vllm.cuda.txt" in server.image.files
    config_of = server.definition.http_config
    assert (config_of.port, config_of.unauthenticated, config_of.exit_grace_period) == (8000, True, 120)
    assert server.startup_timeout == 1800
    assert server.scaledown_window == 300
    assert re.search(r"at most: \$\d+\.\d\d an hour, while all that may run does: ", done.stdout)
    assert API_KEY not in done.stdout
    assert len(deployed()) == len(home.plane.functions), sorted(home.plane.functions)
    assert home.plane.containers == []
