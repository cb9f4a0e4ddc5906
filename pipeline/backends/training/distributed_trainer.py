"""What a trainer does in common with others: its part of the rows, of an evaluation and of a checkpoint.

Mixed in before a `GuardedTrainer`. All processes take every decision alike: they hold the same journal, and a wish to
stop is agreed on at the end of a step.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from accelerate.data_loader import SeedableRandomSampler
from safetensors.torch import save_file

from pipeline.backends.training.distributed_ranks import Ranks
from pipeline.backends.training.distributed_rows import SHARE, SharedLoader, Shares, WeightedRows
from pipeline.backends.training.distributed_state import OPTIMIZER, Copies, FsdpParts, Parts
from pipeline.backends.training.guarded import WEIGHTS, GuardedTrainer
from pipeline.backends.training.job import TrainJob

if TYPE_CHECKING:
    from torch.optim import Optimizer

_SCHEDULER = "scheduler.pt"


def trainer_class(kind: type[GuardedTrainer], job: TrainJob) -> type[GuardedTrainer]:
    """Return ``kind``, or what it is in a process that trains with others."""
    if job.ranks is None:
        return kind
    told = {"ranks": job.ranks, "whole_batch": job.config.per_device_train_batch_size}
    return type(f"Shared{kind.__name__}", (SharedTrainer, kind), told)


class SharedTrainer(GuardedTrainer):
    """Mixin for trainers in one of several processes.

    ``whole_batch``: rows of a micro-batch of one process alone, of which those here are parts.
    """

    ranks: Ranks
    whole_batch: int

    # Rows

    def get_train_dataloader(self) -> SharedLoader:
        """Return this process's part of the rows."""
        rows = self._remove_unused_columns(self.train_dataset, description="training")
        weighted = WeightedRows(rows, self.data_collator)
        order = SeedableRandomSampler(rows, data_seed=self.args.data_seed)
        shares = Shares(
            order,
            rows=len(rows),
            whole_batch=self.whole_batch,
            micro_batch=self.args.per_device_train_batch_size,
            accumulation=self.args.gradient_accumulation_steps,
            rank=self.ranks.rank,
            count=self.ranks.count,
        )
        pinned = self.args.dataloader_pin_memory
        return SharedLoader(weighted, batch_sampler=shares, collate_fn=weighted.collate, pin_memory=pinned)

    def compute_loss(self, model: Any, inputs: dict[str, Any], *more: Any, **named: Any) -> Any:
        """Return the loss; where it is a mean of its micro-batch, it is weighted by the batch's share of the step.

        A loss over the trained tokens of the whole step is so already: tokens that count nothing are not trained.
        """
        share = inputs.pop(SHARE, 1.0)
        with self._rows_gathered():
            loss = super().compute_loss(model, inputs, *more, **named)
        return loss if share == 1.0 or named.get("num_items_in_batch") is not None else loss * share

    @contextmanager
    def _rows_gathered(self) -> Iterator[None]:
        """Let TRL gather what it shows of every row where batches have not the same rows, which it does not expect."""
        gather = self.accelerator.gather

        def gather_any(value: Any) -> Any:
            rows = isinstance(value, torch.Tensor) and value.dim() > 0
            return self.ranks.gather_rows(value) if rows else gather(value)

        self.accelerator.gather = gather_any
        try:
            yield
        finally:
            self.accelerator.gather = gather

    def take_step_loss(self) -> float:
        """Return the loss of the step that has just ended, the mean of all processes'."""
        return self.ranks.end_step(super().take_step_loss())

    # Evaluation

    def evaluate_batches(self, batches: Sequence[list[dict[str, Any]]]) -> tuple[float, float]:
        """Return the sums of all processes, each of which takes its turn.

        Processes that have no batch of their own in the last turn go along with one that does not count.
        """
        total, terms = 0.0, 0.0
        for first in range(0, len(batches), self.ranks.count):
            turn = batches[first : first + self.ranks.count]
            own = self.ranks.rank < len(turn)
            loss, weight = super().evaluate_batches([turn[self.ranks.rank if own else 0]])
            total, terms = (total + loss, terms + weight) if own else (total, terms)
        whole, count = self.ranks.total(total, terms)
        return whole, count

    # Checkpoints

    def create_optimizer(self, *more: Any) -> Optimizer:
        """Return the optimizer, and note its parameters in their order: DeepSpeed replaces them by its own."""
        optimizer = super().create_optimizer(*more)
        if self.is_deepspeed_enabled:
            self.ordered = [list(group["params"]) for group in optimizer.param_groups]
        return optimizer

    def parts(self) -> Parts:
        """Return how the state lies in the processes."""
        if self.is_fsdp_enabled:
            return FsdpParts(self.model, self.optimizer, keeps=self.ranks.first)
        if self.is_deepspeed_enabled:
            from pipeline.backends.training.distributed_zero import ZeroParts

            return ZeroParts(self.model, self.deepspeed, self.ordered, keeps=self.ranks.first)
        return Copies(self.model, self.optimizer)

    def write_checkpoint(self, keep: tuple[int, ...]) -> None:
        """Put a checkpoint together, one file after the other, and write it in the first process."""
        if self.ranks.first:
            self.store.write(self.state.global_step, self.write_files, keep)
        else:
            parts = self.parts()
            parts.weights()
            parts.optimizer()
            self._randomness()

    def write_files(self, directory: Path) -> None:
        """Put the files of a checkpoint into ``directory``, while the other processes give their parts."""
        parts = self.parts()
        weights = parts.weights()
        save_file({name: value.contiguous() for name, value in weights.items()}, directory / WEIGHTS)
        del weights
        torch.save(parts.optimizer(), directory / OPTIMIZER)
        torch.save(self.lr_scheduler.state_dict(), directory / _SCHEDULER)
        for name, state in zip(self._randomness_names(), self._randomness(), strict=True):
            (directory / name).write_bytes(state)
        self.write_state(directory)

    def _randomness(self) -> list[bytes]:
        """Return the state of each process's random numbers, in the first process."""
        with tempfile.TemporaryDirectory() as aside:
            self._save_rng_state(aside)
            return self.ranks.collect(next(Path(aside).iterdir()).read_bytes())

    def _prepare_for_training(self, max_steps: int, train_dataloader: Any, resume_from_checkpoint: str | None) -> Any:
        """Prepare; what is in parts is restored afterwards, by this class and not by the libraries."""
        prepared = super()._prepare_for_training(max_steps, train_dataloader, None)
        if resume_from_checkpoint is not None:
            checkpoint = Path(resume_from_checkpoint)
            self.parts().load(checkpoint)
            self._load_schedule(torch.load(checkpoint / _SCHEDULER, weights_only=True))
        return prepared

    def _load_schedule(self, state: dict[str, Any]) -> None:
        """Go on with the schedule of a checkpoint, which may have been of another number of parameter groups."""
        count = len(self.lr_scheduler.lr_lambdas)
        self.lr_scheduler.load_state_dict({**state, "lr_lambdas": (count * state["lr_lambdas"])[:count]})
        self.apply_rate()

    def _randomness_names(self) -> list[str]:
        """Return the names under which transformers looks for the state of each process's random numbers."""
        count = self.ranks.count
        return ["rng_state.pth"] if count == 1 else [f"rng_state_{rank}.pth" for rank in range(count)]
