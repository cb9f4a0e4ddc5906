"""The settings of one attempt: what recoveries may change, kept on disk so that a killed training remembers them."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

from pipeline.core.errors import DivergenceError, OutOfMemory
from pipeline.core.shares import share_batch
from pipeline.core.workspace import write_record
from schemas.retention import LowerRate
from schemas.train import Recovery, TrainConfig

_FILE = "recovery.json"


@dataclass(frozen=True)
class AttemptSettings:
    """Micro-batch (rows), accumulation (micro-batches per step), peak learning rate, and how they came about.

    The micro-batches are those of all processes.
    """

    micro_batch: int
    accumulation: int
    learning_rate: float
    recoveries: tuple[Recovery, ...] = ()

    @classmethod
    def first(cls, config: TrainConfig) -> AttemptSettings:
        """Return what the config asks for."""
        rate = config.learning_rate
        for method in config.retention:
            if isinstance(method, LowerRate):
                rate *= method.factor
        return cls(config.per_device_train_batch_size, config.gradient_accumulation_steps, rate)

    @classmethod
    def load(cls, config: TrainConfig, scratch: Path) -> AttemptSettings:
        """Return the settings of an earlier attempt in ``scratch``, or the first ones."""
        try:
            stored = json.loads((scratch / _FILE).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return cls.first(config)
        recoveries = tuple(Recovery.model_validate(item) for item in stored.pop("recoveries"))
        return cls(**stored, recoveries=recoveries)

    def shared(self, processes: int) -> AttemptSettings:
        """Return settings of which each of ``processes`` can take the same number of micro-batches.

        Raises:
            ConfigError: there are none for the rows of a step.
        """
        micro_batch, accumulation = share_batch(self.micro_batch, self.accumulation, processes)
        return replace(self, micro_batch=micro_batch, accumulation=accumulation)

    def save(self, scratch: Path) -> None:
        """Write the settings, atomically."""
        scratch.mkdir(parents=True, exist_ok=True)
        write_record(
            scratch / _FILE,
            {
                "micro_batch": self.micro_batch,
                "accumulation": self.accumulation,
                "learning_rate": self.learning_rate,
                "recoveries": [recovery.model_dump() for recovery in self.recoveries],
            },
        )

    def after_out_of_memory(self, step: int) -> AttemptSettings:
        """Return settings with a smaller micro-batch and the same effective batch.

        The micro-batch is divided by its smallest prime factor: halved where it is even.

        Raises:
            OutOfMemory: one row at a time does not fit.
        """
        if self.micro_batch == 1:
            raise OutOfMemory(
                f"one row at a time does not fit into memory (step {step})",
                where="train.per_device_train_batch_size",
                fix="set train.gradient_checkpointing, a smaller train.max_length, adapter: qlora, or a smaller base",
            )
        factor = next(n for n in range(2, self.micro_batch + 1) if self.micro_batch % n == 0)
        smaller, more = self.micro_batch // factor, self.accumulation * factor
        action = f"micro-batch {self.micro_batch} -> {smaller}, accumulation {self.accumulation} -> {more}"
        recovery = Recovery(step=step, kind="out_of_memory", action=action)
        return replace(self, micro_batch=smaller, accumulation=more, recoveries=(*self.recoveries, recovery))

    def after_divergence(self, step: int, back_to: int, what: str) -> AttemptSettings:
        """Return settings with half the learning rate.

        Raises:
            DivergenceError: the rate was halved before.
        """
        if any(recovery.kind == "divergence" for recovery in self.recoveries):
            raise DivergenceError(
                f"the {what} became NaN or infinite at step {step} again, with half the learning rate "
                f"({self.learning_rate:g})",
                where="train.learning_rate",
                fix=f"set a lower train.learning_rate, such as {self.learning_rate / 5:.1g}",
            )
        half = self.learning_rate / 2
        action = f"{what} not finite; back to step {back_to}, learning rate {self.learning_rate:g} -> {half:g}"
        recovery = Recovery(step=step, kind="divergence", action=action)
        return replace(self, learning_rate=half, recoveries=(*self.recoveries, recovery))
