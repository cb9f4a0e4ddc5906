"""How often the whole gate would promote a model, by simulation, before anything is trained.

What is simulated are counts, not items: who is right of the best baseline, the model and its variants is multinomial,
and every condition that the test split decides follows from these counts in the form in which
`pipeline.registry.gate` applies it. Left out is what these rows do not decide: retention (its tasks have rows of their
own), parity and contamination; and what is protected, because a model that gains everywhere is found significantly
worse somewhere in at most ``alpha`` of runs, mostly far fewer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.statistics.tango import tango_statistic
from schemas.plan import GatePower, GateWishes
from schemas.schemes import Scheme

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Counts = NDArray[np.int64]
    Passed = NDArray[np.bool_]

TRIALS = 4000
"""Simulated runs: a share near 80% is then known to 0.6 points (one standard deviation)."""

CHANGED = 0.01
"""Assumed share of items on which a variant that is as good as its parent is right where that was wrong, or wrong."""

MOST_ROWS = 1_000_000
"""Above this no test split is looked for."""

SEED = 0
_STEP = 1e-4


@dataclass(frozen=True)
class SimulatedGate:
    """What the gate asks for: ``target`` is null where it does not decide; ``served`` is the variant that is served.

    ``margins`` are those of variants that answer otherwise than their parent; a merged model does not.
    """

    alpha: float
    minimum_gain: float
    target: float | None
    margins: Mapping[str, float]
    served: str | None

    @classmethod
    def of(
        cls, wishes: GateWishes, variants: Mapping[str, Scheme], served: str | None, alpha: float, target: float | None
    ) -> SimulatedGate:
        """Return the gate of a run."""
        changing = {name: wishes.margins[name] for name in sorted(wishes.margins) if variants.get(name) != "merged"}
        return cls(alpha, wishes.minimum_gain, target if wishes.require_target else None, changing, served)

    def promoted(self, rows: int, baseline: float, gain: float) -> float:
        """Return the share of simulated runs, on ``rows`` independent test rows, in which a model is promoted.

        Args:
            rows: test rows.
            baseline: true accuracy of the best baseline.
            gain: that of the model, minus the baseline's; the two err independently.
        """
        import numpy as np

        rng = np.random.default_rng(SEED)
        model = min(1.0, baseline + gain)
        shares = [model * baseline, model * (1 - baseline), (1 - model) * baseline, (1 - model) * (1 - baseline)]
        # Of both, the model alone, the baseline alone, neither: (4, trials).
        cells = rng.multinomial(rows, shares, size=TRIALS).T
        passed = self._candidate(cells, rows)
        for name, margin in self.margins.items():
            lost, won = _changes(rng, cells, model)
            passed &= non_inferior(won.sum(axis=0), lost.sum(axis=0), rows, margin, self.alpha)
            if name == self.served:
                # What is lost goes from cell 0 to 2 and 1 to 3, what is won from 2 to 0 and 3 to 1.
                changed = lost + won
                passed &= self._candidate(cells - changed + np.roll(changed, 2, axis=0), rows)
        return float(passed.mean())

    def _candidate(self, cells: Counts, rows: int) -> Passed:
        """Return whether the gain is significant and enough, and the target reached, in each run."""
        from scipy.stats import binom

        both, only_model, only_baseline, _ = cells
        discordant = only_model + only_baseline
        # isf gives the most wins that the two-sided exact McNemar test accepts.
        passed: Passed = (only_model > binom.isf(self.alpha / 2, discordant, 0.5)) & (discordant > 0)
        passed &= only_model - only_baseline >= self.minimum_gain * rows
        if self.target is not None:
            passed &= both + only_model >= self.target * rows - 1e-9
        return passed


def _changes(rng: np.random.Generator, cells: Counts, model: float) -> tuple[Counts, Counts]:
    """Return the items that a variant without a loss loses and wins, of each cell: two arrays (4, trials).

    Of all items `CHANGED` / 2 are lost and as many won, or fewer where nearly all or nearly none are right.
    """
    import numpy as np

    share = min(CHANGED / 2, model, 1 - model)
    lost, won = np.zeros_like(cells), np.zeros_like(cells)
    if share > 0.0:
        lost[:2] = rng.binomial(cells[:2], share / model)
        won[2:] = rng.binomial(cells[2:], share / (1 - model))
    return lost, won


def non_inferior(won: Counts, lost: Counts, rows: int, margin: float, alpha: float) -> Passed:
    """Return the decisions of `pipeline.statistics.non_inferiority` for many pairs of counts at once.

    With ``rows`` items, ``won`` and ``lost`` of them, `pipeline.statistics.paired_interval.adjusted_wald` has a closed
    form: center c = (won - lost) / (rows + 2), and the sum of squares is won + lost + 2 - (rows + 2) c^2.
    """
    import numpy as np
    from scipy.stats import t

    units = rows + 2
    center = (won - lost) / units
    squares = won + lost + 2 - units * center**2
    error = np.sqrt(units / (units - 1) * squares) / units
    quantile = float(t.isf(alpha, rows - 1))
    passed: Passed = center - quantile * error > -margin
    passed &= tango_statistic(won, lost, rows, -margin) > quantile
    return passed & ((lost > 0) | ((1 - margin) ** rows < alpha))


def estimate_gate(gate: SimulatedGate, *, rows: int, baseline: float, gain: float | None, power: float) -> GatePower:
    """Return what the whole gate makes of ``rows`` test rows, and how many the ``gain`` needs.

    A target that is just met is missed in half of all runs, however many the rows: ``rows_for_gain`` leaves it out, and
    ``least_score`` counts it. The same arguments always give the same numbers.
    """
    aside = SimulatedGate(gate.alpha, gate.minimum_gain, None, gate.margins, gate.served)
    planned = gain is not None and 0.0 < gain <= 1.0 - baseline
    return GatePower(
        trials=TRIALS,
        changed=CHANGED,
        promoted=round(gate.promoted(rows, baseline, gain), 4) if planned and gain is not None and rows > 1 else None,
        rows_for_gain=_rows_for(aside, baseline, gain, power) if planned and gain is not None else None,
        least_score=_least_score(gate, rows, baseline, power) if rows > 1 else None,
    )


def _rows_for(gate: SimulatedGate, baseline: float, gain: float, power: float) -> int | None:
    """Return the least rows found by bisection, None where `MOST_ROWS` are too few."""
    if gain <= gate.minimum_gain:
        return None

    def enough(rows: int) -> bool:
        return gate.promoted(rows, baseline, gain) >= power

    above = 2
    while not enough(above):
        if above == MOST_ROWS:
            return None
        above = min(MOST_ROWS, 2 * above)
    below = above // 2
    # To one in two hundred: what is simulated is no more certain.
    while above - below > max(1, above // 200):
        middle = (below + above) // 2
        below, above = (below, middle) if enough(middle) else (middle, above)
    return above


def _least_score(gate: SimulatedGate, rows: int, baseline: float, power: float) -> float | None:
    def enough(gain: float) -> bool:
        return gate.promoted(min(rows, MOST_ROWS), baseline, gain) >= power

    below, above = 0.0, 1.0 - baseline
    if above <= 0.0 or not enough(above):
        return None
    while above - below > _STEP:
        middle = (below + above) / 2
        below, above = (below, middle) if enough(middle) else (middle, above)
    return min(1.0, round(baseline + above + _STEP / 2, 4))
