"""Figures of people's answers against values by hand, and against other libraries' coefficients."""

from __future__ import annotations

import random
from collections.abc import Mapping

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score
from statsmodels.stats import inter_rater

from pipeline.evaluate.human.figures import Resolved, disagree, evaluate
from pipeline.evaluate.human.reading import Answers
from pipeline.evaluate.human.sheets import make_sheet
from pipeline.evaluate.judge.pairs import Pair
from pipeline.statistics import exact_mcnemar
from schemas.base import ArtifactRef
from schemas.human import Coefficient, HumanEvaluation, SheetItem, SheetKey

RECORD = ArtifactRef(stage="register", fingerprint="a" * 64)
PAIRS = [Pair(f"i{n}", n, f"question {n}", f"ours {n}", f"theirs {n}") for n in range(12)]

SAID: dict[str, tuple[str, ...]] = {
    **{f"i{n}": ("candidate",) * 3 for n in range(6)},
    "i6": ("baseline",) * 3,
    "i7": ("baseline",) * 3,
    "i8": ("tie",) * 3,
    "i9": ("candidate", "candidate", "baseline"),
    "i10": ("candidate", "baseline", "tie"),
    "i11": ("candidate", "candidate"),
}
"""What Anna, Ben and Cara say of each item. By majority 6 + 1 + 1 won, 2 lost, 1 + 1 tied; Cara left one out."""


def sheet(pairs: list[Pair] = PAIRS, kind: str = "pairwise", **changes: object) -> SheetKey:
    told: dict[str, object] = {
        "name": "triage@3", "record": RECORD, "candidate": "merged", "baseline": "base",
        "criteria": "Prefer what is right.", "most": None, "seed": 0, "alpha": 0.05, **changes,
    }  # fmt: skip
    return make_sheet(pairs, (kind,), **told)  # type: ignore[arg-type]


def test_the_sides_cannot_be_drawn_again_from_what_a_sheet_shows() -> None:
    """Annotators see the code of the sheet, and may try the usual seeds; with 12 items chance is right in 1 of 924."""
    key = sheet()
    sides = [item.side for item in key.items]
    for known in (key.sheet, *(f"{key.sheet}:{seed}" for seed in range(100))):
        chance, drawn = random.Random(known), [("candidate", "baseline")[place % 2] for place in range(len(sides))]
        chance.shuffle(list(sides))
        chance.shuffle(drawn)
        assert drawn != sides


def blind(item: SheetItem, side: str) -> str:
    """What somebody writes who prefers this side."""
    return "tie" if side == "tie" else "A" if side == item.side else "B"


def answered(key: SheetKey, said: Mapping[str, tuple[str, ...]] = SAID) -> Answers:
    people = ("anna", "ben", "cara")
    given = {
        item.code: {who: blind(item, side) for who, side in zip(people, said[item.item], strict=False)}
        for item in key.items
    }
    return Answers(given, people)


def coefficient(found: HumanEvaluation, name: str) -> Coefficient:
    return next(item for item in found.agreement if item.name.startswith(name))


def code_of(key: SheetKey, item: str) -> SheetItem:
    return next(row for row in key.items if row.item == item)


def test_the_win_rate_is_unblinded_by_majority() -> None:
    found = evaluate(Resolved(sheet(), answered(sheet()), {}), "now", 1000)
    preference = found.preference
    assert preference is not None
    assert (preference.wins, preference.losses, preference.ties, preference.n) == (8, 2, 2, 12)
    assert preference.value == pytest.approx(9 / 12)
    assert preference.p_value == pytest.approx(exact_mcnemar(8, 2), abs=1e-15)
    assert (found.annotators, found.items, found.answers, found.missing) == (3, 12, 35, 1)
    assert (found.open, found.adjudicated, found.unanswered) == (2, 0, 0)


def test_an_adjudicator_overrides_everybody() -> None:
    key = sheet()
    decided = {
        code_of(key, name).code: blind(code_of(key, name), side)
        for name, side in (("i9", "baseline"), ("i10", "candidate"))
    }
    found = evaluate(Resolved(key, answered(key), decided), "now", 1000)
    assert found.preference is not None
    assert (found.preference.wins, found.preference.losses, found.preference.ties) == (8, 3, 1)
    assert (found.open, found.adjudicated) == (0, 2)


def test_agreement_is_that_of_other_libraries_on_what_people_wrote() -> None:
    key = sheet()
    answers = answered(key)
    found = evaluate(Resolved(key, answers, {}), "now", 1000)
    rows = [answers.given[item.code] for item in key.items]
    complete = [row for row in rows if len(row) == 3]
    cohen = coefficient(found, "Cohen's kappa, annotators 1 and 2")
    expected = cohen_kappa_score([row["anna"] for row in rows], [row["ben"] for row in rows])
    assert cohen.score is not None and cohen.score.value == pytest.approx(expected, abs=1e-12)
    assert cohen.score.n == 12 and coefficient(found, "Cohen's kappa, annotators 1 and 3").score.n == 11  # type: ignore[union-attr]
    table, _ = inter_rater.aggregate_raters(np.array([list(row.values()) for row in complete]))
    fleiss = coefficient(found, "Fleiss' kappa, items that all 3 answered")
    assert fleiss.score is not None and fleiss.score.value == pytest.approx(inter_rater.fleiss_kappa(table), abs=1e-12)
    alpha = coefficient(found, "Krippendorff's alpha, nominal")
    assert alpha.score is not None and alpha.score.n == 12 and alpha.score.low < alpha.score.value < alpha.score.high
    # Observed disagreement: i9 has 4 unequal ordered pairs of 6, i10 all 6, over 2 ratings each: (2 + 3) / 35.
    counts = np.array([sum(value == said for row in rows for value in row.values()) for said in ("A", "B", "tie")])
    chance = (35**2 - (counts**2).sum()) / (35 * 34)
    assert alpha.score.value == pytest.approx(1 - (5 / 35) / chance, abs=1e-12)


def test_ratings_are_compared_on_the_same_items() -> None:
    """The candidate is rated 4 and 5, the baseline 2 and 3, on each of ten items: 4.5 against 2.5."""
    key = sheet(PAIRS[:10], "rating")
    given = {
        item.code: {"anna": 4, "ben": 5} if item.side == "candidate" else {"anna": 2, "ben": 3} for item in key.items
    }
    far = code_of(key, "i0")
    given[far.code] = {"anna": 1, "ben": 5}
    found = evaluate(Resolved(key, Answers(given, ("anna", "ben")), {}), "now", 1000)
    assert found.preference is None and found.ratings is not None and found.open == 1
    mean = (9 * 4.5 + 3) / 10 - 2.5 if far.side == "candidate" else 4.5 - (9 * 2.5 + 3) / 10
    assert found.ratings.difference == pytest.approx(mean) and found.ratings.n == 10
    assert found.ratings.low > 0 and found.ratings.p_value < 0.01
    assert {item.name for item in found.agreement} == {
        "Krippendorff's alpha, ordinal",
        "Krippendorff's alpha, interval",
    }
    decided = evaluate(Resolved(key, Answers(given, ("anna", "ben")), {far.code: 4}), "now", 1000)
    assert decided.open == 0 and decided.ratings is not None


def test_identical_answers_are_ties_that_nobody_is_asked_about() -> None:
    copies = [Pair(f"c{n}", 100 + n, "q", "the same", "the same ") for n in range(4)]
    key = sheet([*PAIRS, *copies])
    assert len(key.items) == 12 and set(key.identical) == {"c0", "c1", "c2", "c3"}
    found = evaluate(Resolved(key, answered(key), {}), "now", 1000)
    assert found.preference is not None and (found.preference.n, found.preference.ties) == (16, 6)


def test_sheets_are_blind_balanced_and_drawn_by_their_seed() -> None:
    key = sheet()
    assert sum(item.side == "candidate" for item in key.items) == 6
    for item in key.items:
        assert item.answer_a == f"{'ours' if item.side == 'candidate' else 'theirs'} {item.item[1:]}"
    assert sheet() == key
    other = sheet(seed=1)
    assert [item.item for item in other.items] != [item.item for item in key.items] and other.sheet != key.sheet
    assert len(sheet(most=5).items) == 5
    rated = sheet(kind="rating")
    assert len(rated.items) == 24 and all(item.answer_b is None for item in rated.items)


def test_close_ratings_are_no_disagreement() -> None:
    assert not disagree("rating", {"a": 3, "b": 4}) and disagree("rating", {"a": 2, "b": 4})
    assert not disagree("pairwise", {"a": "tie"}) and disagree("pairwise", {"a": "tie", "b": "A"})


def test_one_person_alone_has_no_agreement() -> None:
    key = sheet()
    given = {code: {"anna": row["anna"]} for code, row in answered(key).given.items()}
    found = evaluate(Resolved(key, Answers(given, ("anna",)), {}), "now", 1000)
    assert found.agreement == () and found.annotators == 1 and found.open == 0
