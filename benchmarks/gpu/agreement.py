"""The embedded tiny base on a GPU and on the CPU: the same losses, answers and variants; and SIGKILL survived.

Every training runs twice on the GPU and once on the CPU, and once more on the GPU with its process killed after the
first checkpoint and started again. Losses agree where each step's differ by no more than `TOLERANCE` of themselves.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.gpu.reload import four_bit_loss
from benchmarks.gpu.work import (
    Attempt,
    Record,
    apart,
    base_ref,
    data_call,
    done,
    here,
    losses,
    model_folder,
    relative_difference,
    tried,
    weights,
)
from local_runner.demo.commands import Command
from local_runner.demo.files import draw_commands
from pipeline.core.workspace import Store
from pipeline.embedded import TINY_BASE
from schemas.artifacts import StageCall
from schemas.base import ArtifactRef, Device

PART = "agreement"
TRAIN_ROWS, TEST_ROWS = 512, 128
TOLERANCE = {"float32": 1e-3, "bfloat16": 2e-2}
"""Share by which a step's loss on the GPU may differ from the CPU's: rounding grows with every step."""


VARIANTS: dict[str, Record] = {
    "merged": {"name": "merged", "backend": "merge"},
    "fp8_dynamic": {"name": "fp8_dynamic", "backend": "llmcompressor", "scheme": "FP8_DYNAMIC"},
    "w4a16": {"name": "w4a16", "backend": "llmcompressor", "scheme": "W4A16", "calibration_samples": 32},
}


@dataclass(frozen=True)
class Training:
    """One training; with ``dropout`` its random numbers are the device's own, so that no CPU compares."""

    adapter: str
    dtype: str
    dropout: float = 0.0

    @property
    def name(self) -> str:
        """How records and calls name it."""
        return f"{self.adapter}-{self.dtype}{'-dropout' if self.dropout else ''}"

    @property
    def on_cpu(self) -> bool:
        """Whether a CPU does the same."""
        return self.adapter != "qlora" and not self.dropout

    def call(self, data: ArtifactRef) -> StageCall:
        """Return the stage call: two epochs of 28 steps."""
        full = self.adapter == "full"
        config: Record = {
            "base": base_ref("hone:tiny"),
            "adapter": self.adapter,
            "lora": None if full else {"r": 8, "lora_alpha": 16, "lora_dropout": self.dropout},
            "bf16": self.dtype == "bfloat16",
            "learning_rate": 1e-3 if full else 5e-3,
            "num_train_epochs": 2,
            "per_device_train_batch_size": 16,
            "gradient_accumulation_steps": 1,
            "max_length": 128,
            "seed": 0,
        }
        return StageCall(id=f"train.{self.name}", stage="train", config=config, inputs={"data": data})


TRAININGS = (
    Training("lora", "float32"),
    Training("lora", "bfloat16"),
    Training("full", "float32"),
    Training("full", "bfloat16"),
    Training("lora", "bfloat16", dropout=0.1),
    Training("qlora", "bfloat16"),
)


@dataclass(frozen=True)
class Bench:
    """The workspaces: ``first``, ``second``, ``killed`` and ``cpu`` below ``work`` hold the same data."""

    work: Path
    device: Device
    data: ArtifactRef

    def root(self, name: str) -> Path:
        """Return a workspace."""
        return self.work / name

    def train(self, training: Training, name: str) -> Attempt:
        """Train in one of the workspaces."""
        return done(apart(training.call(self.data), self.root(name), "cpu" if name == "cpu" else self.device))


def run(work: Path, device: Device) -> Iterator[Record]:
    """Yield every comparison; they run side by side."""
    bench = _prepare(work / PART, device)
    trainings = TRAININGS if device == "cuda" else TRAININGS[:1]
    with ThreadPoolExecutor(max(1, os.cpu_count() or 1)) as pool:
        firsts = {training: pool.submit(bench.train, training, "first") for training in trainings}
        waiting: list[Future[Record]] = []

        def later(what: str, measure: Any, *arguments: Any) -> None:
            waiting.append(pool.submit(tried, PART, what, lambda: measure(bench, *arguments)))

        for training in trainings:
            later(f"resume {training.name}", _resume, training, firsts[training])
            later(f"repeat {training.name}", _repeat, training, firsts[training])
            if training.on_cpu:
                later(f"losses {training.name}", _losses, training, firsts[training])
        later("variants", _variants, firsts[TRAININGS[0]])
        later("answers lora", _answers, firsts[TRAININGS[0]])
        if device == "cuda":
            later("qlora reloaded", _reloaded, firsts[TRAININGS[-1]])
            later("answers qlora", _answers, firsts[TRAININGS[-1]])
        for record in as_completed(waiting):
            yield record.result()


def _prepare(work: Path, device: Device) -> Bench:
    """Make the data once, and copy the workspace."""
    train, test = draw_commands(seed=0)
    call = data_call(work / "rows", map(_row, train[:TRAIN_ROWS]), map(_row, test[:TEST_ROWS]))
    made = done(here(call, work / "first", "cpu"))
    for name in ("second", "killed", "cpu"):
        shutil.copytree(work / "first", work / name)
    return Bench(work, device, made.ref)


def _row(command: Command) -> dict[str, str]:
    """Return a command and its answer in another order than the base knows: something to learn."""
    return {"prompt": command.utterance, "completion": " ".join(reversed(command.answer.split()))}


def _repeat(bench: Bench, training: Training, first: Future[Attempt]) -> Record:
    """Train twice: the same bytes, or how far apart."""
    again = bench.train(training, "second")
    return _compared(bench, first.result(), again, "second")


def _resume(bench: Bench, training: Training, first: Future[Attempt]) -> Record:
    """Kill a training after its first checkpoint and start it again."""
    call, root = training.call(bench.data), bench.root("killed")
    killed = apart(call, root, bench.device, kill=lambda event: event.kind == "checkpoint")
    resumed = done(apart(call, root, bench.device))
    went_on = [event.data["step"] for event in resumed.events if event.message.startswith("going on from step")]
    reached = [event.data["step"] for event in killed.events if event.kind == "metric"]
    found = {"killed_at_step": max(map(int, map(str, reached)), default=None), "resumed_from_step": went_on}
    return found | _compared(bench, first.result(), resumed, "killed")


def _compared(bench: Bench, first: Attempt, other: Attempt, name: str) -> Record:
    stores = Store(bench.root("first")).manifest(first.ref), Store(bench.root(name)).manifest(other.ref)
    assert stores[0] is not None
    assert stores[1] is not None
    left, right = (weights(model_folder(bench.root(root), first.ref)) for root in ("first", name))
    lines = [losses(bench.root(root), first.ref)[0] for root in ("first", name)]
    steps = [number for number, pair in enumerate(zip(*lines, strict=True), 1) if pair[0] != pair[1]]
    return {
        "same_bytes": stores[0].content_digest == stores[1].content_digest,
        "weights_difference": relative_difference(left, right),
        "first_step_that_differs": steps[0] if steps else None,
    }


def _losses(bench: Bench, training: Training, first: Future[Attempt]) -> Record:
    """Compare each step's loss with the CPU's."""
    cpu = bench.train(training, "cpu")
    gpu = first.result()
    ours, evaluated = losses(bench.root("first"), gpu.ref)
    theirs, expected = losses(bench.root("cpu"), cpu.ref)
    differences = [abs(left - right) / abs(right) for left, right in zip(ours, theirs, strict=True)]
    return {
        "steps": len(ours),
        "first_loss": ours[0],
        "last_loss": ours[-1],
        "first_difference": differences[0],
        "largest_difference": max(differences),
        "eval_loss": evaluated,
        "eval_loss_cpu": expected,
        "tolerance": TOLERANCE[training.dtype],
        "met": max(differences) <= TOLERANCE[training.dtype],
        "seconds": gpu.seconds,
        "seconds_cpu": cpu.seconds,
    }


def _answers(bench: Bench, first: Future[Attempt]) -> Record:
    """Ask base and trained model on both devices, in float32."""
    model = first.result().ref
    cpu = bench.root(f"answers-{model.fingerprint[:8]}")
    shutil.copytree(bench.root("first") / "artifacts", cpu / "artifacts")
    found: Record = {}
    for subject in ("base", "model"):
        call = StageCall(
            id=f"evaluate.{subject}-{model.fingerprint[:8]}",
            stage="evaluate",
            config={
                "subject": {"kind": subject},
                "base": base_ref("hone:tiny"),
                "metrics": [{"name": "exact_match"}],
                "generation": {"dtype": "float32", "max_new_tokens": 16, "batch_size": 64},
            },
            inputs={"data": bench.data} if subject == "base" else {"data": bench.data, "model": model},
        )
        gpu, own = done(apart(call, bench.root("first"), bench.device)), done(apart(call, cpu, "cpu"))
        ours, theirs = _predictions(bench.root("first"), gpu.ref), _predictions(cpu, own.ref)
        manifest = Store(bench.root("first")).manifest(gpu.ref)
        assert manifest is not None
        found[f"{subject}_items"] = len(ours)
        found[f"{subject}_equal"] = sum(left == right for left, right in zip(ours, theirs, strict=True))
        found[f"{subject}_exact_match"] = manifest.artifact["scores"]["exact_match"]["value"]  # type: ignore[index,call-overload]
    return found


def _predictions(root: Path, ref: ArtifactRef) -> list[str]:
    import pyarrow.parquet as pq

    table = pq.read_table(Store(root).directory(ref) / "items.parquet", columns=["prediction"])
    return [str(value) for value in table.column("prediction").to_pylist()]


def _variants(bench: Bench, first: Future[Attempt]) -> Record:
    """Merge the adapter and quantize the merged model, on both devices."""
    adapter = first.result().ref
    cpu = bench.root("variants-cpu")
    shutil.copytree(bench.root("first") / "artifacts", cpu / "artifacts")
    with ThreadPoolExecutor(2) as pool:
        gpu = pool.submit(_make_variants, bench, adapter, bench.root("first"), bench.device)
        own = pool.submit(_make_variants, bench, adapter, cpu, "cpu")
        return {"gpu": gpu.result(), "cpu": own.result()}


def _make_variants(bench: Bench, parent: ArtifactRef, root: Path, device: Device) -> Record:
    found: Record = {}
    for name, variant in VARIANTS.items():
        config = {"variant": variant, "base": base_ref("hone:tiny"), "max_length": 128}
        inputs = {"parent": parent, "data": bench.data}
        call = StageCall(id=f"optimize.{name}", stage="optimize", config=config, inputs=inputs)
        made = done(apart(call, root, device))
        manifest = Store(root).manifest(made.ref)
        assert manifest is not None
        found[name] = {"logit_difference": manifest.artifact["logit_difference"], "seconds": made.seconds}
        if name == "merged":
            parent = made.ref
    return found


def _reloaded(bench: Bench, first: Future[Attempt]) -> Record:
    """Load the QLoRA adapter onto a four-bit base by plain transformers and PEFT."""
    made = first.result().ref
    manifest = Store(bench.root("first")).manifest(made)
    assert manifest is not None
    rows = Store(bench.root("first")).directory(bench.data) / "validation.jsonl"
    loss = four_bit_loss(TINY_BASE, model_folder(bench.root("first"), made), rows)
    expected = float(str(manifest.artifact["eval_loss"]))
    return {"eval_loss": expected, "reloaded_loss": loss, "difference": abs(loss - expected) / expected}
