"""What a training does so that the base's own tasks are not forgotten: `train.retention`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BeforeValidator, Field

from schemas.base import Schema

Strength = Annotated[float, Field(gt=0.0)]
Count = Annotated[int, Field(gt=0)]
BASE_ROWS = 256


# No method has a default: a description that leaves defaults out must still name it.


class Replay(Schema):
    """Rows of the base's own tasks mixed into training.

    ``share`` is the part of all training rows that is replayed; rows are drawn from the training split of the
    retention data with the stage's seed.
    """

    method: Literal["replay"]
    share: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.2


class LowerRate(Schema):
    """``factor`` times the learning rate that was asked for or planned."""

    method: Literal["lower_rate"]
    factor: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.1


class L2SP(Schema):
    """A penalty on the distance from the base's weights: ``weight / 2`` times the squared change, summed.

    Li et al. 2018, eq. 2. For LoRA the change of a matrix is its update ``scaling * B A``.
    """

    method: Literal["l2_sp"]
    weight: Strength = 1e-3


class EWC(Schema):
    """As `L2SP`, each weight's change times how much the base's own tasks depend on that weight.

    Kirkpatrick et al. 2017, eq. 3, with the diagonal of the empirical Fisher information of ``rows`` rows of the base's
    tasks, divided by its mean over all weights that change, so that ``weight`` means what it means for `L2SP`.
    """

    method: Literal["ewc"]
    weight: Strength = 1e-3
    rows: Count = BASE_ROWS


class OrthogonalLora(Schema):
    """A penalty on what the adapter reads of the inputs that the base's own tasks use.

    ``weight`` times the squared length of each row of A within the main directions of the layer's input on ``rows``
    rows of the base's tasks: those that hold a share ``energy`` of it. O-LoRA (Wang et al. 2023, eq. 6 and 7) keeps A
    orthogonal to the adapters of earlier tasks; a base has none, and the directions of its inputs stand in their place.
    """

    method: Literal["orthogonal"]
    weight: Strength = 1.0
    energy: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.9
    rows: Count = BASE_ROWS


class Interpolation(Schema):
    """The weights between the base (``alpha`` 0) and the trained model (1): WiSE-FT, Wortsman et al. 2022, eq. 1.

    Without ``alpha``, that of 0.1, 0.2, ... 1.0 with the least sum of the mean loss on the validation rows and that on
    ``rows`` rows of the base's own tasks.
    """

    method: Literal["interpolation"]
    alpha: Annotated[float, Field(gt=0.0, le=1.0)] | None = None
    rows: Count = BASE_ROWS


class Merging(Schema):
    """The adapter merged with a second one, trained in the same way on ``rows`` rows of the base's own tasks.

    ``combination``: PEFT's ``combination_type`` without its ending ``_svd``: TIES (Yadav et al. 2023), DARE (Yu et al.
    2024) or the plain sum, of the updates of whole matrices, brought back to the adapter's rank by its largest singular
    values. ``weights`` are those of the two; ``density`` is the share of each update that TIES and DARE keep.
    """

    method: Literal["merging"]
    combination: Literal["linear", "ties", "dare_linear", "dare_ties"] = "ties"
    weights: tuple[Strength, Strength] = (1.0, 1.0)
    density: Annotated[float, Field(gt=0.0, le=1.0)] = 0.5
    rows: Count = 2048


RetentionMethod: TypeAlias = Annotated[
    Replay | LowerRate | L2SP | EWC | OrthogonalLora | Interpolation | Merging, Field(discriminator="method")
]


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, dict) else value


RetentionMethods: TypeAlias = Annotated[tuple[RetentionMethod, ...], BeforeValidator(_listed)]
"""Several at once, or one written without a list."""

PENALTIES = (L2SP, EWC, OrthogonalLora)
AFTERWARDS = (Interpolation, Merging)


def reads_base_rows(method: RetentionMethod) -> bool:
    """Whether it needs rows of the base's own tasks."""
    return isinstance(method, (Replay, EWC, OrthogonalLora, Merging)) or (
        isinstance(method, Interpolation) and method.alpha is None
    )


def rows_read(methods: Sequence[RetentionMethod]) -> int:
    """Return how many rows of the base's own tasks are read beside those that are replayed."""
    counts = [
        method.rows
        for method in methods
        if isinstance(method, (EWC, OrthogonalLora, Interpolation, Merging)) and reads_base_rows(method)
    ]
    return max(counts, default=0)


def check_methods(methods: Sequence[RetentionMethod], adapter: str, *, plain_lora: bool, one_rank: bool = True) -> None:
    """Refuse methods that do not go together, or not with the adapter.

    ``plain_lora``: an adapter, if there is one, is ``scaling * B A`` on the base as it is, and nothing else is trained;
    ``one_rank``: of the same rank everywhere.

    Raises:
        ValueError: they do not.
    """
    names = [method.method for method in methods]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"retention: {name} is there {names.count(name)} times; write it once")
    if sum(isinstance(method, AFTERWARDS) for method in methods) > 1:
        raise ValueError("retention: interpolation and merging both make the final weights; keep one of them")
    for method in methods:
        if isinstance(method, (OrthogonalLora, Merging)) and adapter == "full":
            raise ValueError(f"retention: {method.method} is about an adapter; with adapter: full take another method")
        if isinstance(method, Merging) and not one_rank:
            raise ValueError("retention: merging gives an adapter of one rank; remove lora.rank_pattern")
        if isinstance(method, EWC) and adapter == "qlora":
            raise ValueError("retention: ewc needs gradients of the base's weights, which 4-bit weights do not have")
        if isinstance(method, (*PENALTIES, *AFTERWARDS)) and not plain_lora:
            raise ValueError(
                f"retention: {method.method} takes plain LoRA: no use_dora, modules_to_save, bias or init_lora_weights "
                "that begins elsewhere than at the base"
            )
