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


class RewardSpec(MetricSpec):
    """A metric that answers are rewarded by; the reward is the sum of ``weight`` times score, which is in [0, 1].

    A negative weight punishes.
    """

    weight: Annotated[float, AfterValidator(_not_zero)] = 1.0

    @model_validator(mode="before")
    @classmethod
    def _by_name(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value
