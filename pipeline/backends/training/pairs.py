"""Training on pairs without a reference model: one forward pass over both answers, and a loss that compares them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from datasets import Dataset
from trl import SFTConfig, SFTTrainer
from trl.trainer.dpo_trainer import DataCollatorForPreference
from trl.trainer.utils import disable_dropout_in_model

from pipeline.backends.training.adapters import adapter_config
from pipeline.backends.training.arguments import common_arguments, on_one_gpu
from pipeline.backends.training.base_model import prepare_model
from pipeline.backends.training.distributed_arguments import check_strategy, settle_arguments
from pipeline.backends.training.distributed_trainer import trainer_class
from pipeline.backends.training.guarded import GuardedTrainer
from pipeline.backends.training.job import Row, TrainJob
from pipeline.backends.training.settings import AttemptSettings
from pipeline.render import RenderedPair

COLUMNS = ("prompt_ids", "chosen_ids", "rejected_ids")


@dataclass(frozen=True)
class Sides:
    """What the model gives the two answers of each pair, all of shape (pairs,).

    ``chosen`` and ``rejected`` are sums of log-probabilities over an answer's tokens; ``chosen_tokens`` and
    ``rejected_tokens`` how many these are.
    """

    chosen: torch.Tensor
    rejected: torch.Tensor
    chosen_tokens: torch.Tensor
    rejected_tokens: torch.Tensor

    @property
    def chosen_mean(self) -> torch.Tensor:
        """Mean log-probability of a token of the chosen answer."""
        return self.chosen / self.chosen_tokens

    @property
    def rejected_mean(self) -> torch.Tensor:
        """Mean log-probability of a token of the rejected answer."""
        return self.rejected / self.rejected_tokens


PairLoss = Callable[[Sides], torch.Tensor]
"""Returns the loss of each pair, shape (pairs,)."""


class PairTrainer(GuardedTrainer, SFTTrainer):
    """Trains on rows with ``prompt_ids``, ``chosen_ids`` and ``rejected_ids``, without dropout."""

    pair_loss: PairLoss

    def _set_signature_columns_if_needed(self) -> None:
        self._signature_columns = list(COLUMNS)

    def batch_weight(self, inputs: dict[str, torch.Tensor]) -> int:
        """Return the number of pairs: each is two sequences of the batch."""
        return int(inputs["input_ids"].shape[0]) // 2

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, torch.Tensor],
        return_outputs: bool = False,  # noqa: ARG002  nothing here asks for outputs
        num_items_in_batch: Any = None,  # noqa: ARG002  a pair is the unit, whatever its tokens
    ) -> torch.Tensor:
        """Return the mean loss of the pairs of a batch."""
        sides = compare(model, inputs)
        noted = self._metrics["train" if self.model.training else "eval"]
        noted["logps/chosen"].append(float(sides.chosen.detach().mean()))
        noted["logps/rejected"].append(float(sides.rejected.detach().mean()))
        better = (sides.chosen_mean > sides.rejected_mean).float()
        noted["rewards/accuracies"].append(float(better.mean()))
        return self.pair_loss(sides).mean()

    def prediction_step(self, model: Any, inputs: Any, *_: Any, **__: Any) -> tuple[torch.Tensor, None, None]:
        """Return the loss of a batch."""
        with torch.no_grad(), self.compute_loss_context_manager():
            return self.compute_loss(model, inputs).detach(), None, None


def compare(model: Any, inputs: dict[str, torch.Tensor]) -> Sides:
    """Return what ``model``, with TRL's fused output layer, gives both answers of a batch of chosen, then rejected."""
    answers = inputs["completion_mask"]
    labels = inputs["input_ids"].masked_fill(answers == 0, -100)
    found = model(
        input_ids=inputs["input_ids"],
        attention_mask=inputs["attention_mask"],
        labels=labels,
        use_cache=False,
        fused_lm_head=True,
    ).log_probs
    counted = answers[:, 1:]
    # Prompt-learning adapters put virtual tokens first; the last positions are those of the rows.
    chosen, rejected = found[:, -counted.shape[1] :].sum(dim=1).chunk(2)
    chosen_tokens, rejected_tokens = counted.sum(dim=1).chunk(2)
    return Sides(chosen, rejected, chosen_tokens, rejected_tokens)


def build_pairs(job: TrainJob, settings: AttemptSettings, loss: PairLoss) -> GuardedTrainer:
    """Return a fresh trainer on pairs with this loss."""
    config = job.config
    arguments = SFTConfig(**common_arguments(job, settings), dataset_kwargs={"skip_prepare_dataset": True})
    on_one_gpu(arguments, job.context)
    settle_arguments(arguments, job)
    model = prepare_model(config, job.tokenizer, job.longest)
    trainer: Any = trainer_class(PairTrainer, job)(
        model=model,
        args=arguments,
        data_collator=DataCollatorForPreference(pad_token_id=job.tokenizer.pad_token_id),
        train_dataset=paired(job.train),
        eval_dataset=paired(job.validation) if job.validation else None,
        processing_class=job.tokenizer,
        peft_config=adapter_config(config, model),
    )
    disable_dropout_in_model(trainer.model)
    trainer.pair_loss = loss
    check_strategy(trainer, job)
    return trainer


def paired(rows: Sequence[Row]) -> Dataset:
    """Return rendered pairs as TRL's collator takes them."""
    pairs = [row for row in rows if isinstance(row, RenderedPair)]
    return Dataset.from_dict({name: [getattr(pair, name) for pair in pairs] for name in COLUMNS})
