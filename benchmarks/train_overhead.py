"""CPU-seconds of hone's train stage against a plain TRL script of the same settings.

    python -m benchmarks.train_overhead [--runs 5] [--rows 2000] [--epochs 2] [--threads 2] [--json FILE]

Both train LoRA on the same conversations from the same base of about a million parameters, evaluate once at the end,
save ten checkpoints on the way (of which two stay) and the adapter. hone also runs its preflight and hashes its
checkpoints. Each measurement is a process of its own; the two take turns; imports are done before the clock starts;
medians over the runs are shown.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

LIMIT = 1.05
"""hone may take this many times the CPU-seconds of plain TRL."""

BATCH, LENGTH, RATE, RANK = 32, 128, 5e-3, 16
SAVES = 10

_BASE = {
    "hidden_size": 128,
    "intermediate_size": 384,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
}


def make_inputs(directory: Path, rows: int) -> None:
    """Write the base model and the conversations, an eleventh of them for validation."""
    from pipeline.core.examples import write_examples
    from tests.support.tiny_model import write_tiny_base
    from tests.support.training import conversation

    write_tiny_base(directory / "base", **_BASE)
    examples = [conversation(number, prefix=f"message {number}: ") for number in range(rows + rows // 10)]
    write_examples(directory / "train.jsonl", examples[:rows])
    write_examples(directory / "validation.jsonl", examples[rows:])


def run_hone(directory: Path, work: Path, epochs: int) -> dict[str, float]:
    """Train by the stage, from the split files to the artifact."""
    import pipeline.backends.training.methods.sft  # noqa: F401
    from pipeline.core.examples import read_examples
    from tests.support.training import base, data_artifact, run_stage, train_config

    splits = [read_examples(directory / f"{split}.jsonl") for split in ("train", "validation")]
    data = data_artifact(work / "data", *splits)
    config = train_config(
        base(directory / "base"),
        lora={"r": RANK, "lora_alpha": 2 * RANK},
        learning_rate=RATE,
        num_train_epochs=epochs,
        per_device_train_batch_size=BATCH,
        max_length=LENGTH,
    )
    before = time.process_time()
    artifact = run_stage(work, config, data).artifact
    seconds = time.process_time() - before
    loss = math.nan if artifact.eval_loss is None else artifact.eval_loss
    tokens = artifact.rendered.tokens * artifact.epochs
    return {"cpu_seconds": seconds, "train_loss": artifact.train_loss, "eval_loss": loss, "tokens": tokens}


def run_trl(directory: Path, work: Path, epochs: int) -> dict[str, float]:
    """Train by TRL as its documentation shows: prompt and completion in, adapter out."""
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoTokenizer
    from trl import SFTConfig, SFTTrainer

    before = time.process_time()
    train, validation = (Dataset.from_list(_turns(directory / f"{split}.jsonl")) for split in ("train", "validation"))
    steps = math.ceil(len(train) / BATCH) * epochs
    trainer = SFTTrainer(
        model=str(directory / "base"),
        args=SFTConfig(
            output_dir=str(work / "trainer"),
            per_device_train_batch_size=BATCH,
            per_device_eval_batch_size=BATCH,
            learning_rate=RATE,
            num_train_epochs=epochs,
            lr_scheduler_type="cosine",
            warmup_steps=0.03,
            max_length=LENGTH,
            gradient_checkpointing=False,
            bf16=False,
            use_cpu=True,
            dataloader_pin_memory=False,
            seed=0,
            logging_steps=1,
            save_steps=math.ceil(steps / SAVES),
            save_total_limit=2,
            report_to="none",
            model_init_kwargs={"dtype": "float32"},
        ),
        train_dataset=train,
        eval_dataset=validation,
        processing_class=AutoTokenizer.from_pretrained(directory / "base"),
        peft_config=LoraConfig(task_type="CAUSAL_LM", r=RANK, lora_alpha=2 * RANK, target_modules="all-linear"),
    )
    result = trainer.train()
    metrics = trainer.evaluate()
    trainer.save_model(str(work / "model"))
    seconds = time.process_time() - before
    tokens = float(metrics["eval_num_tokens"])
    losses = {"train_loss": float(result.training_loss), "eval_loss": float(metrics["eval_loss"])}
    return {"cpu_seconds": seconds, **losses, "tokens": tokens}


def _turns(path: Path) -> list[dict[str, Any]]:
    rows = [json.loads(line)["messages"] for line in path.read_text(encoding="utf-8").splitlines()]
    return [{"prompt": row[:-1], "completion": row[-1:]} for row in rows]


RUNNERS: dict[str, Callable[[Path, Path, int], dict[str, float]]] = {"hone": run_hone, "trl": run_trl}


def measure_apart(method: str, directory: Path, epochs: int, threads: int) -> dict[str, float]:
    """Measure one method in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.train_overhead", "--measure", method]
    command += ["--directory", str(directory), "--epochs", str(epochs)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment)
    measured: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return measured


def compare(rows: int, epochs: int, runs: int, threads: int) -> dict[str, dict[str, float]]:
    """Return the medians of each method."""
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder)
        make_inputs(directory, rows)
        measured: dict[str, list[dict[str, float]]] = {method: [] for method in RUNNERS}
        for run in range(runs):
            for method in RUNNERS if run % 2 == 0 else reversed(RUNNERS):
                measured[method].append(measure_apart(method, directory, epochs, threads))
                print(f"run {run + 1} of {runs}: {method} {measured[method][-1]}", file=sys.stderr)
    return {
        method: {key: statistics.median(result[key] for result in results) for key in results[0]}
        for method, results in measured.items()
    }


def main() -> int:
    """Measure; the exit status is 1 where hone takes more than `LIMIT`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--measure", choices=sorted(RUNNERS), help=argparse.SUPPRESS)
    parser.add_argument("--directory", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        with tempfile.TemporaryDirectory() as work:
            print(json.dumps(RUNNERS[arguments.measure](arguments.directory, Path(work), arguments.epochs)))
        return 0
    medians = compare(arguments.rows, arguments.epochs, arguments.runs, arguments.threads)
    ratio = medians["hone"]["cpu_seconds"] / medians["trl"]["cpu_seconds"]
    speed = {method: figures["tokens"] / figures["cpu_seconds"] for method, figures in medians.items()}
    figures: dict[str, Any] = {
        "runs": arguments.runs,
        "rows": arguments.rows,
        "epochs": arguments.epochs,
        "threads": arguments.threads,
        "medians": medians,
        "tokens_per_cpu_second": speed,
        "ratio_of_cpu_seconds": ratio,
        "limit": LIMIT,
    }
    text = json.dumps(figures, indent=2)
    print(text)
    if arguments.json:
        arguments.json.write_text(text + "\n", encoding="utf-8")
    return int(ratio > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
