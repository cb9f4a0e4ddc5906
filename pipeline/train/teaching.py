"""What a teacher answers to the questions of the training rows, kept as it comes, and which answers are trained on.

Rejection sampling (Yuan et al. 2023, arXiv:2308.01825): of several answers to a question the one with the highest
reward is kept, and none that earns too little.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from pipeline.core.context import CallContext
from pipeline.core.errors import DataError
from pipeline.core.models import model_files
from pipeline.core.workspace import write_atomic
from pipeline.render import RenderedPrompt, render_prompt
from pipeline.train import backends
from pipeline.train.backends import Completion, Reward, Teacher
from pipeline.train.rewards import load_rewards
from schemas.data import Example, Message
from schemas.distillation import TaughtReport
from schemas.evaluate import GenerationConfig
from schemas.train import TrainConfig

_PORTION = 64
"""Questions between two saves."""

_BATCH = 32
_SEEDS, _STRIDE = 2**32, 1_000_003

Answers = list[list[tuple[str, bool]]]
"""For each question the text of each answer, and whether it was cut."""


def teach(
    config: TrainConfig, own: Sequence[Example], labels: Sequence[str] | None, scratch: Path, context: CallContext
) -> tuple[list[Example], TaughtReport]:
    """Return the rows with the teacher's answers, and what came of asking.

    An answer that was cut at its limit, or is empty, is never kept. Answers that ``scratch`` holds are not drawn again.

    Raises:
        ModelError, RenderError: the teacher cannot be loaded or asked.
        ConfigError, EnvironmentMissing, DataError: as `load_rewards`; or no answer is kept.
    """
    context.emit("log", "loading the teacher")
    teacher = backends.open_teacher(model_files(config.teacher))
    room = config.seq_kd.max_completion_length
    prompts = [
        RenderedPrompt(
            render_prompt(row.prompt, teacher.tokenizer, tools=row.tools),
            row.answer,
            row.row,
            room,
            row.prompt,
            row.tools,
        )
        for row in own
    ]
    rewards = load_rewards(config, labels, prompts, context)
    answers = _ask(config, teacher, prompts, scratch / "teacher", context)
    scores = _scores(rewards, prompts, answers, context)
    kept = []
    for row, said, earned in zip(own, answers, scores, strict=True):
        whole = [place for place, (text, cut) in enumerate(said) if text.strip() and not cut]
        best = max(whole, key=lambda place: (earned[place], -place), default=None)
        if best is not None and (not rewards or earned[best] >= config.seq_kd.least_reward):
            answer = Message(role="assistant", content=said[best][0])
            kept.append(row.model_copy(update={"messages": (*row.prompt, answer), "label": None}))
    report = _report(answers, scores, len(kept), rewarded=bool(rewards))
    _tell(report, config, context)
    return kept, report


def _ask(
    config: TrainConfig, teacher: Teacher, prompts: Sequence[RenderedPrompt], kept: Path, context: CallContext
) -> Answers:
    kept.mkdir(parents=True, exist_ok=True)
    options, found = config.seq_kd, []
    with context.progress("asking the teacher", len(prompts)) as advance:
        for first in range(0, len(prompts), _PORTION):
            part, path = prompts[first : first + _PORTION], kept / f"{first:08d}.json"
            if path.is_file():
                portion = json.loads(path.read_text(encoding="utf-8"))
            else:
                asked = GenerationConfig(
                    max_new_tokens=options.max_completion_length,
                    temperature=options.temperature,
                    top_p=options.top_p,
                    batch_size=_BATCH,
                    seed=(config.seed * _STRIDE + first) % _SEEDS,
                )
                repeated = [prompt.prompt_ids for prompt in part for _ in range(options.num_generations)]
                drawn = teacher.generator.generate(repeated, asked, context, lambda _: None)
                portion = _grouped(drawn, options.num_generations)
                write_atomic(path, json.dumps(portion))
            found += [[(str(text), bool(cut)) for text, cut in said] for said in portion]
            advance(len(part))
    return found


def _grouped(drawn: Sequence[Completion], count: int) -> Answers:
    said = [(answer.text, answer.finish_reason == "length") for answer in drawn]
    return [said[first : first + count] for first in range(0, len(said), count)]


def _scores(
    rewards: Sequence[Reward], prompts: Sequence[RenderedPrompt], answers: Answers, context: CallContext
) -> list[list[float]]:
    """Return the reward of each answer, 0 where nothing is rewarded."""
    asked = [prompt for prompt, said in zip(prompts, answers, strict=True) for _ in said]
    texts = [text for said in answers for text, _ in said]
    totals = [0.0] * len(texts)
    for reward in rewards:
        for place, score in enumerate(reward.scores(asked, texts, context)):
            totals[place] += reward.weight * score
    count = len(answers[0]) if answers else 1
    return [totals[first : first + count] for first in range(0, len(totals), count)]


def _report(answers: Answers, scores: Sequence[Sequence[float]], kept: int, *, rewarded: bool) -> TaughtReport:
    drawn, earned = [one for said in answers for one in said], [score for some in scores for score in some]
    return TaughtReport(
        questions=len(answers),
        answers=len(drawn),
        kept=kept,
        cut=sum(cut for _, cut in drawn),
        reward=sum(earned) / len(earned) if rewarded and earned else None,
    )


def _tell(report: TaughtReport, config: TrainConfig, context: CallContext) -> None:
    if not report.kept:
        raise DataError(
            f"none of the teacher's {report.answers} answers is kept: {report.cut} were cut at "
            f"{config.seq_kd.max_completion_length} tokens",
            where="train.seq_kd.least_reward" if report.reward is not None else "train.seq_kd.max_completion_length",
            fix="lower least_reward, draw more answers or longer ones, or take a better teacher",
        )
    if report.kept < report.questions:
        context.warn(
            f"{report.questions - report.kept} of {report.questions} questions are left out: of the teacher's answers "
            "none was whole and earned enough",
            left_out=report.questions - report.kept,
        )
