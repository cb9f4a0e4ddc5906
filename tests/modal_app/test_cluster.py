"""Training in a cluster of containers: what is declared, what is refused, and two containers that train together."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from modal_app.caller import _in_processes
from modal_app.cluster import CLUSTER, cluster_for
from modal_app.envelope import Envelope, Reply
from pipeline.catalog import CATALOG
from pipeline.core.errors import ConfigError
from pipeline.execute import Prepared
from schemas.artifacts import StageCall
from schemas.base import ArtifactRef, Reference
from schemas.base_model import BaseModelRef
from schemas.distributed import Processes
from schemas.ledger import Allowance, Resources
from schemas.placement import Placement
from schemas.request import CallRequest
from schemas.train import TrainInputs
from tests.modal_app.plane import TIMEOUT, StartHome
from tests.support.committed import commit
from tests.support.tiny_model import write_tiny_base
from tests.support.training import base, conversation, data_artifact, run_stage, train_config

ROUNDING = 1e-5
"""How far weights may be from those of one process: see tests/train/test_distributed.py."""

SUBJECT = """
    import sys
    from pathlib import Path

    from modal_app.app import stages as app
    from modal_app.cluster import CLUSTER
    from modal_app.volumes import ARTIFACTS


    @app.local_entrypoint()
    def main(workspace: str, envelope: str):
        with ARTIFACTS.batch_upload() as batch:
            batch.put_directory(workspace, "/")
        sized = CLUSTER.with_options(gpu="H200:8", cpu=2.0, memory=4096, timeout=3000)
        print("reply:", sized.remote(Path(envelope).read_text()))
"""


def two_hosts(nodes: int) -> Placement:
    return Placement(
        gpu="H100:8", count=8, nodes=nodes, cpu=4.0, memory=8192, timeout=3600, dollars_per_second=0.02 * nodes
    )


def test_an_app_without_a_cluster_says_how_to_make_one() -> None:
    assert CLUSTER is None
    with pytest.raises(ConfigError, match="the app was made with no cluster, and the run trains on 2") as caught:
        cluster_for(two_hosts(2))
    assert caught.value.where == "hardware.train.nodes"
    assert "HONE_MODAL_NODES=2" in str(caught.value)


def prepared(**changes: Any) -> Prepared:
    """Return a training as the caller gets it."""
    any_base = BaseModelRef(name="any", weights=Reference(location="any", digest="0" * 64))
    config = train_config(any_base, **{"gradient_accumulation_steps": 4, **changes})
    call = StageCall(id="train.seed-0", stage="train", config=config.model_dump(mode="json"))
    ref = ArtifactRef(stage="train", fingerprint="0" * 64)
    return Prepared(call, CATALOG["train"], config, TrainInputs.model_construct(), "train", "cuda", ref)


def request_of(training: Prepared) -> CallRequest:
    return CallRequest(call=training.call, root=Path("/hone"))


def test_a_training_gets_a_process_for_each_gpu() -> None:
    training = prepared()
    four = Placement(gpu="H100:4", count=4, cpu=4.0, memory=8192, timeout=60, dollars_per_second=0.01)
    assert _in_processes(training, request_of(training), four, None).processes == Processes(per_node=4)
    cpu = Placement(cpu=4.0, memory=8192, timeout=60, dollars_per_second=0.01)
    assert _in_processes(training, request_of(training), cpu, None) == request_of(training)


def test_what_cannot_be_shared_costs_no_gpu() -> None:
    training = prepared(per_device_train_batch_size=1, gradient_accumulation_steps=3)
    two = Placement(gpu="H100:2", count=2, cpu=4.0, memory=8192, timeout=60, dollars_per_second=0.01)
    with pytest.raises(ConfigError, match="a step of 3 rows"):
        _in_processes(training, request_of(training), two, None)
    with pytest.raises(ConfigError, match="the app was made with no cluster"):
        _in_processes(prepared(), request_of(prepared()), two_hosts(2), None)


DECLARED = """
from modal_app.client.deployed_cost import deployed
from modal_app.cluster import CLUSTER, cluster_for
from schemas.placement import Placement

def place(nodes):
    return Placement(gpu="H100:8", count=8, nodes=nodes, cpu=4.0, memory=8192, timeout=60, dollars_per_second=0.1)

assert cluster_for(place(2)) is CLUSTER is not None
(counted,) = [part for part in deployed() if part.name == "train cluster"]
assert (counted.placement.gpu, counted.placement.nodes, counted.most) == ("H100:8", 2, 4)
# 3600 s * 4 clusters * 2 hosts * 8 GPUs at 0.001097 dollars a second, and cores and memory.
assert counted.an_hour > 3600 * 4 * 2 * 8 * 0.001097
try:
    cluster_for(place(4))
except Exception as error:
    print(error)
"""


@pytest.mark.slow
@pytest.mark.parametrize("how", ["nodes", "config"])
def test_a_cluster_has_the_size_that_the_settings_or_the_description_say(how: str, tmp_path: Path) -> None:
    spec = tmp_path / "spec.yaml"
    hardware = {"train": {"gpu": "H100:8", "nodes": 2}}
    described = {"name": "n", "task": "generation", "base_model": "b", "data": {"path": "p"}, "hardware": hardware}
    spec.write_text(json.dumps(described))
    chosen = {"HONE_MODAL_NODES": "2"} if how == "nodes" else {"HONE_MODAL_CONFIG": str(spec)}
    done = subprocess.run(
        [sys.executable, "-c", DECLARED],
        env={"PYTHONPATH": str(Path(__file__).parents[2]), "PATH": "/usr/bin:/bin", **chosen},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "the app was made with a cluster of 2 containers, and the run trains on 4" in done.stdout


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("", 0))
        return int(probe.getsockname()[1])


def weights(folder: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    (path,) = folder.glob("*.safetensors")
    return load_file(path)


@pytest.mark.modal
@pytest.mark.slow
def test_two_containers_train_one_model(start_home: StartHome, tmp_path: Path) -> None:
    """A gloo group over both containers; the second one has of the first's workspace what it was sent."""
    home = start_home({"HONE_MODAL_NODES": "2"})
    (tmp_path / "rows").mkdir()
    data = data_artifact(tmp_path / "rows", [conversation(n) for n in range(24)])
    here = base(write_tiny_base(tmp_path / "workspace/base"))
    assert here.weights is not None
    there = BaseModelRef(name="tiny", weights=Reference(location="/hone/base", digest=here.weights.digest))
    config = train_config(there).model_dump(mode="json")
    call = StageCall(
        id="train.seed-0", stage="train", config=config, inputs={"data": commit(tmp_path / "workspace", data)}
    )
    resources = Resources(gpu="H100", count=8, nodes=2, cpu=4.0, memory_gib=8.0)
    envelope = Envelope(
        run="cluster",
        request=CallRequest(call=call, root=Path("/hone"), processes=Processes(per_node=1, nodes=2, port=free_port())),
        resources=resources,
        allowance=Allowance(call_id=call.id, resources=resources, seconds=TIMEOUT),
    )
    (tmp_path / "envelope.json").write_text(envelope.model_dump_json())
    subject = tmp_path / "subject.py"
    subject.write_text("\n".join(line[4:] for line in SUBJECT.splitlines()))
    done = home.plane.modal(
        *("run", subject.name, "--workspace", str(tmp_path / "workspace"), "--envelope", "envelope.json"),
        cwd=tmp_path,
        env=home.environment,
        timeout=TIMEOUT,
    )
    assert done.returncode == 0, done.stdout
    reply = Reply.model_validate_json(done.stdout.split("reply: ")[1].splitlines()[0])
    assert reply.result.status == "done", reply.result
    assert len([one for one in home.plane.containers if one.function.name == "train_cluster_stage"]) == 2
    assert home.plane.functions["train_cluster_stage"].nodes == 2
    assert reply.result.ref is not None
    place = f"artifacts/train/{reply.result.ref.fingerprint}/"
    files = {name.removeprefix(place): content for name, content in home.files().items() if name.startswith(place)}
    artifact = json.loads(files["manifest.json"])["artifact"]
    assert (artifact["processes"], artifact["strategy"]) == (2, "ddp")
    (tmp_path / "fetched").mkdir()
    (tmp_path / "fetched/adapter.safetensors").write_bytes(files["model/adapter_model.safetensors"])
    alone = run_stage(tmp_path / "alone", train_config(here), data)
    ours, theirs = weights(tmp_path / "fetched"), weights(alone.workspace.output / "model")
    assert max(float((ours[name] - theirs[name]).abs().max()) for name in theirs) < ROUNDING
