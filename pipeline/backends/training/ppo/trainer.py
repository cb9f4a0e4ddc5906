"""The trainer: answers are drawn and judged once, and learned from for several steps."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils.data import DataLoader
from transformers import Trainer
from trl.trainer.utils import pad

from pipeline.backends.training.job import TrainJob
from pipeline.backends.training.ppo.advantages import generalized_advantages, token_rewards, whiten
from pipeline.backends.training.ppo.controller import next_coefficient
from pipeline.backends.training.ppo.losses import clipped_share, policy_loss, value_loss
from pipeline.backends.training.ppo.policy import Judged, judge, remove_value_head
from pipeline.backends.training.reward_guards import KL
from pipeline.backends.training.rewarded import RewardedTrainer, split_batches

_COEFFICIENT = "kl_coef"

Batch = dict[str, torch.Tensor]


class PpoTrainer(RewardedTrainer, Trainer):
    """PPO over rows with ``prompt`` and ``place``; its model has a value head."""

    def prepare(self, job: TrainJob) -> None:
        """Give the trainer its job, with nothing drawn yet."""
        super().prepare(job)
        self.options = job.config.ppo
        self.reference: Any = None
        self.adapter_is_the_change = False
        self.model_accepts_loss_kwargs = False  # transformers then divides a loss by the micro-batches of a step
        self._step, self._buffered_inputs = 0, []

    def get_train_dataloader(self) -> DataLoader[Any]:
        """Return a loader of the prompts that are asked together, again for each micro-batch that comes of them."""
        return self._get_dataloader(
            dataset=self.train_dataset,
            description="Training",
            batch_size=self.answers_at_once,
            sampler_fn=self._get_train_sampler,
            is_training=True,
        )

    def training_step(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Run one micro-batch, and count it."""
        loss = super().training_step(*args, **kwargs)
        self._step += 1
        return loss

    def _prepare_inputs(self, inputs: Any) -> Batch:
        """Return the next micro-batch of what was drawn; draw where it is used up."""
        if self._step % self.micro_batches == 0:
            with torch.no_grad():
                self._buffered_inputs = split_batches(self.roll_out(inputs), self.parts)
        batch: Batch = self._buffered_inputs[self._step % self.parts]
        return batch

    def compute_loss(
        self,
        model: Any,
        inputs: Batch,
        return_outputs: bool = False,  # noqa: ARG002  nothing here asks for outputs
        num_items_in_batch: Any = None,  # noqa: ARG002  what is drawn knows its tokens
    ) -> torch.Tensor:
        """Return policy loss plus ``vf_coef`` times value loss, as means over the tokens of a step."""
        options, mask = self.options, inputs["completion_mask"]
        found = judge(model, inputs, self.rollout.temperature)
        policy = policy_loss(found.log_probabilities, inputs["old_logps"], inputs["advantages"], options.cliprange)
        value = value_loss(found.values, inputs["old_values"], inputs["returns"], options.cliprange_value)
        policy, value = (policy * mask).sum() / inputs["tokens"], (value * mask).sum() / inputs["tokens"]
        clipped = clipped_share(found.log_probabilities.detach(), inputs["old_logps"], mask, options.cliprange)
        self.journal.add_figures(
            {"policy_loss": float(policy.detach()), "value_loss": float(value.detach()), "clip_ratio": clipped}
        )
        return policy + options.vf_coef * value

    def finish(self) -> None:
        """Leave the language model alone."""
        remove_value_head(self.model)

    # Drawing

    def roll_out(self, rows: list[dict[str, Any]]) -> Batch:
        """Return answers to the prompts of ``rows`` with all that is learned from them, a row for each."""
        options = self.options
        drawn = self.draw([row["prompt"] for row in rows])
        scored = self.score(rows, [answer.text for answer in drawn])
        self.note_answers([answer.token_ids for answer in drawn], scored)
        scores = scored @ self.weights
        if options.missing_eos_penalty is not None:
            cut = torch.tensor([answer.finish_reason == "length" for answer in drawn])
            scores = scores - options.missing_eos_penalty * cut
        batch = self._padded([row["prompt"] for row in rows], [answer.token_ids for answer in drawn])
        mask = batch["completion_mask"]
        own = self._judged(self.model, batch)
        distances = self._distances(batch, own)
        coefficient = self._coefficient(distances)
        rewards = token_rewards(scores.to(mask.device), distances, mask, coefficient)
        if options.whiten_rewards:
            rewards = whiten(rewards, mask, shift=False)
        advantages, returns = generalized_advantages(rewards, own.values, mask, gamma=options.gamma, lam=options.lam)
        return {
            **batch,
            "old_logps": own.log_probabilities,
            "old_values": own.values,
            "advantages": whiten(advantages, mask),
            "returns": returns,
            "tokens": mask.sum() / self.parts,
        }

    def _padded(self, prompts: list[list[int]], answers: list[list[int]]) -> Batch:
        padding, found = self.job.tokenizer.pad_token_id or 0, {}
        for name, lists, side in (("prompt", prompts, "left"), ("completion", answers, "right")):
            tensors = [torch.tensor(ids) for ids in lists]
            found[f"{name}_ids"] = pad(tensors, padding_value=padding, padding_side=side)
            found[f"{name}_mask"] = pad([torch.ones_like(ids) for ids in tensors], padding_value=0, padding_side=side)
        return {name: value.to(self.args.device) for name, value in found.items()}

    def _judged(self, model: Any, batch: Batch) -> Judged:
        """Return `judge` of all answers, as many at a time as training takes."""
        parts = split_rows(batch, int(self.args.per_device_train_batch_size))
        with self.accelerator.autocast():
            found = [judge(model, part, self.rollout.temperature) for part in parts]
        return Judged(torch.cat([part.log_probabilities for part in found]), torch.cat([part.values for part in found]))

    def _distances(self, batch: Batch, own: Judged) -> torch.Tensor:
        """Return how much likelier each token is than by the base, in nats; 0 where there is no base to ask."""
        mask = batch["completion_mask"]
        with self._base() as base:
            if base is None:
                return torch.zeros_like(own.log_probabilities)
            distances = (own.log_probabilities - self._judged(base, batch).log_probabilities) * mask
        self.journal.add_figures({KL: float(distances.sum() / mask.sum())})
        return distances

    @contextmanager
    def _base(self) -> Iterator[Any]:
        """Give the base as it was: a copy, or the model without its adapter, or nothing."""
        if self.reference is None and self.adapter_is_the_change:
            with self.model.disable_adapter():
                yield self.model
        else:
            yield self.reference

    def _coefficient(self, distances: torch.Tensor) -> float:
        """Return what a nat costs now, and note what it will cost next."""
        options, kept = self.options, self.journal.state
        coefficient = kept.get(_COEFFICIENT, options.kl_coef)
        self.journal.add_figures({_COEFFICIENT: coefficient})
        if options.adap_kl_ctrl and coefficient:
            kept[_COEFFICIENT] = next_coefficient(
                coefficient,
                float(distances.sum(dim=1).mean()),
                target=options.target,
                horizon=options.horizon,
                answers=len(distances),
            )
        return coefficient


def split_rows(batch: Batch, size: int) -> list[Batch]:
    """Return the rows of a batch, ``size`` at a time."""
    rows = len(batch["prompt_ids"])
    return [{name: value[first : first + size] for name, value in batch.items()} for first in range(0, rows, size)]
