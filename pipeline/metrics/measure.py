"""What a measure is: a figure of a model's own probabilities, which no answer's text tells.

A metric scores an answer, in [0, 1], and decides; a measure describes the model beside it, in a unit of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Counts: TypeAlias = NDArray[np.int64]
    Values: TypeAlias = NDArray[np.float64]

Needs = Literal["answers", "references"]
Unit = Literal["share", "ratio"]


@dataclass(frozen=True)
class Probabilities:
    """What a model said of its items, arrays of shape (items,).

    ``scores`` are those of the metric that decides. ``answers`` is the probability, in [0, 1], of the answer that was
    given, up to and with its end; ``nats`` and ``tokens`` are the negative log-probability of the expected answer and
    how many tokens it has. What no measure asked for is null.
    """

    scores: Values
    answers: Values | None = None
    nats: Values | None = None
    tokens: Values | None = None


class Measure(Protocol):
    """One figure.

    Attributes:
        name: how specs and reports call it.
        needs: what it reads of `Probabilities`.
        unit: ``share``: in [0, 1], shown in percent; ``ratio``: any number above 0.
    """

    name: ClassVar[str]
    needs: ClassVar[Needs]
    unit: ClassVar[Unit]

    def statistic(self, found: Probabilities) -> Callable[[Counts], Values]:
        """Return a function from counts, shape (rows, items), to the figure of each row's set, shape (rows,)."""
