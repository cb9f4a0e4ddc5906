"""A metric as a run description names it: by itself where answers are scored, with a weight where they are rewarded."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, JsonValue, model_validator

from schemas.base import Reference, Schema


class MetricSpec(Schema):
    """A metric by name (or ``./file.py:function``) and its parameters.

    ``code`` is the resolved user file, if it is one, and ``model`` the resolved folder of a metric that reads one.
    """

    name: str
    params: dict[str, JsonValue] = {}
    code: Reference | None = None
    model: Reference | None = None


def _not_zero(weight: float) -> float:
    if weight == 0.0:
        raise ValueError("a reward without weight rewards nothing: leave it out")
    return weight


REWARD_MODEL = "reward_model"
"""What a reward model is called among rewards; ``params.model`` is its folder, ``run:NAME`` or ``name@version``."""


class RewardSpec(MetricSpec):
    """What answers are rewarded by; the reward is the sum of ``weight`` times score.

    The score of a metric is in [0, 1], that of a reward model has no bounds. A negative weight punishes.
    """

    weight: Annotated[float, AfterValidator(_not_zero)] = 1.0

    @model_validator(mode="before")
    @classmethod
    def _by_name(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _a_model_is_named(self) -> RewardSpec:
        if self.name == REWARD_MODEL and not (set(self.params) == {"model"} and isinstance(self.params["model"], str)):
            raise ValueError("reward_model takes params: {model: FOLDER}, or run:NAME or name@version of one")
        return self
