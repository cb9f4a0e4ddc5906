"""What trainers share that learn from rewards of their own answers: asking, scoring, guards, and exact resumption.

Answers are drawn by the generator that evaluates too, with random numbers that depend on the seed, the step and an
answer's place alone: a resumed training draws the same ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from datasets import Dataset
from safetensors.torch import load_file, save_file

from pipeline.backends.generate_transformers import TransformersGenerator
from pipeline.backends.training.guarded import GuardedTrainer
from pipeline.backends.training.job import Reward, Row, TrainJob
from pipeline.backends.training.prompt_order import PromptOrder
from pipeline.backends.training.reward_guards import BY_METRIC, REWARD, answer_figures, check_line, report_of
from pipeline.core.context import CallContext
from pipeline.render import RenderedPrompt, end_of_turn_ids
from schemas.evaluate import GenerationConfig
from schemas.rl import RewardReport

if TYPE_CHECKING:
    from pipeline.backends.generation import Completion
    from schemas.rl import RolloutOptions

_ROLLOUTS = "rollouts.safetensors"
_SEEDS = 2**32
_STRIDE = 1_000_003
"""Distance between the seeds of two trainings, in steps: theirs never meet within that many."""


class RewardedTrainer(GuardedTrainer):
    """Mixin for trainers over rows with ``prompt`` (token ids) and ``place`` among the prompts of the job.

    A trainer keeps what it drew in ``_buffered_inputs``, one dictionary of tensors for each micro-batch, and counts
    micro-batches in ``_step``; both are TRL's names.
    """

    def prepare(self, job: TrainJob) -> None:
        """Give the trainer its job; call it once the model is there."""
        assert job.config.rollout is not None
        self.job = job
        self.questions = [row for row in (*job.train, *job.validation) if isinstance(row, RenderedPrompt)]
        self.rollout: RolloutOptions = job.config.rollout
        self.stops = stop_ids(self.model, job)
        base = self.model.get_base_model() if hasattr(self.model, "get_base_model") else self.model
        positions = getattr(base.config.get_text_config(), "max_position_embeddings", None)
        self.generator = TransformersGenerator(base, job.tokenizer, stop_ids=self.stops, context_length=positions)

    # Asking

    @property
    def answers_at_once(self) -> int:
        """How many answers are drawn together."""
        return int(self.args.per_device_train_batch_size) * self.parts

    @property
    def parts(self) -> int:
        """How many micro-batches what is drawn is cut into."""
        return int(self.args.gradient_accumulation_steps) * self.rollout.mini_batches

    @property
    def micro_batches(self) -> int:
        """For how many micro-batches what is drawn is used, each of its parts again in every pass."""
        return self.parts * self.rollout.passes

    def _get_train_sampler(self, dataset: Dataset | None = None) -> PromptOrder:
        rows = self.train_dataset if dataset is None else dataset
        return PromptOrder(
            len(rows),
            prompts=self.answers_at_once // self.rollout.answers,
            answers=self.rollout.answers,
            repeats=self.micro_batches,
            seed=self.job.config.seed,
        )

    def draw(self, prompts: Sequence[list[int]], *, greedy: bool = False) -> list[Completion]:
        """Return an answer to each prompt by the model as it is."""
        training, config = self.model.training, self.job.config
        self.model.eval()
        asked = GenerationConfig(
            max_new_tokens=self.rollout.max_completion_length,
            temperature=0.0 if greedy else self.rollout.temperature,
            top_p=self.rollout.top_p,
            batch_size=max(self.answers_at_once, int(self.args.per_device_eval_batch_size)),
            seed=(config.seed * _STRIDE + self.state.global_step) % _SEEDS,
        )
        # A training stops between steps, where it can save: the generator is told of no allowance.
        context = CallContext(sink=self.job.context.sink)
        with self.accelerator.autocast():
            answers = self.generator.generate(prompts, asked, context, lambda _: None)
        self.model.train(training)
        return answers

    # Scoring

    def score(self, rows: Sequence[dict[str, Any]], texts: Sequence[str]) -> torch.Tensor:
        """Return the score of each answer to its row by each reward, shape (answers, rewards), without weights."""
        prompts, context = [self.questions[row["place"]] for row in rows], CallContext(sink=self.job.context.sink)
        return torch.tensor([reward.scores(prompts, texts, context) for reward in self.job.rewards]).T

    @property
    def weights(self) -> torch.Tensor:
        """The weight of each reward, shape (rewards,)."""
        return torch.tensor([reward.weight for reward in self.job.rewards])

    def note_answers(self, answers: Sequence[Sequence[int]], scores: torch.Tensor) -> None:
        """Count in the journal what was drawn, and how it scored."""
        means = scores.double().mean(dim=0).tolist()
        by_metric = {f"{BY_METRIC}{one.name}": mean for one, mean in zip(self.job.rewards, means, strict=True)}
        total = float((scores.double() @ self.weights.double()).mean())
        self.journal.add_figures({REWARD: total, **by_metric, **answer_figures(answers, self.stops)})

    def close_line(self, line: dict[str, float | int]) -> None:
        """Look at the guards, besides."""
        super().close_line(line)
        check_line(line, self.journal, self.job.config.guards, self.job.context)

    def reward_report(self, eval_loss: float | None) -> RewardReport | None:
        """Return what became of the rewards."""
        return report_of(self.journal, None if eval_loss is None else 0.0 - eval_loss)

    def mean_loss(self, rows: Sequence[dict[str, Any]]) -> float:
        """Return minus the mean reward of greedy answers: lower is better, and no random number is drawn."""
        answers = self.draw([row["prompt"] for row in rows], greedy=True)
        scores = self.score(rows, [answer.text for answer in answers])
        return 0.0 - float((scores.double() @ self.weights.double()).mean())

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Show what the journal's last line says besides, and what an evaluation measured by its name."""
        if "eval_loss" in logs:
            logs["eval_reward"] = 0.0 - logs["eval_loss"]
        elif self.journal.lines and self.journal.lines[-1]["step"] == self.state.global_step:
            logs.update({name: value for name, value in self.journal.lines[-1].items() if name not in ("step", *logs)})
        super().log(logs, start_time)

    # Going on in the middle of what was drawn

    def write_files(self, directory: Path) -> None:
        """Write what was drawn besides, where steps are left that use it."""
        super().write_files(directory)
        if self._step % self.micro_batches:
            save_file(_joined(self._buffered_inputs), directory / _ROLLOUTS)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        super()._load_from_checkpoint(resume_from_checkpoint, model)
        self._step = self.journal.steps * int(self.args.gradient_accumulation_steps)
        if self._step % self.micro_batches:
            stored = load_file(Path(resume_from_checkpoint) / _ROLLOUTS, device=str(self.args.device))
            self._buffered_inputs = split_batches(stored, self.parts)


def stop_ids(model: Any, job: TrainJob) -> list[int]:
    """Return the tokens that end an answer: the model's, and those that end a turn of its template.

    They become the model's own, so that whoever else asks it stops at the same ones.
    """
    known = model.generation_config.eos_token_id
    known = [] if known is None else [known] if isinstance(known, int) else list(known)
    stops = sorted({*known, *end_of_turn_ids(job.tokenizer, job.config)})
    model.generation_config.eos_token_id = stops
    return stops


def asked(rows: Sequence[Row], *, first: int = 0) -> Dataset:
    """Return prompts as TRL takes them, with their places among all of a job's from ``first`` on."""
    prompts = [row.prompt_ids for row in rows if isinstance(row, RenderedPrompt)]
    return Dataset.from_dict({"prompt": prompts, "place": list(range(first, first + len(prompts)))})


def split_batches(rollouts: dict[str, torch.Tensor], parts: int) -> list[dict[str, torch.Tensor]]:
    """Return rows of tensors in ``parts`` of equal size, in order; what has no rows is in each."""
    chunks = {name: value.chunk(parts) if value.dim() else [value] * parts for name, value in rollouts.items()}
    return [{name: chunk[part] for name, chunk in chunks.items()} for part in range(parts)]


def _joined(batches: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
    """Return tensors of the rows of all batches; what has no rows is taken from the first."""
    joined = {}
    for name, first in batches[0].items():
        if first is not None:
            whole = torch.cat([batch[name] for batch in batches]) if first.dim() else first
            joined[name] = whole.contiguous()
    return joined


class RewardedByTrl(RewardedTrainer):
    """What GRPO and RLOO share: TRL's trainers with hone's answers and scores."""

    def _tokenize_prompts(self, prompts: list[list[int]]) -> tuple[list[list[int]], None, dict[str, Any]]:
        """Return the prompts, which hone has rendered."""
        return prompts, None, {}

    def _generate_single_turn(self, prompt_ids: list[list[int]], *_: Any, **__: Any) -> Any:
        self.drawn = self.draw(prompt_ids)
        return [answer.token_ids for answer in self.drawn]

    def _calculate_rewards(self, inputs: list[dict[str, Any]], *_: Any) -> torch.Tensor:
        scores = self.score(inputs, [answer.text for answer in self.drawn])
        self.note_answers([answer.token_ids for answer in self.drawn], scores)
        return scores.to(self.accelerator.device)


def named_for_trl(rewards: Sequence[Reward]) -> list[Callable[..., Any]]:
    """Return functions of the rewards' names, which TRL reads; `RewardedByTrl` scores by itself."""

    def named(name: str) -> Callable[..., Any]:
        def unused(**_: Any) -> list[float]:
            raise NotImplementedError

        unused.__name__ = name
        return unused

    return [named(reward.name) for reward in rewards]
