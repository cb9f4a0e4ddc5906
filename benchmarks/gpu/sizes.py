"""Memory and speed of real architectures with random weights.

The train stage runs in this process, so that torch's own counters tell what it took. A full training ends with its last
step: its checkpoint of many gigabytes is not what is measured.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from random import Random

from benchmarks.gpu.gauge import Gauge, allocated, peak, reserved, reset
from benchmarks.gpu.shapes import LORA, SHAPES, Shape, architecture_of
from benchmarks.gpu.work import Attempt, Record, base_ref, data_call, done, here, tried
from pipeline.core.workspace import Store
from pipeline.embedded import TINY_BASE
from pipeline.plan.architecture import Architecture
from schemas.artifacts import StageCall
from schemas.base import ArtifactRef, Device
from schemas.events import Event

PART = "sizes"
ITEMS, PROMPT_WORDS, NEW_TOKENS, ANSWER_BATCH = 128, 100, 32, 32
_WORDS = tuple(f"w{number:x}" for number in range(500))


@dataclass(frozen=True)
class Sized:
    """A base on the disk, ready to be trained; everything is made below ``root``."""

    model: str
    root: Path
    device: Device
    base: Record

    @classmethod
    def make(cls, model: str, work: Path, device: Device) -> Sized:
        """Write the base where it is not there."""
        folder = write_base(work / "bases" / model.split("/")[1], architecture_of(model, device), device)
        return cls(model, work / "sizes", device, base_ref(model, folder))

    def call(self, shape: Shape, steps: int) -> StageCall:
        """Return the call that trains ``shape``, its data made."""
        rows = text_rows(shape.batch * steps, shape.length, uneven=shape.uneven)
        data = done(here(data_call(self.root / "rows", rows), self.root, "cpu")).ref
        config: Record = {
            "base": self.base,
            "adapter": shape.adapter,
            "lora": None if shape.adapter == "full" else LORA.model_dump(),
            "bf16": True,
            "gradient_checkpointing": shape.checkpointing,
            "learning_rate": 1e-5,
            "num_train_epochs": 1,
            "max_steps": steps,
            "save_steps": 1_000_000,
            "per_device_train_batch_size": shape.batch,
            "gradient_accumulation_steps": 1,
            "max_length": shape.length,
            "long_rows": "truncate",
            "seed": 0,
        }
        return StageCall(id="train.seed-0", stage="train", config=config, inputs={"data": data})


def write_base(folder: Path, architecture: Architecture, device: Device) -> Path:
    """Write a base of this architecture with random weights in bfloat16, and the tiny base's tokenizer."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    if (folder / "tokenizer.json").is_file():
        return folder
    tokens = json.loads((TINY_BASE / "config.json").read_text(encoding="utf-8"))
    config = AutoConfig.for_model(
        architecture.model_type,
        hidden_size=architecture.hidden,
        intermediate_size=architecture.intermediate,
        num_hidden_layers=architecture.layers,
        num_attention_heads=architecture.heads,
        num_key_value_heads=architecture.kv_heads,
        head_dim=architecture.head_dim,
        vocab_size=architecture.vocabulary,
        max_position_embeddings=architecture.context,
        tie_word_embeddings=architecture.tied,
        **{key: tokens[key] for key in ("bos_token_id", "eos_token_id", "pad_token_id")},
    )
    torch.manual_seed(0)
    with torch.device(device):
        model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    model.save_pretrained(folder)
    del model
    reset()
    for name in ("tokenizer_config.json", "chat_template.jinja", "tokenizer.json"):
        shutil.copy(TINY_BASE / name, folder / name)
    return folder


def text_rows(count: int, words: int, *, uneven: bool) -> Iterator[dict[str, str]]:
    """Yield rows of random words: all longer than is trained, or the first so and the others shorter."""
    random = Random(0)
    for number in range(count):
        length = words if not uneven or number == 0 else random.randint(words // 16, words // 4)
        yield {"text": " ".join(random.choices(_WORDS, k=length))}


def run(work: Path, device: Device, model: str) -> Iterator[Record]:
    """Yield the measurements of one model."""
    sized = Sized.make(model, work, device)
    shapes = SHAPES[model]
    if device == "cpu":
        shapes = tuple(replace(shape, length=64, batch=2) for shape in shapes if shape.adapter != "qlora")
    for shape in shapes:
        yield tried(PART, f"{model} {shape}", partial(train, sized, shape))
    yield tried("generation", model, partial(generate, sized))


def train(sized: Sized, shape: Shape) -> Record:
    """Train one shape and return what it took: bytes of memory, seconds of a step, tokens per second."""
    call = sized.call(shape, shape.steps)
    reset()
    gauge = Gauge(last=shape.steps if shape.adapter == "full" else None, before=allocated())
    attempt = here(call, sized.root, sized.device, gauge)
    if len(gauge.times) < shape.steps:
        done(attempt)
    measured = {
        "loading": gauge.loading,
        "weights": gauge.start,
        "after_step": gauge.stepped,
        "peak": peak() - gauge.before,
        "reserved": reserved(),
    }
    reset()
    tokens = _tokens(sized, attempt) / shape.steps if shape.uneven else float(shape.batch * shape.length)
    return {
        "model": sized.model,
        "shape": shape.__dict__,
        "measured": measured | {"left": allocated() - gauge.before},
        "tokens_per_second": tokens / gauge.step_seconds,
        "step_seconds": gauge.step_seconds,
        "stage_seconds": attempt.seconds,
    }


def _tokens(sized: Sized, attempt: Attempt) -> float:
    manifest = Store(sized.root).manifest(attempt.ref)
    assert manifest is not None
    return float(manifest.artifact["rendered"]["tokens"])  # type: ignore[index,call-overload,arg-type]


def generate(sized: Sized) -> Record:
    """Let the base answer; the first batch is left out of its speed."""
    random = Random(0)
    rows = [{"prompt": " ".join(random.choices(_WORDS, k=PROMPT_WORDS)), "completion": "x"} for _ in range(ITEMS)]
    config = {
        "subject": {"kind": "base"},
        "base": sized.base,
        "metrics": [{"name": "exact_match"}],
        "generation": {"max_new_tokens": NEW_TOKENS, "batch_size": ANSWER_BATCH},
    }
    data = asked(sized, "asked", rows)
    call = StageCall(id="evaluate.base", stage="evaluate", config=config, inputs={"data": data})
    reset()
    before = allocated()
    attempt = done(here(call, sized.root, sized.device))
    highest = peak() - before
    shown = [(event.time, int(str(event.data["done"]))) for event in attempt.events if _answered(event)]
    (first, begun), (last, ended) = shown[0], shown[-1]
    manifest = Store(sized.root).manifest(attempt.ref)
    assert manifest is not None
    prompts, answers = (int(str(manifest.artifact[key])) for key in ("prompt_tokens", "completion_tokens"))
    speed = (ended - begun) / (last - first)
    return {
        "model": sized.model,
        "items": ITEMS,
        "batch": ANSWER_BATCH,
        "prompt_tokens": prompts,
        "completion_tokens": answers,
        "items_per_second": speed,
        "completion_tokens_per_second": speed * answers / ITEMS,
        "peak": highest,
        "stage_seconds": attempt.seconds,
    }


def asked(sized: Sized, name: str, rows: list[dict[str, str]]) -> ArtifactRef:
    """Return data whose test split are ``rows``."""
    train = [{"prompt": "another", "completion": "x"}, {"prompt": "and one more", "completion": "x"}]
    return done(here(data_call(sized.root / name, train, rows), sized.root, "cpu")).ref


def _answered(event: Event) -> bool:
    label = str(event.data.get("label", ""))
    return event.kind == "progress" and label.startswith("evaluate") and int(str(event.data["done"])) > 0
