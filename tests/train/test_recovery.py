"""Recoveries: half the learning rate after NaN, a smaller micro-batch after running out of memory."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pipeline.core.context import CallContext
from pipeline.core.errors import DivergenceError, OutOfMemory
from schemas.artifacts import Stored
from schemas.base_model import BaseModelRef
from schemas.data import DataArtifact
from schemas.events import Event
from schemas.train import TrainArtifact
from tests.support.tiny_model import tiny_tokenizer
from tests.support.training import conversation, data_artifact, run_stage, train_config


@pytest.mark.slow
def test_divergence_rolls_back_once_and_then_stops(tiny: BaseModelRef, rows: Stored[DataArtifact], work: Path) -> None:
    # A rate of 1e30 makes the weights overflow at the first step that uses it: warmup leaves step 1 at 0.
    config = train_config(tiny, adapter="full", learning_rate=1e30)
    with pytest.raises(DivergenceError, match=r"at step \d again, with half the learning rate \(5e\+29\)") as caught:
        run_stage(work, config, rows)
    assert caught.value.where == "train.learning_rate"


def _job(config: Any, work: Path, events: list[Event]) -> Any:
    from pipeline.backends.training.job import TrainJob
    from pipeline.render import render_examples

    tokenizer = tiny_tokenizer()
    examples = [conversation(n) for n in range(24)]
    rendered = render_examples(examples, tokenizer, config, config.max_length, source="train")
    context = CallContext(sink=events.append)
    return TrainJob(config, rendered.rows, (), tokenizer, work / "scratch", work / "model", context)


@pytest.mark.slow
def test_one_bad_step_costs_half_the_rate(tiny: BaseModelRef, work: Path) -> None:
    """The fault is injected: the first time that step 4 is reached its loss is not finite."""
    from pipeline.backends.training.guarded import NotFinite
    from pipeline.backends.training.loop import run_training
    from pipeline.backends.training.methods.sft import build as build_sft

    rates: list[float] = []
    failed = []

    def build(job: Any, settings: Any) -> Any:
        trainer = build_sft(job, settings)
        step = trainer.training_step

        def training_step(*arguments: Any, **more: Any) -> Any:
            if trainer.state.global_step == 3 and not failed:
                failed.append(True)
                raise NotFinite(4, "loss")
            rates.append(trainer.optimizer.param_groups[0]["lr"])
            return step(*arguments, **more)

        trainer.training_step = training_step
        return trainer

    events: list[Event] = []
    config = train_config(tiny, lr_scheduler_type="constant", warmup_ratio=0.0)
    outcome = run_training(_job(config, work, events), build)
    assert rates == [1e-2] * 3 + [5e-3] * 3
    assert outcome.steps == 6
    assert [recovery.kind for recovery in outcome.recoveries] == ["divergence"]
    recoveries = [event for event in events if event.kind == "recovery"]
    assert recoveries[0].message == "loss not finite; back to step 3, learning rate 0.01 -> 0.005"


@pytest.mark.slow
def test_an_evaluation_that_gives_no_number_costs_half_the_rate(tiny: BaseModelRef, work: Path) -> None:
    """The fault is injected: the first evaluation after step 4 is NaN, which would be the best of all for ever."""
    from pipeline.backends.training.loop import run_training
    from pipeline.backends.training.methods.sft import build as build_sft

    failed = []

    def build(job: Any, settings: Any) -> Any:
        trainer = build_sft(job, settings)
        whole = trainer.mean_loss

        def mean_loss(rows: Any) -> float:
            if trainer.state.global_step == 4 and not failed:
                failed.append(True)
                return float("nan")
            return float(whole(rows))

        trainer.mean_loss = mean_loss
        return trainer

    events: list[Event] = []
    config = train_config(tiny, eval_steps=2, early_stopping_patience=3)
    job = _job(config, work, events)
    outcome = run_training(dataclasses.replace(job, validation=job.train[:4]), build)
    recoveries = [event.message for event in events if event.kind == "recovery"]
    assert recoveries == ["evaluation loss not finite; back to step 3, learning rate 0.01 -> 0.005"]
    assert outcome.steps == 6 and outcome.eval_loss is not None and outcome.eval_loss < 10
    assert [line["step"] for line in outcome.log if "eval_loss" in line] == [2, 4, 6]


def _hungry(rows_that_fit: int) -> Any:
    """Build SFT trainers that run out of memory on larger micro-batches: the fault is injected."""
    import torch

    from pipeline.backends.training.methods.sft import build as build_sft

    def build(job: Any, settings: Any) -> Any:
        trainer = build_sft(job, settings)
        compute = trainer.compute_loss

        def compute_loss(model: Any, inputs: Any, *arguments: Any, **more: Any) -> Any:
            if len(inputs["input_ids"]) > rows_that_fit and trainer.state.global_step >= 2:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
            return compute(model, inputs, *arguments, **more)

        trainer.compute_loss = compute_loss
        return trainer

    return build


@pytest.mark.slow
def test_out_of_memory_keeps_the_effective_batch(tiny: BaseModelRef, work: Path, tmp_path: Path) -> None:
    from pipeline.backends.training.loop import run_training
    from pipeline.backends.training.methods.sft import build as build_sft

    events: list[Event] = []
    config = train_config(tiny)
    outcome = run_training(_job(config, work, events), _hungry(1))
    assert (outcome.micro_batch, outcome.accumulation, outcome.steps) == (1, 4, 6)
    assert [recovery.action for recovery in outcome.recoveries] == [
        "micro-batch 4 -> 2, accumulation 1 -> 2",
        "micro-batch 2 -> 1, accumulation 2 -> 4",
    ]
    assert [recovery.step for recovery in outcome.recoveries] == [2, 2]
    whole = run_training(_job(config, tmp_path / "whole", []), build_sft)
    assert [line["loss"] for line in outcome.log] == pytest.approx([line["loss"] for line in whole.log], rel=1e-4)


@pytest.mark.slow
def test_one_row_that_does_not_fit_is_an_error(tiny: BaseModelRef, work: Path) -> None:
    from pipeline.backends.training.loop import run_training

    with pytest.raises(OutOfMemory, match="one row at a time does not fit"):
        run_training(_job(train_config(tiny), work, []), _hungry(0))


def test_other_errors_are_not_taken_for_lack_of_memory(tiny: BaseModelRef, work: Path) -> None:
    from pipeline.backends.training.loop import run_training

    def build(job: Any, settings: Any) -> Any:
        raise RuntimeError("something else")

    with pytest.raises(RuntimeError, match="something else"):
        run_training(_job(train_config(tiny), work, []), build)


@pytest.mark.slow
def test_a_killed_training_remembers_its_recovery(
    tiny: BaseModelRef, rows: Stored[DataArtifact], tmp_path: Path
) -> None:
    from pipeline.backends.training.settings import AttemptSettings
    from pipeline.core.errors import Cancelled

    config = train_config(tiny)
    smaller = dataclasses.replace(AttemptSettings.first(config), micro_batch=2, accumulation=2)
    (tmp_path / "scratch").mkdir()
    smaller.save(tmp_path / "scratch")
    with pytest.raises(Cancelled):
        run_stage(tmp_path, config, rows, stop_at=2)
    artifact = run_stage(tmp_path, config, rows).artifact
    assert (artifact.micro_batch, artifact.accumulation, artifact.steps) == (2, 2, 6)


CHILD = """
import resource
import sys
from pathlib import Path

import torch

from schemas.artifacts import Stored
from schemas.data import DataArtifact
from schemas.train import TrainConfig
from tests.support.training import run_stage

work, config, data = Path(sys.argv[1]), TrainConfig.model_validate_json(sys.argv[2]), sys.argv[3]
rows = Stored[DataArtifact].model_validate_json(data)
torch.set_num_threads(1)
run_stage(work / "warm", config.model_copy(update={"per_device_train_batch_size": 4, "max_steps": 1}), rows)
pages = int(Path("/proc/self/statm").read_text().split()[0])
limit = pages * resource.getpagesize() + (200 << 20)
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
print(run_stage(work / "limited", config, rows).artifact.model_dump_json())
"""


@pytest.mark.slow
def test_a_real_lack_of_memory_is_survived(tiny: BaseModelRef, tmp_path: Path) -> None:
    """512 rows at once do not fit into 200 MiB of address space: torch's own allocator refuses."""
    data = data_artifact(tmp_path / "data", [conversation(n) for n in range(512)])
    config = train_config(tiny, adapter="full", per_device_train_batch_size=512, max_steps=2)
    for name in ("warm", "limited"):
        (tmp_path / name).mkdir()
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(tmp_path), config.model_dump_json(), data.model_dump_json()],
        env={**os.environ, "PYTHONPATH": str(root)},
        cwd=root,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    artifact = TrainArtifact.model_validate_json(done.stdout.splitlines()[-1])
    assert artifact.micro_batch < 512
    assert artifact.micro_batch * artifact.accumulation == 512
    assert {recovery.kind for recovery in artifact.recoveries} == {"out_of_memory"}
    assert artifact.steps == 2
