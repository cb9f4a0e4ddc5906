"""Data artifacts and configs for tests of training: small, made from seeds."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.backends.tokenizer_transformers import load_tokenizer
from pipeline.core.context import CallContext
from pipeline.core.digests import DigestCache
from pipeline.core.examples import read_examples, write_examples
from pipeline.core.workspace import Workspace, content_digest, list_files
from pipeline.render import render_conversation
from pipeline.train.stage import run
from schemas.adapters import LORAS
from schemas.artifacts import Stored
from schemas.base import Reference
from schemas.base_model import BaseModelRef
from schemas.data import DataArtifact, Example, ExampleKind, Message, Split
from schemas.distributed import ALONE, Processes
from schemas.events import Event
from schemas.render import RenderOptions
from schemas.train import TrainArtifact, TrainConfig, TrainInputs
from tests.support.stored import stored

WORDS = ("refund", "order", "login", "app", "account", "update", "help", "find", "arrived", "last")


def conversation(number: int, *, prefix: str = "") -> Example:
    """Return row ``number``: words in, and the same words in capitals out."""
    words = [WORDS[(number * step + step) % len(WORDS)] for step in range(1, 3 + number % 4)]
    question, answer = " ".join(words), " ".join(word.upper() for word in words[:2])
    turns = (Message(role="user", content=prefix + question), Message(role="assistant", content=answer))
    return Example(id=f"row{number}", row=number + 1, messages=turns, cluster=number)


def preference(number: int) -> Example:
    """Return a pair: the right answer is chosen, its first word alone is rejected."""
    row = conversation(number)
    rejected = Message(role="assistant", content=row.answer.split()[0].lower())
    return row.model_copy(update={"messages": row.prompt, "chosen": (row.messages[-1],), "rejected": (rejected,)})


def text_row(number: int) -> Example:
    """Return a row of plain text."""
    text = " ".join(turn.content for turn in conversation(number).messages)
    return Example(id=f"row{number}", row=number + 1, text=text, cluster=number)


def data_artifact(
    directory: Path,
    train: Sequence[Example],
    validation: Sequence[Example] = (),
    kind: ExampleKind = "conversation",
) -> Stored[DataArtifact]:
    """Write the split files and return the artifact."""
    files: dict[Split, str] = {"train": "train.jsonl"}
    write_examples(directory / "train.jsonl", train)
    if validation:
        files["validation"] = "validation.jsonl"
        write_examples(directory / "validation.jsonl", validation)
    artifact = DataArtifact(
        kind=kind,
        read=len(train) + len(validation),
        rows={"train": len(train), "validation": len(validation), "test": 0},
        dropped=(),
        labels=None,
        personal_data={},
        leaked={},
        near_train_test_rows=0,
        clusters=len(train),
        encoding={},
        source_digest="0" * 64,
        template_digest="0" * 64,
        files=files,
    )
    return stored("data", directory, artifact)


def base(directory: Path) -> BaseModelRef:
    """Refer to a base that `write_tiny_base` wrote."""
    weights = Reference(location=str(directory), digest=DigestCache(None).digest(directory))
    return BaseModelRef(name="tiny", weights=weights)


def train_config(base_model: BaseModelRef, **changes: Any) -> TrainConfig:
    """Return a config: LoRA r 4 for one epoch of batches of 4 with seed 0, with ``changes``."""
    settings: dict[str, Any] = {
        "base": base_model,
        "lora": {"r": 4, "lora_alpha": 8},
        "learning_rate": 1e-2,
        "num_train_epochs": 1,
        "per_device_train_batch_size": 4,
        "gradient_accumulation_steps": 1,
        "max_length": 64,
        "seed": 0,
        **changes,
    }
    if settings.get("adapter", "lora") not in LORAS:
        settings["lora"] = None
    return TrainConfig.model_validate(settings)


@dataclass(frozen=True)
class Trained:
    """What a run of the train stage left, with the events it sent."""

    artifact: TrainArtifact
    workspace: Workspace
    events: tuple[Event, ...]

    @property
    def digest(self) -> str:
        """The content digest of all files."""
        return content_digest(list_files(self.workspace.output))

    @property
    def log(self) -> list[dict[str, float]]:
        """The lines of log.jsonl."""
        lines = (self.workspace.output / "log.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines]


def run_stage(
    directory: Path,
    config: TrainConfig,
    data: Stored[DataArtifact],
    *,
    replay: dict[str, Stored[DataArtifact]] | None = None,
    stop_at: int | None = None,
    stop_after: str | None = None,
    processes: Processes = ALONE,
) -> Trained:
    """Run the train stage in ``directory``; called again with the same one it goes on.

    ``stop_at`` cancels it at the end of that step (from 2 on), ``stop_after`` two steps after an event says so;
    ``processes`` is what the runner offers.
    """
    output, scratch = directory / "output", directory / "scratch"
    shutil.rmtree(output, ignore_errors=True)
    output.mkdir(parents=True)
    scratch.mkdir(exist_ok=True)
    work = Workspace(output=output, scratch=scratch)
    events: list[Event] = []

    def cancelled() -> bool:
        if stop_after is not None:
            said = next((place for place, event in enumerate(events) if stop_after in event.message), len(events))
            return sum(event.kind == "metric" for event in events[said:]) >= 2
        steps = (event.data["step"] for event in events if event.kind == "metric")
        return stop_at is not None and max((int(str(step)) for step in steps), default=0) >= stop_at - 1

    context = CallContext(sink=events.append, cancelled=cancelled, processes=processes)
    artifact = run(config, TrainInputs(data=data, replay=replay or {}), context, work)
    return Trained(artifact, work, tuple(events))


def reloaded_loss(base_folder: str, adapter: Path | None, data: Stored[DataArtifact]) -> float:
    """Return the mean loss per trained token on the validation rows, by plain transformers and PEFT."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(base_folder)
    if adapter is not None:
        model = PeftModel.from_pretrained(model, adapter)
    model.eval()
    tokenizer = load_tokenizer(str(adapter or base_folder))
    total, tokens = 0.0, 0
    for example in read_examples(data.file("validation.jsonl")):
        row = render_conversation(example.messages, tokenizer, RenderOptions())
        with torch.no_grad():
            loss = model(input_ids=torch.tensor([row.ids]), labels=torch.tensor([row.labels])).loss
        total += float(loss) * sum(row.trained)
        tokens += sum(row.trained)
    return total / tokens
