"""What hone adds to a Hugging Face Trainer, as a mixin: whole checkpoints, finite numbers, exact evaluation, a journal.

Mixed in before any trainer of TRL or transformers. It writes no file of its own accord: checkpoints go through
`CheckpointStore`, and nothing else is saved.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file, save_file

from pipeline.backends.training.checkpoints import Checkpoint, CheckpointStore
from pipeline.backends.training.journal import Journal
from pipeline.backends.training.penalties import Penalty
from pipeline.core.errors import IntegrityError
from schemas.rl import RewardReport

if TYPE_CHECKING:
    from transformers import Trainer
else:
    Trainer = object

WEIGHTS = "weights.safetensors"
_STATE = "trainer_state.json"  # the name that transformers reads


class NotFinite(ArithmeticError):
    """A loss or gradient norm is NaN or infinite; no checkpoint has what ``step`` made of the weights."""

    def __init__(self, step: int, what: str) -> None:
        super().__init__(f"{what} at step {step}")
        self.step = step
        self.what = what


class GuardedTrainer(Trainer):
    """Mixin for trainers. `attach` must be called before `train`."""

    def attach(self, store: CheckpointStore, journal: Journal, learning_rate: float) -> None:
        """Give the trainer its checkpoint store, its journal, and the peak learning rate of this attempt."""
        self.store = store
        self.journal = journal
        self.peak_rate = learning_rate
        self.step_loss = 0.0
        self.step_rate = learning_rate
        self.interrupted = False
        self.penalty: Penalty | None = None
        self.step_penalty: float | None = None

    # Numbers

    def training_step(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Run one micro-batch; its loss must be finite.

        Raises:
            NotFinite: it is not.
        """
        loss: torch.Tensor = super().training_step(*args, **kwargs)
        value = float(loss)
        if value != value or value in (float("inf"), float("-inf")):
            raise NotFinite(self.state.global_step + 1, "loss")
        self.step_loss += value
        return loss

    def _clip_grad_norm(self, model: Any) -> Any:
        """Add the penalty's gradient and clip.

        Called once right before the optimizer's step, so that the penalty is the same however a step is cut into
        micro-batches, and a gradient that is not finite never reaches the optimizer.
        """
        if self.penalty is not None:
            self.step_penalty = self.penalty.add_gradient()
        norm = super()._clip_grad_norm(model)
        value = float(norm)
        if value != value or value in (float("inf"), float("-inf")):
            raise NotFinite(self.state.global_step + 1, "gradient norm")
        self.step_rate = self.optimizer.param_groups[0]["lr"]
        return norm

    def take_step_loss(self) -> float:
        """Return the loss of the step that has just ended, and start the next one at zero."""
        loss, self.step_loss = self.step_loss, 0.0
        return loss

    def close_line(self, line: dict[str, float | int]) -> None:
        """Add to a line of the journal that has just been written what this training measures besides."""
        if self.step_penalty is not None:
            line["penalty"] = self.step_penalty

    def reward_report(self, eval_loss: float | None) -> RewardReport | None:  # noqa: ARG002
        """Return what became of the rewards; None where nothing is rewarded."""
        return None

    def finish(self) -> None:
        """Take away what the model has for training alone."""

    def floating_point_ops(self, inputs: Any) -> int:  # noqa: ARG002
        """Return 0: nothing here reads the count, and it walks all parameters at every step."""
        return 0

    def _send_telemetry(self) -> None:
        """Send nothing: a training talks to nobody that its config does not name."""

    # Evaluation

    def batch_weight(self, inputs: dict[str, torch.Tensor]) -> int:
        """Return how many terms the mean loss of a batch is over (trained tokens, or pairs)."""
        raise NotImplementedError

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """Return ``{"eval_loss"}`` over all validation rows: the mean over terms, whatever the batches.

        Rows of like length share a batch. No random number is drawn, so that evaluating changes no training.

        Raises:
            NotFinite: the loss is not finite; no weights are better or worse than such.
        """
        metrics = {"eval_loss": self.mean_loss([dict(row) for row in self.eval_dataset])}
        if not math.isfinite(metrics["eval_loss"]):
            raise NotFinite(self.state.global_step, "evaluation loss")
        self.log(dict(metrics))
        self.control: Any = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def mean_loss(self, rows: Sequence[dict[str, Any]]) -> float:
        """Return the mean loss over all terms of ``rows``, computed without dropout."""
        ordered = sorted(rows, key=lambda row: sum(len(value) for value in row.values() if isinstance(value, list)))
        size = self.args.per_device_eval_batch_size
        total, terms = self.evaluate_batches([ordered[first : first + size] for first in range(0, len(ordered), size)])
        return total / terms

    def evaluate_batches(self, batches: Sequence[list[dict[str, Any]]]) -> tuple[float, float]:
        """Return the sum of the loss over all terms of ``batches``, and how many terms there are."""
        self.model.eval()
        total, terms = 0.0, 0
        for rows in batches:
            inputs = self._prepare_inputs(self.data_collator(rows))
            weight = self.batch_weight(inputs)
            loss, _, _ = self.prediction_step(self.model, inputs, prediction_loss_only=True)
            total += float(loss) * weight
            terms += weight
        return total, terms

    # Checkpoints

    def _save_checkpoint(self, model: Any, trial: Any) -> None:  # noqa: ARG002
        ended = self.journal.stopped_early or not self.interrupted
        self.journal.finished = self.control.should_training_stop and ended
        best = self.journal.best_step
        self.write_checkpoint(keep=() if best is None else (best,))

    def write_checkpoint(self, keep: tuple[int, ...]) -> None:
        """Write a checkpoint of this step; those of the steps ``keep`` stay."""
        self.store.write(self.state.global_step, self.write_files, keep)

    def write_files(self, directory: Path) -> None:
        """Put the files of a checkpoint into ``directory``."""
        save_trained(self.model, directory / WEIGHTS)
        self._save_optimizer_and_scheduler(str(directory))
        self._save_scaler(str(directory))
        self._save_rng_state(str(directory))
        self.write_state(directory)

    def write_state(self, directory: Path) -> None:
        """Put how far the training is into ``directory``."""
        self.state.save_to_json(str(directory / _STATE))
        self.journal.save(directory)

    def load_weights(self, checkpoint: Checkpoint) -> None:
        """Put the weights of a checkpoint into the model.

        Raises:
            IntegrityError: it holds other parameters than the model trains.
        """
        load_trained(self.model, checkpoint.path / WEIGHTS)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:  # noqa: ARG002
        load_trained(self.model, Path(resume_from_checkpoint) / WEIGHTS)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        """Load both, then apply this attempt's learning rate, which a rollback may have lowered."""
        super()._load_optimizer_and_scheduler(checkpoint)
        if checkpoint is not None:
            self.apply_rate()

    def apply_rate(self) -> None:
        """Give the restored schedule this attempt's peak learning rate."""
        scheduler, peak = self.lr_scheduler, self.peak_rate
        scheduler.base_lrs = [peak for _ in scheduler.lr_lambdas]
        rates = [
            base * schedule(scheduler.last_epoch)
            for base, schedule in zip(scheduler.base_lrs, scheduler.lr_lambdas, strict=True)
        ]
        for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
            group["initial_lr"], group["lr"] = peak, rate
        scheduler._last_lr = rates  # noqa: SLF001  torch's schedulers have no setter for it


def trained_tensors(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Return what training changes: parameters with a gradient, each once, and persistent buffers."""
    kept = {name: value for name, value in model.named_parameters() if value.requires_grad}
    stored = model.state_dict().keys()
    return kept | {name: value for name, value in model.named_buffers() if name in stored}


def save_trained(model: torch.nn.Module, path: Path) -> None:
    """Write what training changes as safetensors."""
    save_file({name: value.detach().contiguous() for name, value in trained_tensors(model).items()}, path)


def _whole(stored: torch.Tensor, _like: torch.Tensor) -> torch.Tensor:
    return stored


def load_trained(
    model: torch.nn.Module, path: Path, part: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] = _whole
) -> None:
    """Put what `save_trained` wrote back into ``model``, bit for bit.

    ``part`` returns of a stored tensor what this process's tensor of the model takes.

    Raises:
        IntegrityError: the names or shapes differ.
    """
    stored = load_file(path)
    current = trained_tensors(model)
    different = stored.keys() ^ current.keys()
    different |= {name for name in stored.keys() & current.keys() if stored[name].shape != current[name].shape}
    if different:
        raise IntegrityError(
            f"the checkpoint holds other parameters than the model trains, such as {min(different)}",
            where=str(path),
            fix="remove the training's work folder and run again",
        )
    with torch.no_grad():
        for name, value in current.items():
            value.copy_(part(stored[name], value))
