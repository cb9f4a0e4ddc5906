"""LoRA's options under PEFT's names."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from schemas.base import Schema

Rank = Annotated[int, Field(gt=0)]

CHANGES_BASE = ("pissa", "olora")
"""Values of ``init_lora_weights`` that move a part of the base's weights into the adapter.

It is stored as plain LoRA of twice the rank, which fits the base as it is.
"""


class LoraOptions(Schema):
    """PEFT's LoraConfig, by its names."""

    lora_dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    target_modules: tuple[str, ...] | str = "all-linear"
    modules_to_save: tuple[str, ...] | None = None
    use_rslora: bool = False
    use_dora: bool = False
    init_lora_weights: bool | Literal["gaussian", "pissa", "olora", "orthogonal"] = True
    bias: Literal["none", "all", "lora_only"] = "none"
    rank_pattern: dict[str, int] = {}
    alpha_pattern: dict[str, int] = {}

    @property
    def is_plain(self) -> bool:
        """Whether it is an update ``scaling * B A`` that begins at 0, and nothing else is trained."""
        changed = self.init_lora_weights is False or self.init_lora_weights in CHANGES_BASE
        return not (self.use_dora or self.modules_to_save or changed) and self.bias == "none"


class LoraSpec(LoraOptions):
    """LoRA as a user writes it: without ``r`` the plan chooses; without ``lora_alpha`` it is ``2 r``."""

    r: Rank | None = None
    lora_alpha: Rank | None = None


class LoraSettings(LoraOptions):
    """LoRA as the train stage takes it."""

    r: Rank
    lora_alpha: Rank


def changes_base(lora: LoraSettings | None) -> bool:
    """Say whether the adapter's initialization changes the base."""
    return lora is not None and lora.init_lora_weights in CHANGES_BASE
