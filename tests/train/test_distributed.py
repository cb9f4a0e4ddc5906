"""Training in two processes: the same steps as in one, and one end for both whatever happens to either."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil
import pytest

from pipeline.core.context import CallContext
from pipeline.core.errors import BudgetError, Cancelled, ConfigError, DivergenceError
from pipeline.core.workspace import Workspace
from pipeline.render import render_examples
from pipeline.train.stage import run
from schemas.artifacts import Stored
from schemas.base_model import BaseModelRef
from schemas.data import DataArtifact
from schemas.distributed import ALONE, DistributedOptions, Processes
from schemas.events import Event
from schemas.train import TrainInputs
from tests.support.tiny_model import tiny_tokenizer
from tests.support.training import Trained, conversation, data_artifact, run_stage, train_config

pytestmark = pytest.mark.slow

TWO = Processes(per_node=2)

ROUNDING = 1e-5
"""How far weights in float32 may be from those of one process: sums are taken in another order. Weights are below 1."""


def weights(trained: Trained) -> dict[str, Any]:
    from safetensors.torch import load_file

    (path,) = (trained.workspace.output / "model").glob("*.safetensors")
    return load_file(path)


def distance(first: Trained, second: Trained) -> float:
    """Return the largest difference between two trainings' weights."""
    ours, theirs = weights(first), weights(second)
    assert ours.keys() == theirs.keys()
    return max(float((ours[name] - theirs[name]).abs().max()) for name in ours)


def training_processes(below: psutil.Process | None = None) -> list[psutil.Process]:
    """Return the processes below this one, or another, that train."""
    found = []
    for process in (below or psutil.Process()).children(recursive=True):
        try:
            words = process.cmdline()
        except psutil.Error:
            continue
        if any("distributed_worker" in word for word in words) and "torch.distributed.run" not in words:
            found.append(process)
    return found


@pytest.fixture(scope="module")
def odd_rows(tmp_path_factory: pytest.TempPathFactory) -> Stored[DataArtifact]:
    """21 rows: in steps of 4, the last one has a single row, and one of two processes none."""
    train, validation = [conversation(n) for n in range(21)], [conversation(n) for n in range(24, 29)]
    return data_artifact(tmp_path_factory.mktemp("odd"), train, validation)


@pytest.mark.parametrize("method", ["sft", pytest.param("dpo", marks=pytest.mark.full)])
def test_copies_take_the_steps_of_one_process(
    tiny: BaseModelRef,
    odd_rows: Stored[DataArtifact],
    pairs: Stored[DataArtifact],
    tmp_path: Path,
    method: str,
) -> None:
    """Of DPO's 16 pairs the last step has 4, a single micro-batch of at most 6: one process has none of it."""
    data = odd_rows if method == "sft" else pairs
    batches = {"per_device_train_batch_size": 2 if method == "sft" else 6, "gradient_accumulation_steps": 2}
    config = train_config(tiny, method=method, **batches)
    one = run_stage(tmp_path / "one", config, data)
    two = run_stage(tmp_path / "two", config, data, processes=TWO)
    assert two.artifact.steps == one.artifact.steps
    assert distance(one, two) < ROUNDING
    assert [line.keys() for line in two.log] == [line.keys() for line in one.log]
    for ours, theirs in zip(two.log, one.log, strict=True):
        assert ours == pytest.approx(theirs, abs=ROUNDING)
    assert [event.kind for event in two.events if event.kind in ("checkpoint", "metric")] == [
        event.kind for event in one.events if event.kind in ("checkpoint", "metric")
    ]
    made = ("processes", "strategy")
    assert (two.artifact.processes, two.artifact.strategy) == (2, "ddp")
    assert two.artifact.model_dump(exclude={*made, "train_loss", "eval_loss"}) == one.artifact.model_dump(
        exclude={*made, "train_loss", "eval_loss"}
    )


STRATEGIES = [
    "fsdp2",
    *(
        pytest.param(name, marks=pytest.mark.skipif(find_spec("deepspeed") is None, reason="NO DEEPSPEED HERE"))
        for name in ("zero2", "zero3")
    ),
]


@pytest.mark.full
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_shards_stop_and_go_on_as_if_nothing_had_been(
    tiny: BaseModelRef, odd_rows: Stored[DataArtifact], tmp_path: Path, strategy: str
) -> None:
    """Its checkpoint is the one of a single process, which can go on with it."""
    config = train_config(tiny, adapter="full", num_train_epochs=2, distributed={"strategy": strategy})
    whole = run_stage(tmp_path / "whole", config, odd_rows, processes=TWO)
    assert (whole.artifact.processes, whole.artifact.strategy) == (2, strategy)
    with pytest.raises(Cancelled):
        run_stage(tmp_path / "parts", config, odd_rows, stop_at=3, processes=TWO)
    assert training_processes() == []
    shutil.copytree(tmp_path / "parts", tmp_path / "alone")
    parts = run_stage(tmp_path / "parts", config, odd_rows, processes=TWO)
    assert parts.digest == whole.digest
    assert parts.artifact == whole.artifact
    alone = run_stage(tmp_path / "alone", config, odd_rows)
    assert alone.artifact.processes == 1
    assert distance(alone, whole) < ROUNDING


@contextmanager
def killed_after_a_checkpoint(work: Path, below: psutil.Process | None = None) -> Iterator[list[int]]:
    """Kill a training process below this one, or another, once there is a checkpoint; the list tells which."""
    killed: list[int] = []

    def kill() -> None:
        while not list(work.glob("scratch/checkpoints/step-*/manifest.json")):
            time.sleep(0.05)
        process = training_processes(below)[-1]
        process.send_signal(signal.SIGKILL)
        killed.append(process.pid)

    thread = threading.Thread(target=kill, daemon=True)
    thread.start()
    yield killed
    thread.join()


LONG: dict[str, Any] = {
    "num_train_epochs": 40,
    "save_steps": 10,
    "lora": {"r": 4, "lora_alpha": 8, "lora_dropout": 0.3},  # draws random numbers, in each process its own
}


@pytest.fixture(scope="module")
def uninterrupted(tiny: BaseModelRef, rows: Stored[DataArtifact], tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return run_stage(tmp_path_factory.mktemp("whole"), train_config(tiny, **LONG), rows, processes=TWO)


@pytest.mark.full
def test_a_killed_process_ends_all_and_they_go_on(
    tiny: BaseModelRef, rows: Stored[DataArtifact], uninterrupted: Trained, tmp_path: Path
) -> None:
    with killed_after_a_checkpoint(tmp_path / "killed") as killed:
        parts = run_stage(tmp_path / "killed", train_config(tiny, **LONG), rows, processes=TWO)
    assert len(killed) == 1
    warnings = [event.message for event in parts.events if event.kind == "warning"]
    assert warnings == ["one of 2 training processes was lost; all begin again from the newest checkpoint"]
    assert parts.digest == uninterrupted.digest
    assert training_processes() == []


def train(work: Path, config: Any, data: Stored[DataArtifact], context: CallContext) -> None:
    (work / "output").mkdir(parents=True)
    (work / "scratch").mkdir()
    run(config, TrainInputs(data=data), context, Workspace(work / "output", work / "scratch"))


@pytest.mark.full
def test_a_deadline_reaches_all_and_a_checkpoint_is_left(tiny: BaseModelRef, tmp_path: Path) -> None:
    """It has passed before the processes are there: they agree at the end of their first step."""
    from pipeline.train.backends import TrainJob
    from pipeline.train.backends import train as train_by

    config, tokenizer = train_config(tiny, save_steps=1000), tiny_tokenizer()
    rendered = render_examples([conversation(n) for n in range(24)], tokenizer, config, 64, source="train")
    job = TrainJob(
        config=config,
        train=rendered.rows,
        validation=(),
        tokenizer=tokenizer,
        scratch=tmp_path / "scratch",
        output=tmp_path / "model",
        context=CallContext(deadline=time.monotonic()),
        processes=TWO,
        shared=DistributedOptions(strategy="ddp"),
    )
    with pytest.raises(BudgetError, match="what was saved is kept"):
        train_by("sft", job)
    assert [path.name for path in (tmp_path / "scratch/checkpoints").iterdir()] == ["step-00000001"]
    assert training_processes() == []


@pytest.mark.full
def test_ctrl_c_ends_the_step_of_all(tiny: BaseModelRef, rows: Stored[DataArtifact], tmp_path: Path) -> None:
    def interrupt(event: Event) -> None:
        if event.kind == "metric":
            os.kill(os.getpid(), signal.SIGINT)

    context = CallContext(sink=interrupt, processes=TWO)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, train_config(tiny, num_train_epochs=400, save_steps=1000), rows, context)
    assert len(list((tmp_path / "scratch/checkpoints").iterdir())) == 1
    assert training_processes() == []


@pytest.mark.full
def test_divergence_in_one_process_is_known_to_all(
    tiny: BaseModelRef, rows: Stored[DataArtifact], tmp_path: Path
) -> None:
    events: list[Event] = []
    config = train_config(tiny, adapter="full", learning_rate=1e30)
    with pytest.raises(DivergenceError, match="again, with half the learning rate") as caught:
        train(tmp_path, config, rows, CallContext(sink=events.append, processes=TWO))
    assert caught.value.where == "train.learning_rate"
    assert [event.data["recovery"] for event in events if event.kind == "recovery"] == ["divergence"]


def test_an_error_of_a_process_is_the_stages(tiny: BaseModelRef, rows: Stored[DataArtifact], tmp_path: Path) -> None:
    config = train_config(tiny, lora={"r": 4, "lora_alpha": 8, "target_modules": ["q_prj"]})
    with pytest.raises(ConfigError, match="'q_prj' names no module of the model") as caught:
        train(tmp_path, config, rows, CallContext(processes=TWO))
    assert caught.value.where == "train.lora.target_modules"


FOLLOW = """
import sys
from pipeline.backends.training.distributed_nodes import follow
from schemas.distributed import Processes

follow(Processes.model_validate_json(sys.argv[1]), 1)
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("", 0))
        return int(probe.getsockname()[1])


@pytest.mark.full
def test_another_machine_needs_nothing_but_an_address(
    tiny: BaseModelRef, rows: Stored[DataArtifact], uninterrupted: Trained, tmp_path: Path
) -> None:
    """Two machines with a process each, and folders of their own. The second one's process is killed, and both go on
    from the checkpoint, which the second was sent.
    """
    config = train_config(tiny, **LONG)
    processes = Processes(per_node=1, nodes=2, port=free_port())
    follower = subprocess.Popen(
        [sys.executable, "-c", FOLLOW, processes.model_dump_json()],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        cwd=tmp_path,
    )
    try:
        with killed_after_a_checkpoint(tmp_path / "parts", psutil.Process(follower.pid)) as killed:
            parts = run_stage(tmp_path / "parts", config, rows, processes=processes)
        assert len(killed) == 1
        assert follower.wait(timeout=60) == 0
    finally:
        follower.kill()
        follower.wait()
    assert parts.digest == uninterrupted.digest
    assert parts.artifact == uninterrupted.artifact


def test_one_process_is_this_one(tiny: BaseModelRef, rows: Stored[DataArtifact], tmp_path: Path) -> None:
    config = train_config(tiny, max_steps=1, distributed={"strategy": "fsdp2"})
    assert run_stage(tmp_path, config, rows, processes=ALONE).artifact.strategy is None
