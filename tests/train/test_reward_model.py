"""Reward models: trained like every other model, left as sequence classifiers, and rewarding what others answer."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from pipeline.backends.generation import Question
from pipeline.backends.reward_transformers import RewardModel, load_reward_model
from pipeline.backends.training.job import ModelReward
from pipeline.core.context import CallContext
from pipeline.core.digests import DigestCache
from pipeline.core.errors import Cancelled, DataError, ModelError
from pipeline.core.models import ModelFiles
from pipeline.render import RenderedPrompt
from schemas.artifacts import Stored
from schemas.base import Reference
from schemas.base_model import BaseModelRef
from schemas.data import DataArtifact, Message
from tests.support.training import Trained, conversation, preference, run_stage, train_config


def files(folder: Path) -> ModelFiles:
    return ModelFiles(str(folder), None, None, str(folder), False)


def loaded(trained: Trained) -> RewardModel:
    return load_reward_model(files(trained.workspace.output / "model"), "train.rewards: reward_model")


def scored(model: RewardModel, numbers: range, side: str, batch_size: int = 4) -> list[float]:
    rows = [preference(number) for number in numbers]
    answers = [getattr(row, side)[0] for row in rows]
    return model.score([Question(row.messages) for row in rows], answers, batch_size=batch_size, context=CallContext())


@pytest.fixture(scope="module")
def reward(tiny: BaseModelRef, pairs: Stored[DataArtifact], tmp_path_factory: pytest.TempPathFactory) -> Trained:
    config = train_config(tiny, method="reward", num_train_epochs=4, eval_steps=8)
    return run_stage(tmp_path_factory.mktemp("reward"), config, pairs)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({}, marks=pytest.mark.slow),
        pytest.param({"adapter": "full", "reward": {"center_rewards_coefficient": 0.01}}, marks=pytest.mark.slow),
        pytest.param({"adapter": "ia3"}, marks=pytest.mark.full),
        pytest.param({"lora": {"r": 4, "lora_alpha": 8, "init_lora_weights": "pissa"}}, marks=pytest.mark.full),
        pytest.param(
            {"lora": {"r": 4, "lora_alpha": 8, "use_dora": True}, "gradient_checkpointing": True},
            marks=pytest.mark.full,
        ),
    ],
    ids=str,
)
def test_it_learns_goes_on_and_reloads_as_a_whole_classifier(
    tiny: BaseModelRef, pairs: Stored[DataArtifact], tmp_path: Path, changes: dict[str, Any]
) -> None:
    config = train_config(tiny, **{"method": "reward", "num_train_epochs": 3, "eval_steps": 4, **changes})
    trained = run_stage(tmp_path / "whole", config, pairs)
    evaluated = [line["eval_loss"] for line in trained.log if "eval_loss" in line]
    assert evaluated[-1] < evaluated[0]
    with pytest.raises(Cancelled):
        run_stage(tmp_path / "parts", config, pairs, stop_at=5)
    assert run_stage(tmp_path / "parts", config, pairs).digest == trained.digest
    settings = json.loads((trained.workspace.output / "model" / "config.json").read_text())
    assert settings["architectures"] == ["LlamaForSequenceClassification"]
    assert trained.artifact.kind == "full"
    # -log sigmoid(d) = log(1 + exp(-d)) is Bradley and Terry's loss; plus the weight times the square of the sum
    model, held = loaded(trained), range(16, 20)
    better, worse = scored(model, held, "chosen"), scored(model, held, "rejected")
    weight = config.reward.center_rewards_coefficient or 0.0
    losses = [math.log1p(math.exp(b - a)) + weight * (a + b) ** 2 for a, b in zip(better, worse, strict=True)]
    assert trained.artifact.eval_loss == pytest.approx(sum(losses) / 4, rel=1e-4)


@pytest.mark.full
def test_four_bits_are_trained_and_left_in_full_precision(
    tiny: BaseModelRef, pairs: Stored[DataArtifact], work: Path
) -> None:
    trained = run_stage(work, train_config(tiny, method="reward", adapter="qlora", num_train_epochs=3), pairs)
    better, worse = (scored(loaded(trained), range(16, 20), side) for side in ("chosen", "rejected"))
    assert all(a > b for a, b in zip(better, worse, strict=True))


@pytest.mark.slow
def test_a_score_does_not_depend_on_what_is_scored_beside_it(reward: Trained) -> None:
    model = loaded(reward)
    alone, together = (scored(model, range(8), "chosen", batch_size=size) for size in (1, 8))
    assert alone == pytest.approx(together, abs=1e-5)
    assert len(set(alone)) > 1


@pytest.mark.slow
def test_accumulation_does_not_change_the_loss(tiny: BaseModelRef, pairs: Stored[DataArtifact], tmp_path: Path) -> None:
    parts = {"per_device_train_batch_size": 1, "gradient_accumulation_steps": 4}
    first, second = (
        run_stage(tmp_path / name, train_config(tiny, method="reward", **sizes), pairs).log
        for name, sizes in (("whole", {}), ("parts", parts))
    )
    assert [line.get("loss") for line in first] == pytest.approx([line.get("loss") for line in second], abs=1e-5)


@pytest.mark.slow
def test_a_conversation_that_it_cannot_take_is_said(reward: Trained) -> None:
    long = Message(role="assistant", content="refund " * 600)
    with pytest.raises(DataError, match="the reward model takes 512") as caught:
        loaded(reward).score([Question(conversation(0).prompt)], [long], batch_size=1, context=CallContext())
    assert "train.rewards: reward_model" in str(caught.value)


@pytest.mark.slow
def test_a_reward_is_its_score_of_question_and_answer(reward: Trained) -> None:
    model, held = loaded(reward), range(16, 20)
    rows = [preference(number) for number in held]
    asked = [RenderedPrompt([1], "not looked at", row.row, 6, question=row.messages) for row in rows]
    said = [row.chosen[0].content for row in rows]
    found = ModelReward("reward_model", 0.5, model, 2).scores(asked, said, CallContext())
    assert found == pytest.approx(scored(model, held, "chosen"), abs=1e-6)


def test_a_language_model_is_no_reward_model(tiny: BaseModelRef) -> None:
    assert tiny.weights is not None
    with pytest.raises(ModelError, match=r"lacks weights, first score\.weight: it is no reward model"):
        load_reward_model(files(Path(tiny.weights.location)), "train.rewards: reward_model")


@pytest.mark.parametrize(
    "method", [pytest.param("grpo", marks=pytest.mark.slow), pytest.param("ppo", marks=pytest.mark.full)]
)
def test_it_rewards_the_answers_of_another_model(
    tiny: BaseModelRef, rows: Stored[DataArtifact], reward: Trained, tmp_path: Path, method: str
) -> None:
    folder = reward.workspace.output / "model"
    digest = DigestCache(None).digest(folder)
    named = {
        "name": "reward_model",
        "params": {"model": digest},
        "model": Reference(location=str(folder), digest=digest),
        "weight": 0.5,
    }
    options = {"max_completion_length": 6, **({"num_generations": 4} if method == "grpo" else {})}
    config = train_config(
        tiny, method=method, rewards=[named, "chrf"], max_steps=6, guards={"clipped": None}, **{method: options}
    )
    trained = run_stage(tmp_path / "whole", config, rows)
    report = trained.artifact.rewards
    assert report is not None and set(report.first.rewards) == {"reward_model", "chrf"}
    by_model, by_metric = report.first.rewards["reward_model"], report.first.rewards["chrf"]
    assert report.first.reward == pytest.approx(0.5 * by_model + by_metric, abs=1e-6)
    with pytest.raises(Cancelled):
        run_stage(tmp_path / "parts", config, rows, stop_at=3)
    assert run_stage(tmp_path / "parts", config, rows).digest == trained.digest


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"method": "reward", "retention": {"method": "l2_sp"}}, "l2_sp has nothing to retain"),
        ({"method": "reward", "distributed": {"strategy": "ddp"}}, "leave distributed out"),
        ({"method": "reward", "rewards": ["chrf"]}, "reward learns from no rewards"),
        ({"method": "grpo", "rewards": ["reward_model"]}, "reward_model takes params"),
        ({"method": "grpo", "rewards": [{"name": "reward_model", "params": {"modle": "a"}}]}, "takes params"),
    ],
)
def test_what_does_not_fit_is_refused(tiny: BaseModelRef, changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        train_config(tiny, **changes)
