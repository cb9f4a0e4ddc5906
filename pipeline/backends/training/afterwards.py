"""What becomes of the trained weights before they are written: they go back towards the base, or join others."""

from __future__ import annotations

import shutil
import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import torch

from pipeline.backends.training.base_model import prepare_model
from pipeline.backends.training.changes import lora_changes
from pipeline.backends.training.job import as_inputs
from pipeline.core.seeding import seed_everything
from schemas.retention import Interpolation, LowerRate, Merging

if TYPE_CHECKING:
    from pipeline.backends.training.guarded import GuardedTrainer
    from pipeline.backends.training.job import TrainerBuilder, TrainJob

ALPHAS = tuple(step / 10 for step in range(1, 11))
_TRAINED, _OWN, _MERGED = "default", "own", "merged"


class Line:
    """The straight line from the base's weights to the trained ones.

    Of an adapter, B is scaled; of whole weights, the base is read again.
    """

    def __init__(self, job: TrainJob, model: torch.nn.Module) -> None:
        if job.config.lora is not None:
            self._moved = [change.b for change in lora_changes(model)]
            self._start = [torch.zeros_like(weight) for weight in self._moved]
        else:
            base = dict(prepare_model(job.config, job.tokenizer, job.longest).named_parameters())
            trained = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
            self._moved = list(trained.values())
            self._start = [base[name].detach().to(weight) for name, weight in trained.items()]
        self._end = [weight.detach().clone() for weight in self._moved]

    def go_to(self, alpha: float) -> None:
        """Give the model the weights at ``alpha``: 0 is the base, 1 what was trained."""
        with torch.no_grad():
            for weight, start, end in zip(self._moved, self._start, self._end, strict=True):
                weight.copy_(end if alpha == 1.0 else start + alpha * (end - start))


def interpolate(job: TrainJob, trainer: GuardedTrainer) -> float | None:
    """Move the weights towards the base as `Interpolation` says; return ``alpha``, None where it is not asked for."""
    method = next((one for one in job.config.retention if isinstance(one, Interpolation)), None)
    if method is None:
        return None
    line, alpha = Line(job, trainer.model), method.alpha
    if alpha is None:
        old, new = as_inputs(job.base_rows[: method.rows]), as_inputs(job.validation)
        losses: dict[float, float] = {}
        with job.context.progress("interpolating", len(ALPHAS)) as advance:
            for candidate in ALPHAS:
                line.go_to(candidate)
                losses[candidate] = trainer.mean_loss(old) + trainer.mean_loss(new)
                advance(1)
        alpha = min(losses, key=lambda candidate: (losses[candidate], -candidate))
    line.go_to(alpha)
    job.context.emit("log", f"of what training changed, {alpha:g} is kept", alpha=alpha)
    return alpha


def merge(job: TrainJob, trainer: GuardedTrainer, build: TrainerBuilder) -> bool:
    """Train a second adapter on rows of the base's own tasks and merge it into the first, as `Merging` says.

    Returns whether it was asked for.

    The second training keeps checkpoints of its own, so that a killed one goes on.

    Raises:
        DivergenceError, OutOfMemory, BudgetError, Cancelled: as `run_training`.
    """
    method = next((one for one in job.config.retention if isinstance(one, Merging)), None)
    if method is None:
        return False
    from pipeline.backends.training.loop import run_training

    scratch = job.scratch / "own-tasks"
    slower = tuple(one for one in job.config.retention if isinstance(one, LowerRate))
    plain = job.config.model_copy(update={"retention": slower, "early_stopping_patience": None, "eval_steps": None})
    second = replace(
        job,
        config=plain,
        train=job.base_rows[: method.rows],
        validation=(),
        base_rows=(),
        scratch=scratch,
        output=scratch / "model",
    )
    job.context.emit("log", "training an adapter on the base's own tasks, to merge with")
    run_training(second, build)
    trainer.model.load_adapter(str(second.output), _OWN)
    combine(trainer.model, method, job.config.seed)
    shutil.rmtree(second.output)
    return True


def combine(model: torch.nn.Module, method: Merging, seed: int) -> None:
    """Merge the adapter ``own`` into ``default``, of the same rank; ``seed`` draws what DARE drops.

    TIES keeps the largest ``density`` of each update, elects for each weight the sign of their sum and takes the mean
    of those that have it (Yadav et al. 2023, arXiv:2306.01708, section 4); DARE drops each weight with probability
    p = 1 - ``density`` and divides what stays by 1 - p (Yu et al. 2024, arXiv:2311.03099, section 3).
    """
    merging = cast(Any, model)
    seed_everything(seed)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The density .* no pruning will be performed")
        merging.add_weighted_adapter(
            [_TRAINED, _OWN],
            list(method.weights),
            _MERGED,
            combination_type="svd" if method.combination == "linear" else f"{method.combination}_svd",
            svd_rank=merging.peft_config[_TRAINED].r,
            svd_full_matrices=False,
            density=method.density,
        )
    _take_over(model)
    for name in (_OWN, _MERGED):
        merging.delete_adapter(name)
    merging.set_adapter(_TRAINED)


def _take_over(model: torch.nn.Module) -> None:
    """Give the trained adapter the merged one's update, which is B A itself, without a scaling.

    A matrix with fewer rows or columns than the rank has no more singular values than these: the rest is zero.
    """
    with torch.no_grad():
        for trained, merged in zip(lora_changes(model), lora_changes(model, _MERGED), strict=True):
            rank = merged.a.shape[0]
            trained.a.zero_()[:rank] = merged.a
            trained.b.zero_()[:, :rank] = merged.b / trained.scaling
