"""A classifier can tell the inputs of now from those of before."""

from __future__ import annotations

from typing import Any

from pipeline.monitor.found import Found
from pipeline.monitor.windows import Items, Windows
from pipeline.statistics.two_sample import dealt_p_value

_STRENGTH = 10.0
"""The inverse of the penalty on weights."""


def detect(windows: Windows) -> Found | str:
    """Train logistic regression on one half of the inputs to tell the windows apart; test how it does on the other.

    Lopez-Paz and Oquab, Revisiting Classifier Two-Sample Tests, ICLR 2017, with the area under the curve in place of
    accuracy, for windows are of unlike size. Trained and tested on other units, so that permuting the tested ones is a
    test (Kim et al., Classification Accuracy as a Proxy for Two-Sample Testing, Annals of Statistics 49(1), 2021).
    The effect is that area; 0.5 is chance.
    """
    import numpy as np
    from sklearn.linear_model import LogisticRegression

    texts = windows.texts
    trained = _half(texts, windows.seed)
    sides = [texts.second[trained], texts.second[~trained]]
    if any(not side.any() or side.all() for side in sides):
        return "too few users or conversations to train on one half and test on the other"
    model = LogisticRegression(C=_STRENGTH, class_weight="balanced", max_iter=200)
    model.fit(windows.vectors[trained], sides[0])
    scores = model.decision_function(windows.vectors[~trained])
    tested = tuple(texts.values[place] for place in np.flatnonzero(~trained))
    units = np.unique(texts.units[~trained], return_inverse=True)[1]
    statistic, p_value = area_p_value(Items(tested, sides[1], units), scores, windows.seed)
    return Found(texts.counts, statistic, p_value, statistic)


def _half(items: Items[str], seed: int) -> Any:
    """Return which items are trained on: those of half of each window's units."""
    import numpy as np

    generator = np.random.default_rng(seed)
    chosen = np.zeros(items.part.size, dtype=np.bool_)
    for side in (False, True):
        units = np.flatnonzero(items.part == side)
        chosen[generator.permutation(units)[: units.size // 2]] = True
    return chosen[items.units]


def area_p_value(items: Items[Any], scores: Any, seed: int) -> tuple[float, float]:
    """Return the area under the curve of scores for the current window, and its one-sided p-value, permuted.

    From the rank sum (Mann and Whitney, Annals of Mathematical Statistics 18(1), 1947), ties at their mean rank.
    """
    import numpy as np
    from scipy.stats import rankdata

    ranks = items.sum_by_unit(rankdata(scores).astype(np.float32)[:, None])[:, 0]

    def area(deals: Any) -> Any:
        current = (deals @ items.sizes).astype(np.float64)
        above = (deals @ ranks).astype(np.float64) - current * (current + 1) / 2
        return above / (current * (len(items.values) - current))

    return dealt_p_value(area, items.part, seed=seed)
