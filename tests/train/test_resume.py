"""A training that was stopped or killed leaves the bytes of one that never was."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.core.errors import Cancelled
from schemas.artifacts import Stored
from schemas.base_model import BaseModelRef
from schemas.data import DataArtifact
from tests.support.training import Trained, run_stage, train_config

KINDS: dict[str, dict[str, Any]] = {
    "lora with dropout": {"lora": {"r": 4, "lora_alpha": 8, "lora_dropout": 0.3}, "num_train_epochs": 2},
    "full": {"adapter": "full", "num_train_epochs": 2, "gradient_accumulation_steps": 2},
    "evaluated": {"eval_steps": 2, "neftune_noise_alpha": 5.0},
}


def stop_at(step: int, work: Path, config: Any, data: Stored[DataArtifact]) -> None:
    with pytest.raises(Cancelled):
        run_stage(work, config, data, stop_at=step)


@pytest.mark.parametrize(
    "kind", ["lora with dropout", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("full", "evaluated"))]
)
def test_resumed_is_uninterrupted(tiny: BaseModelRef, rows: Stored[DataArtifact], tmp_path: Path, kind: str) -> None:
    config = train_config(tiny, **KINDS[kind])
    whole = run_stage(tmp_path / "whole", config, rows)
    # 24 rows in batches of 4 (8 with accumulation): step 3 is the end of an epoch of "full", the middle of the others'
    stop_at(3, tmp_path / "parts", config, rows)
    parts = run_stage(tmp_path / "parts", config, rows)
    assert parts.digest == whole.digest
    assert parts.artifact == whole.artifact
    assert [event.message for event in parts.events if event.kind == "log"] == [resumed(parts)]


@pytest.mark.slow
@pytest.mark.parametrize("micro_batch", [1, 5, 8, 12])
def test_an_interrupt_in_any_micro_batch_changes_nothing(
    tiny: BaseModelRef, rows: Stored[DataArtifact], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, micro_batch: int
) -> None:
    """A real SIGINT in the first of 12 micro-batches, within an accumulation, at its end, and in the last step."""
    from pipeline.backends.training.guarded import GuardedTrainer

    lora = {"r": 4, "lora_alpha": 8, "lora_dropout": 0.3}
    config = train_config(tiny, lora=lora, per_device_train_batch_size=2, gradient_accumulation_steps=2)
    whole = run_stage(tmp_path / "whole", config, rows)
    step, seen = GuardedTrainer.training_step, 0

    def interrupted(trainer: GuardedTrainer, *arguments: Any, **more: Any) -> Any:
        nonlocal seen
        seen += 1
        if seen == micro_batch:
            os.kill(os.getpid(), signal.SIGINT)
        return step(trainer, *arguments, **more)

    monkeypatch.setattr(GuardedTrainer, "training_step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_stage(tmp_path / "parts", config, rows)
    parts = run_stage(tmp_path / "parts", config, rows)
    assert resumed(parts) == f"going on from step {-(-micro_batch // 2)}"
    assert parts.digest == whole.digest
    assert parts.artifact == whole.artifact


def resumed(trained: Trained) -> str:
    first = next(event for event in trained.events if event.kind == "log")
    return f"going on from step {first.data['step']}"


@pytest.mark.slow
@pytest.mark.parametrize("step", [2, 3, 4, 5])
def test_stopping_at_an_evaluation_loses_none(
    tiny: BaseModelRef, rows: Stored[DataArtifact], tmp_path: Path, step: int
) -> None:
    """Early stopping decides the same, even where the stop falls on the step at which it ends the training."""
    settings = {"adapter": "full", "learning_rate": 0.3, "eval_steps": 2, "early_stopping_patience": 1}
    config = train_config(tiny, num_train_epochs=3, **settings)
    whole = run_stage(tmp_path / "whole", config, rows)
    assert whole.artifact.stopped_early
    stop_at(min(step, whole.artifact.steps), tmp_path / "parts", config, rows)
    parts = run_stage(tmp_path / "parts", config, rows)
    assert parts.digest == whole.digest
    assert parts.artifact == whole.artifact


@pytest.mark.slow
def test_saving_never_changes_the_result(tiny: BaseModelRef, rows: Stored[DataArtifact], tmp_path: Path) -> None:
    config = train_config(tiny, lora={"r": 4, "lora_alpha": 8, "lora_dropout": 0.3})
    often = run_stage(tmp_path / "often", config.model_copy(update={"save_steps": 1}), rows)
    once = run_stage(tmp_path / "once", config.model_copy(update={"save_steps": 1000}), rows)
    assert often.digest == once.digest


def test_a_stop_saves_first(tiny: BaseModelRef, rows: Stored[DataArtifact], tmp_path: Path) -> None:
    config = train_config(tiny, save_steps=1000)
    stop_at(4, tmp_path, config, rows)
    assert [path.name for path in (tmp_path / "scratch/checkpoints").iterdir()] == ["step-00000004"]


@pytest.mark.slow
def test_a_finished_training_is_only_exported_again(
    tiny: BaseModelRef, rows: Stored[DataArtifact], tmp_path: Path
) -> None:
    config = train_config(tiny, max_steps=4)  # the middle of an epoch
    first = run_stage(tmp_path, config, rows)
    second = run_stage(tmp_path, config, rows)
    assert second.digest == first.digest
    assert second.artifact == first.artifact
    assert not [event for event in second.events if event.kind in ("metric", "checkpoint")]


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x10
    path.write_bytes(bytes(data))


FILES = (
    "journal.json",
    "manifest.json",
    "optimizer.pt",
    "rng_state.pth",
    "scheduler.pt",
    "trainer_state.json",
    "weights.safetensors",
)


@pytest.fixture(scope="module")
def stopped(
    tiny: BaseModelRef, rows: Stored[DataArtifact], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, str]:
    """A training stopped after step 4 of 6, with checkpoints of steps 3 and 4; and the digest it should end with."""
    directory = tmp_path_factory.mktemp("stopped")
    config = train_config(tiny)
    whole = run_stage(directory / "whole", config, rows)
    stop_at(4, directory / "stopped", config, rows)
    assert {p.name for p in (directory / "stopped/scratch/checkpoints/step-00000004").iterdir()} == set(FILES)
    return directory / "stopped", whole.digest


@pytest.mark.slow
@pytest.mark.parametrize("damage", [truncate, flip, Path.unlink])
@pytest.mark.parametrize("name", FILES)
def test_damage_to_the_newest_checkpoint_is_survived(
    tiny: BaseModelRef,
    rows: Stored[DataArtifact],
    stopped: tuple[Path, str],
    tmp_path: Path,
    name: str,
    damage: Callable[[Path], None],
) -> None:
    source, digest = stopped
    shutil.copytree(source, tmp_path / "work")
    damage(tmp_path / "work/scratch/checkpoints/step-00000004" / name)
    trained = run_stage(tmp_path / "work", train_config(tiny), rows)
    warnings = [event.message for event in trained.events if event.kind == "warning"]
    assert len(warnings) == 1
    assert warnings[0].startswith(f"checkpoint of step 4 is not used: {name}")
    assert resumed(trained) == "going on from step 3"
    assert trained.digest == digest


CHILD = """
import sys
from pathlib import Path
from schemas.artifacts import Stored
from schemas.data import DataArtifact
from schemas.train import TrainConfig
from tests.support.training import run_stage

work, config, data = sys.argv[1:]
rows = Stored[DataArtifact].model_validate_json(data)
print(run_stage(Path(work), TrainConfig.model_validate_json(config), rows).digest, flush=True)
"""


def start(work: Path, config: Any, data: Stored[DataArtifact], *, hash_seed: str = "random") -> subprocess.Popen[bytes]:
    work.mkdir(parents=True, exist_ok=True)
    root = Path(__file__).parents[2]
    arguments = [str(work), config.model_dump_json(), data.model_dump_json()]
    environment = {**os.environ, "PYTHONPATH": str(root), "PYTHONHASHSEED": hash_seed}
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, *arguments],
        env=environment,
        cwd=root,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def wait_for_checkpoint(process: subprocess.Popen[bytes], work: Path) -> None:
    while process.poll() is None and not list((work / "scratch").glob("checkpoints/step-*/manifest.json")):
        time.sleep(0.02)


@pytest.mark.slow
@pytest.mark.parametrize("attempt", [0, *(pytest.param(more, marks=pytest.mark.full) for more in (1, 2))])
def test_sigkill_at_any_moment_changes_nothing(
    tiny: BaseModelRef, rows: Stored[DataArtifact], tmp_path: Path, attempt: int
) -> None:
    config = train_config(tiny, num_train_epochs=20, save_steps=1, lora={"r": 4, "lora_alpha": 8, "lora_dropout": 0.3})
    whole = run_stage(tmp_path / "whole", config, rows)
    process = start(tmp_path / "killed", config, rows)
    wait_for_checkpoint(process, tmp_path / "killed")
    time.sleep(random.Random(attempt).random() * 1.5)
    process.kill()
    process.communicate()
    parts = run_stage(tmp_path / "killed", config, rows)
    assert parts.digest == whole.digest
    assert parts.artifact == whole.artifact


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {"lora": {"r": 4, "lora_alpha": 8, "lora_dropout": 0.3}},
        pytest.param(
            {"lora": {"r": 4, "lora_alpha": 8, "init_lora_weights": "pissa", "target_modules": ["q_proj", "v_proj"]}},
            marks=pytest.mark.full,
        ),
        pytest.param({"adapter": "full"}, marks=pytest.mark.full),
    ],
    ids=str,
)
def test_every_process_leaves_the_same_bytes(
    tiny: BaseModelRef, rows: Stored[DataArtifact], tmp_path: Path, changes: dict[str, Any]
) -> None:
    """The order of Python's sets depends on the hash seed, which each process draws for itself."""
    digests = set()
    for seed in ("1", "2"):
        process = start(tmp_path / seed, train_config(tiny, **changes), rows, hash_seed=seed)
        printed, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors.decode()[-2000:]
        digests.add(printed.split()[-1])
    assert len(digests) == 1, digests


@pytest.mark.slow
def test_the_targets_of_an_adapter_are_stored_in_order(
    tiny: BaseModelRef, rows: Stored[DataArtifact], work: Path
) -> None:
    trained = run_stage(work, train_config(tiny, max_steps=1), rows)
    targets = json.loads((trained.workspace.output / "model/adapter_config.json").read_text())["target_modules"]
    assert targets == sorted(targets)
    assert len(targets) > 1


@pytest.mark.slow
def test_ctrl_c_ends_the_step_and_saves(tiny: BaseModelRef, rows: Stored[DataArtifact], tmp_path: Path) -> None:
    config = train_config(tiny, num_train_epochs=400, save_steps=5)
    process = start(tmp_path, config, rows)
    wait_for_checkpoint(process, tmp_path)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=120)
    assert b"KeyboardInterrupt" in errors
    saved = sorted(path.name for path in (tmp_path / "scratch/checkpoints").iterdir())
    assert not [name for name in saved if name.endswith(".tmp")]
    assert 5 < int(saved[-1].removeprefix("step-")) < 2400
