"""Every condition of the gate, one at a time, from evidence that passes without the change."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.registry.gate import Candidate, Contamination, Evidence, decide
from pipeline.registry.losses import Loss
from pipeline.registry.protected import Protected
from schemas.evaluate import Score
from schemas.judge import Biases, JudgeArtifact, Preference
from schemas.register import BudgetUse, Comparison, Condition, Decision, GateOptions, SeedSpread
from schemas.serve import ServeArtifact


def comparison(difference: float = 0.3, p_value: float = 0.001, **changes: object) -> Comparison:
    values: dict[str, object] = {
        "candidate": "seed-0",
        "reference": "base",
        "metric": "exact_match",
        "n": 100,
        "candidate_value": 0.5 + difference,
        "reference_value": 0.5,
        "difference": difference,
        "low": difference - 0.1,
        "high": difference + 0.1,
        "p_value": p_value,
        "test": "exact McNemar",
        "interval": "paired bootstrap",
        **changes,
    }
    return Comparison.model_validate(values)


def score(value: float) -> Score:
    return Score(value=value, low=value - 0.05, high=value + 0.05, n=100, method="Wilson")


SERVE = ServeArtifact(
    engine="vllm",
    engine_version="0.32.0",
    prompts=50,
    prompt_mismatches=0,
    answer_mismatches=1,
    smoke_prompt="hello",
    smoke_answer="hi",
    ready_seconds=1.0,
)

PASSING = Evidence(
    target={"exact_match": 0.75},
    gate=GateOptions(),
    baselines=(comparison(),),
    uninstructed=(),
    candidates=(Candidate("seed-0", {"exact_match": score(0.8)}, comparison()),),
    protected=(Protected("metric", "macro_f1", comparison(-0.02, 0.03, metric="macro_f1"), 0.06),),
    contamination=Contamination(rows=100, copies=1, near=10),
    retention=(Loss("old", 0.03, comparison(-0.01, 0.5, task="old"), -0.025, base_low=0.4),),
    retention_waived=None,
    variants=(Loss("merged", 0.02, comparison(0.0, 1.0), -0.01),),
    serve=SERVE,
    max_answer_mismatches=1,
    seeds=SeedSpread(values={"seed-0": 0.8}, mean=0.8, standard_deviation=None, low=None, high=None),
)


def condition(decision: Decision, name: str) -> Condition:
    return next(condition for condition in decision.all_conditions if condition.name == name)


def test_what_shows_everything_is_promoted() -> None:
    decision = decide(PASSING)
    assert decision.verdict == "promoted"
    assert decision.better_than_baseline
    assert decision.target_reached
    assert decision.best_baseline == "base"
    assert [condition.name for condition in decision.conditions] == [
        "gain",
        "target.exact_match",
        "protected.metric.macro_f1",
        "contamination",
        "retention.old",
        "variant.merged",
        "parity.prompts",
        "parity.answers",
    ]
    assert condition(decision, "gain").text == (
        "seed-0 scores 80.0% and the best baseline, base, 50.0% by exact_match on the same 100 items: +30.0 points "
        "(interval +20.0 points to +40.0 points; exact McNemar, p = 0.001): a significant gain at level 0.05."
    )


def judged(low: float, *, unjudged: int = 0, self_preference: str | None = None) -> JudgeArtifact:
    """A judge that prefers the candidate in 60 of 100 items, 20 of them ties: (50 + 10) / 100."""
    return JudgeArtifact(
        model="judge-1",
        candidate="merged",
        baseline="base",
        criteria="Prefer what is right.",
        template_digest="a" * 64,
        items=100 + unjudged,
        identical=0,
        unjudged=unjudged,
        preference=Preference(
            n=100, clusters=None, wins=50, losses=30, ties=20, value=0.6, low=low, high=0.7, p_value=0.03,
            test="exact sign test", interval="Bonett-Price",
        ),
        agreement=None,
        biases=Biases(inconsistent=score(0.1), first_shown=score(0.5), longer=None),
        self_preference=self_preference,
        requests=200,
        prompt_tokens=1000,
        completion_tokens=100,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("made", "minimum", "passed", "required", "says"),
    [
        (judged(0.51), 0.5, True, True, "the interval's lower end reaches 50.0% (gate.minimum_win_rate)"),
        (judged(0.49), 0.5, False, True, "the interval's lower end does not reach 50.0%"),
        (judged(0.49), 0.45, True, True, "reaches 45.0%"),
        (judged(0.49), None, False, False, "in 60.0% of 100 items, a tie counting half (interval 49.0% to 70.0%"),
        (judged(0.51, unjudged=5), 0.5, True, True, "reaches"),
        (judged(0.51, unjudged=6), 0.5, False, True, "5.7% of the items have no readable verdict, which is too many"),
        (judged(0.51, self_preference="tiny"), 0.5, True, True, "the judge is tiny, which is under test"),
    ],
)
def test_a_win_rate_decides_where_a_minimum_is_asked_for(
    made: JudgeArtifact, minimum: float | None, passed: bool, required: bool, says: str
) -> None:
    decision = decide(replace(PASSING, gate=GateOptions(minimum_win_rate=minimum), judgements=(made, made)))
    assert decision.verdict == ("promoted" if passed or not required else "refused")
    found = [condition for condition in decision.conditions if condition.name.startswith("judge")]
    assert [(item.name, item.passed, item.required) for item in found] == [("judge.base", passed, required)]
    assert says in found[0].text


def test_a_win_rate_that_nobody_measured_does_not_pass() -> None:
    decision = decide(replace(PASSING, gate=GateOptions(minimum_win_rate=0.5)))
    assert decision.verdict == "refused" and not condition(decision, "judge").passed


def with_gain(gain: Comparison | None) -> Evidence:
    return replace(PASSING, candidates=(Candidate("seed-0", {"exact_match": score(0.8)}, gain),))


@pytest.mark.parametrize(
    ("evidence", "failing", "says"),
    [
        (with_gain(comparison(0.1, 0.051)), "gain", "not a significant gain"),
        (with_gain(comparison(-0.3, 0.001)), "gain", "not a significant gain"),
        (with_gain(None), "gain", "No baseline was compared"),
        (replace(PASSING, gate=GateOptions(minimum_gain=0.31)), "gain", "+31.0 points (gate.minimum_gain)"),
        (replace(PASSING, target={"exact_match": 0.81}), "target.exact_match", "below the target of 81.0%"),
        (replace(PASSING, target={"macro_f1": 0.5}), "target.macro_f1", "measured: exact_match"),
        (replace(PASSING, retention=()), "retention", "name its own task in evaluate.retention"),
        (replace(PASSING, retention=(Loss("old", 0.03, None, None),)), "retention.old", "was not measured"),
        (
            replace(PASSING, retention=(Loss("old", 0.03, comparison(-0.01), -0.031),)),
            "retention.old",
            "beyond the margin of 3.0 points",
        ),
        (replace(PASSING, variants=(Loss("w4a16", 0.02, comparison(-0.05), -0.08),)), "variant.w4a16", "beyond"),
        (replace(PASSING, variants=(Loss("w4a16", 0.02, None, None),)), "variant.w4a16", "was not measured"),
        (replace(PASSING, serve=None), "parity.prompts", "The model was not served"),
        (
            replace(PASSING, serve=SERVE.model_copy(update={"prompt_mismatches": None})),
            "parity.prompts",
            "returned no prompt token ids",
        ),
        (
            replace(PASSING, serve=SERVE.model_copy(update={"prompt_mismatches": 1})),
            "parity.prompts",
            "the chat template or tokenizer differs",
        ),
        (
            replace(PASSING, serve=SERVE.model_copy(update={"prompts": 0, "answer_mismatches": 0})),
            "parity.prompts",
            "0 of 0 prompts",
        ),
        (replace(PASSING, max_answer_mismatches=0), "parity.answers", "0 may"),
        (replace(PASSING, serve=SERVE.model_copy(update={"prompts": 9})), "parity.answers", "0 may"),
        (
            with_gain(comparison(0.3, 1.0, clusters=1)),
            "gain",
            "one independent item shows nothing: give a test split of different rows",
        ),
        (
            replace(PASSING, retention=(Loss("old", 0.03, comparison(0.0), 0.0, base_low=0.03),)),
            "retention.old",
            "but the base's own score is too low to show a loss of 3.0 points (its interval begins at 3.0%): name",
        ),
    ],
)
def test_one_failing_condition_refuses_and_says_why(evidence: Evidence, failing: str, says: str) -> None:
    decision = decide(evidence)
    assert decision.verdict == "refused"
    assert [condition.name for condition in decision.conditions if not condition.passed] == [failing]
    assert says in condition(decision, failing).text


def test_a_baseline_without_instruction_is_told() -> None:
    told = condition(decide(replace(PASSING, uninstructed=("base", "few-shot"))), "gain")
    assert told.passed
    assert told.text.endswith(
        "a significant gain at level 0.05. Asked without any instruction beyond the rows themselves: base, few-shot; "
        "give a description, or evaluate.baselines.instruction."
    )


def test_better_and_target_are_said_apart() -> None:
    missed = decide(replace(PASSING, target={"exact_match": 0.9}))
    assert missed.better_than_baseline
    assert missed.target_reached is False
    not_better = decide(with_gain(comparison(0.3, 0.2)))
    assert not not_better.better_than_baseline
    assert not_better.target_reached
    assert decide(replace(PASSING, target={})).target_reached is None


def test_a_small_gain_is_still_better() -> None:
    decision = decide(replace(PASSING, gate=GateOptions(minimum_gain=0.5)))
    assert decision.better_than_baseline
    assert decision.verdict == "refused"


def test_a_missed_target_that_is_not_required_is_said_and_does_not_decide() -> None:
    decision = decide(replace(PASSING, target={"exact_match": 0.9}, gate=GateOptions(require_target=False)))
    assert decision.verdict == "promoted"
    assert decision.target_reached is False
    assert not condition(decision, "target.exact_match").required


def test_a_waiver_is_stated_in_its_words() -> None:
    waived = decide(replace(PASSING, retention=(), retention_waived="the base has no other use"))
    assert waived.verdict == "promoted"
    assert "the base has no other use" in condition(waived, "retention").text
    forgot = Loss("old", 0.03, comparison(-0.5), -0.6)
    measured = decide(replace(PASSING, retention=(forgot,), retention_waived="the base has no other use"))
    assert measured.verdict == "promoted"
    stated = condition(measured, "retention.old")
    assert (stated.passed, stated.required) == (False, False)
    assert "the base has no other use" in stated.text


def test_the_served_variant_has_to_show_gain_and_target_itself() -> None:
    first = PASSING.candidates[0]
    weak = Candidate("w4a16", {"exact_match": score(0.7)}, comparison(0.2, 0.09, candidate="w4a16"))
    decision = decide(replace(PASSING, candidates=(first, weak)))
    failed = [condition.name for condition in decision.conditions if not condition.passed]
    assert failed == ["gain.w4a16", "target.exact_match.w4a16"]
    assert decision.verdict == "refused"
    assert not decision.better_than_baseline
    assert decision.target_reached is False


def test_seeds_are_reported_without_deciding() -> None:
    seeds = SeedSpread(values={"seed-0": 0.8, "seed-1": 0.4}, mean=0.6, standard_deviation=0.28, low=-1.0, high=1.0)
    decision = decide(replace(PASSING, seeds=seeds))
    reported = condition(decision, "seeds")
    assert (reported.passed, reported.required, reported.estimate) == (False, False, 0.6)
    assert decision.verdict == "promoted"


@given(
    difference=st.floats(-1, 1),
    p=st.floats(0, 1),
    low=st.floats(-1, 1),
    margin=st.floats(0, 1),
    mismatches=st.none() | st.integers(0, 50),
)
def test_promoted_exactly_where_every_required_condition_passed(
    difference: float, p: float, low: float, margin: float, mismatches: int | None
) -> None:
    evidence = replace(
        with_gain(comparison(difference, p)),
        retention=(Loss("old", margin, comparison(-0.1), low),),
        serve=SERVE.model_copy(update={"prompt_mismatches": mismatches}),
    )
    expected = difference > 0 and p <= 0.05 and low >= -margin and mismatches == 0
    assert (decide(evidence).verdict == "promoted") == expected


def test_a_protected_slice_that_is_significantly_worse_is_refused() -> None:
    worse = Protected("slice", "clean", comparison(-0.2, 0.001, part="clean"), 0.002)
    decision = decide(replace(PASSING, protected=(*PASSING.protected, worse)))
    assert decision.verdict == "refused"
    found = condition(decision, "protected.slice.clean")
    assert (found.estimate, found.threshold, found.passed) == (-0.2, 0.0, False)
    assert "30.0% and base 50.0% by exact_match on the 100 items of slice clean: -20.0 points" in found.text
    assert "corrected for 2): significantly worse at level 0.05" in found.text
    assert condition(decision, "protected.metric.macro_f1").passed


def test_a_protected_metric_that_is_better_is_no_harm_however_significant() -> None:
    better = Protected("metric", "macro_f1", comparison(0.2, 1e-6, metric="macro_f1"), 1e-6)
    assert decide(replace(PASSING, protected=(better,))).verdict == "promoted"


def test_a_protected_metric_that_was_not_measured_is_refused() -> None:
    decision = decide(replace(PASSING, protected=(Protected("metric", "field_f1", None),)))
    assert decision.verdict == "refused"
    assert (
        "name it in evaluate.metrics, or remove it from gate.protected_metrics"
        in condition(decision, "protected.metric.field_f1").text
    )


@pytest.mark.parametrize(("copies", "near", "share"), [(11, 2, 0.11), (0, 11, 0.11)])
def test_a_test_split_that_the_training_rows_give_away_is_refused(copies: int, near: int, share: float) -> None:
    decision = decide(replace(PASSING, contamination=Contamination(100, copies, near)))
    assert decision.verdict == "refused"
    found = condition(decision, "contamination")
    assert (found.estimate, found.threshold) == (pytest.approx(share, abs=1e-12), 0.1)
    assert "at most 10.0% may (gate.max_contamination): split by near-duplicate cluster" in found.text


@pytest.mark.parametrize(
    ("used", "passed", "says"),
    [
        (0.0042, True, "The run took 0.0042 of 5.00 US dollars (constraints.max_cost)."),
        (5.0, True, "took 5.00 of 5.00"),
        (5.01, False, "took 5.01 of 5.00 US dollars (constraints.max_cost): more than it may; raise the cap"),
    ],
)
def test_a_run_that_took_more_than_its_cap_is_refused(used: float, passed: bool, says: str) -> None:
    use = BudgetUse(limit="constraints.max_cost", allowed=5.0, used=used)
    decision = decide(replace(PASSING, budget=(use,)))
    found = condition(decision, "budget.max_cost")
    assert (found.passed, found.estimate, found.threshold) == (passed, used, 5.0)
    assert says in found.text
    assert decision.verdict == ("promoted" if passed else "refused")
    assert found in decision.budget and found not in decision.conditions


def test_what_gives_no_answers_need_not_be_served() -> None:
    decision = decide(replace(PASSING, serve=None, answers=False))
    assert decision.verdict == "promoted"
    assert not [condition for condition in decision.conditions if condition.name.startswith("parity")]
    assert decide(replace(PASSING, serve=None)).verdict != decision.verdict
