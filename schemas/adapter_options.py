"""The options of adapters other than LoRA, under the names of PEFT's configs; a class's docstring says which."""

from __future__ import annotations

from typing import Annotated, Literal, Self, TypeAlias

from pydantic import Field, model_validator

from schemas.base import Schema

Targets: TypeAlias = tuple[str, ...] | str
"""Names (each ends a module's full name), a pattern for the full name, or ``all-linear``."""

Count = Annotated[int, Field(gt=0)]
Share = Annotated[float, Field(ge=0.0, lt=1.0)]


class Ia3Options(Schema):
    """IA3Config. Of ``feedforward_modules``, which are among the targets, the input is scaled; elsewhere the output."""

    target_modules: Targets = ("k_proj", "v_proj", "down_proj")
    feedforward_modules: tuple[str, ...] = ("down_proj",)

    @model_validator(mode="after")
    def _feedforward_modules_are_targets(self) -> Self:
        if not isinstance(self.target_modules, str):
            for name in self.feedforward_modules:
                if name not in self.target_modules:
                    raise ValueError(f"feedforward_modules: {name} is not among target_modules; add it there")
        return self


class VeraOptions(Schema):
    """VeraConfig: ``r`` is the rank of the random matrices that all layers share, drawn by ``projection_prng_key``."""

    r: Count = 256
    target_modules: Targets = "all-linear"
    vera_dropout: Share = 0.0
    d_initial: Annotated[float, Field(gt=0.0)] = 0.1
    projection_prng_key: Annotated[int, Field(ge=0)] = 0


class LohaOptions(Schema):
    """LoHaConfig."""

    r: Count = 8
    alpha: Count = 8
    target_modules: Targets = "all-linear"
    rank_dropout: Share = 0.0
    module_dropout: Share = 0.0
    rank_pattern: dict[str, Count] = {}
    alpha_pattern: dict[str, Count] = {}


class LokrOptions(LohaOptions):
    """LoKrConfig. ``decompose_factor`` is what a layer's sizes are divided by; -1 takes what is nearest to a square."""

    decompose_both: bool = False
    decompose_factor: Annotated[int, Field(gt=0)] | Literal[-1] = -1


class OftOptions(Schema):
    """OFTConfig. A block size that does not divide a layer's inputs becomes the nearest that does."""

    oft_block_size: Annotated[int, Field(gt=1)] = 32
    target_modules: Targets = "all-linear"
    module_dropout: Share = 0.0
    coft: bool = False
    block_share: bool = False
    use_cayley_neumann: bool = True


class BoftOptions(Schema):
    """BOFTConfig, with one butterfly factor. The block size divides every layer's inputs."""

    boft_block_size: Annotated[int, Field(gt=1)] = 4
    target_modules: Targets = "all-linear"
    boft_dropout: Share = 0.0


class LnTuningOptions(Schema):
    """LNTuningConfig; the default names every norm."""

    target_modules: Targets = r".*norm"


AdapterOptions: TypeAlias = (
    Ia3Options | VeraOptions | LohaOptions | LokrOptions | OftOptions | BoftOptions | LnTuningOptions
)
