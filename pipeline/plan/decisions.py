"""What the run decides where its description leaves it open: each value with who chose it and why."""

from __future__ import annotations

import math
from dataclasses import dataclass

from schemas.adapters import LORAS
from schemas.lora import LoraSettings
from schemas.methods import METHODS
from schemas.plan import Reasoned, Task
from schemas.rl import RolloutOptions
from schemas.train import TrainSpec

LORA_RATE_FACTOR = 10
"""A LoRA's best rate is about ten times that of full fine-tuning (Schulman et al., LoRA Without Regret, 2025)."""

FINE_TUNING_SHARE = 4
"""Fine-tuning starts at a quarter of the rate of pretraining; a common practice, not a law."""

PREFERENCE_SHARE = 20
"""Preferences and rewards want a rate about twenty times smaller than answers (TRL's default: 1e-6 for 7B, full)."""

LEAST_PRETRAINING_RATE = 3e-5

STEPS_WANTED = 300
"""Optimizer steps below which a larger batch would cost more updates than it gains in quiet gradients."""

BATCHES = (4, 8, 16, 32, 64)
LENGTH_STEP = 64
SAFETY = 1.1
"""What a template adds around the turns is assumed."""
ESTIMATE_SAFETY = 1.6
"""Characters per token of a tokenizer that is not there yet are a guess."""


@dataclass(frozen=True)
class Situation:
    """What decisions are made from: ``parameters`` of the base, ``train_rows`` after splitting, lengths in tokens.

    ``measured``: by the base's tokenizer; ``sampled`` 0: nobody looked at rows, lengths are assumed.
    """

    task: Task
    train_rows: int
    parameters: int
    from_scratch: bool
    context: int
    p99_tokens: float
    longest_tokens: int
    sampled: int
    measured: bool


def _given(value: float | int | str, key: str) -> Reasoned:
    return Reasoned(value=value, chosen_by="spec", reason=f"the run description says so ({key})")


def _planned(value: float | int | str, reason: str) -> Reasoned:
    return Reasoned(value=value, chosen_by="plan", reason=reason)


def decide_rank(train: TrainSpec, situation: Situation) -> dict[str, Reasoned]:
    """Return ``lora_r`` and ``lora_alpha``; nothing where no LoRA is trained."""
    if train.adapter not in LORAS:
        return {}
    if train.lora.r is not None:
        rank = _given(train.lora.r, "train.lora.r")
    elif situation.train_rows < 1000:
        rank = _planned(8, f"{situation.train_rows} training rows: few parameters overfit less")
    elif situation.task == "generation" and situation.train_rows >= 20_000:
        rank = _planned(32, f"{situation.train_rows} rows of free text hold more than a small adapter takes up")
    else:
        rank = _planned(16, "enough for a narrow task; a larger rank costs memory and is rarely better")
    if train.lora.lora_alpha is not None:
        alpha = _given(train.lora.lora_alpha, "train.lora.lora_alpha")
    else:
        alpha = _planned(2 * int(rank.value), "twice the rank, so that the rate need not change with the rank")
    return {"lora_r": rank, "lora_alpha": alpha}


def decide_learning_rate(train: TrainSpec, situation: Situation) -> Reasoned:
    """Return the learning rate: falling with the model's size, higher for adapters, lower for preferences.

    Pretraining: Kaplan et al. (arXiv:2001.08361), equation D.1: 0.003239 - 0.0001395 ln N, which they give for up to
    1e10 parameters; no less than 3e-5 beyond.
    """
    if train.learning_rate is not None:
        return _given(train.learning_rate, "train.learning_rate")
    size = max(situation.parameters, 1)
    rate = max(0.003239 - 0.0001395 * math.log(size), LEAST_PRETRAINING_RATE)
    words = [f"for {_count(size)} parameters, by the pretraining law of Kaplan et al. (2020)"]
    if not situation.from_scratch:
        rate /= FINE_TUNING_SHARE
        words.append(f"a {FINE_TUNING_SHARE}th of it to fine-tune")
    if train.adapter != "full":
        rate *= LORA_RATE_FACTOR
        words.append(f"{LORA_RATE_FACTOR} times that for an adapter")
    method = METHODS[train.method]
    if (method.compares and not method.scores) or method.rewarded:
        rate /= PREFERENCE_SHARE
        words.append(f"a {PREFERENCE_SHARE}th for {'preferences' if method.compares else 'rewards'}")
    return _planned(float(f"{rate:.1e}"), ", ".join(words))


def decide_epochs(train: TrainSpec, situation: Situation) -> Reasoned:
    """Return the epochs: fewer for more rows, twice as many from scratch."""
    if train.num_train_epochs is not None:
        return _given(train.num_train_epochs, "train.num_train_epochs")
    rows = situation.train_rows
    if METHODS[train.method].compares:
        return _planned(1.0 if rows >= 1000 else 2.0, f"preferences overfit within few epochs; {rows} training pairs")
    if METHODS[train.method].rewarded:
        epochs = 1.0 if rows >= STEPS_WANTED * BATCHES[0] else 3.0
        return _planned(epochs, f"{rows} prompts, each answered anew in every epoch")
    epochs = next(value for least, value in ((500_000, 1), (50_000, 2), (5_000, 3), (500, 4), (0, 5)) if rows >= least)
    reason = f"{rows} training rows: the fewer, the more often each is seen"
    if situation.from_scratch:
        return _planned(float(2 * epochs), f"{reason}; twice as often from scratch")
    return _planned(float(epochs), reason)


def decide_max_length(train: TrainSpec, situation: Situation) -> Reasoned:
    """Return the longest row in tokens: the longest seen if it is no outlier, else the 99th percentile, with room."""
    if train.max_length is not None:
        return _given(train.max_length, "train.max_length")
    outlier = situation.longest_tokens > 2 * situation.p99_tokens
    length = situation.p99_tokens if outlier else situation.longest_tokens
    seen = f"the 99th percentile of sampled rows ({length:.0f} tokens; the longest is an outlier of " if outlier else ""
    seen = f"{seen}{situation.longest_tokens})" if outlier else f"the longest row has {length:.0f} tokens"
    if situation.sampled == 0:
        seen = f"the longest row is assumed to have {length:.0f} tokens"
    room = SAFETY if situation.measured else ESTIMATE_SAFETY
    why = "the template" if situation.measured else "a tokenizer that is not there yet"
    rounded = max(LENGTH_STEP, LENGTH_STEP * math.ceil(length * room / LENGTH_STEP))
    reason = f"{seen}, {100 * (room - 1):.0f}% room for {why}, rounded up to {LENGTH_STEP}"
    if rounded > situation.context:
        return _planned(situation.context, f"{reason} would be {rounded}; the base takes {situation.context}")
    return _planned(rounded, reason)


def effective_batch(train: TrainSpec, situation: Situation, epochs: float) -> tuple[int, str]:
    """Return the rows of one optimizer step, and why; of a method that learns from rewards the answers of one."""
    size, accumulation = train.per_device_train_batch_size, train.gradient_accumulation_steps
    if size is not None and accumulation is not None:
        return size * accumulation, "the run description says so"
    if train.rollout is not None:
        return _answers_of_a_step(train, train.rollout, situation, epochs)
    wanted = situation.train_rows * epochs / STEPS_WANTED
    batch = max((candidate for candidate in BATCHES if candidate <= wanted), default=BATCHES[0])
    batch = max(batch, size or 1, accumulation or 1)
    return batch, f"{batch} rows per step give about {situation.train_rows * epochs / batch:.0f} steps"


def _answers_of_a_step(
    train: TrainSpec, rollout: RolloutOptions, situation: Situation, epochs: float
) -> tuple[int, str]:
    """Return the answers of a step: to so many prompts that there are steps enough, and whole groups of them."""
    wanted = situation.train_rows * epochs / STEPS_WANTED
    prompts = max((candidate for candidate in BATCHES if candidate <= wanted), default=BATCHES[0])
    part = math.lcm(rollout.answers, train.per_device_train_batch_size or train.gradient_accumulation_steps or 1)
    answers = part * math.ceil(prompts * rollout.answers / part)
    each = f", {rollout.answers} to each prompt," if rollout.answers > 1 else ""
    steps = situation.train_rows * epochs * rollout.answers * rollout.passes / answers
    return answers, f"{answers} answers per step{each} give about {steps:.0f} steps"


def decide_batch(train: TrainSpec, effective: int, why: str, fitting: int) -> dict[str, Reasoned]:
    """Return batch and accumulation steps: as many rows at once as fit, the rest by accumulation."""
    size, accumulation = train.per_device_train_batch_size, train.gradient_accumulation_steps
    if size is not None:
        batch = _given(size, "train.per_device_train_batch_size")
    elif accumulation is not None:
        batch = _planned(max(1, effective // accumulation), f"{why}, in {accumulation} parts")
    else:
        most = min(effective, fitting)
        if train.rollout is not None:  # parts of a group make it whole again
            most = max(part for part in range(1, most + 1) if effective % part == 0)
        batch = _planned(most, f"{why}; {fitting} fit at once" if fitting < effective else why)
    if accumulation is not None:
        steps = _given(accumulation, "train.gradient_accumulation_steps")
    else:
        steps = _planned(max(1, effective // int(batch.value)), f"{effective} rows per step in parts of {batch.value}")
    return {"per_device_train_batch_size": batch, "gradient_accumulation_steps": steps}


def lora_settings(train: TrainSpec, reasons: dict[str, Reasoned]) -> LoraSettings | None:
    """Return the LoRA as decided; None where none is trained."""
    if train.adapter not in LORAS:
        return None
    options = train.lora.model_dump(exclude={"r", "lora_alpha"})
    return LoraSettings(**options, r=int(reasons["lora_r"].value), lora_alpha=int(reasons["lora_alpha"].value))


def _count(number: int) -> str:
    for size, letter in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.3g}{letter}"
    return str(number)
