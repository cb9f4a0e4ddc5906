"""The policy decides: what it promotes, what it sends back, and how seldom it is wrong."""

from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from pipeline.service.gateway.guardrails import Observation
from pipeline.service.gateway.rollout import Rollout
from schemas.rollout import Guardrail, Guardrails, RolloutPolicy
from tests.service.gateway.simulated import STRICT, Behavior, play

GOOD, BAD = Observation(answer_ms=10.0, refused=False, length=20), Observation(failed=True)

ERRORS = Guardrails(latency=None, refusals=None, length=None, feedback=None)


def test_a_candidate_that_nothing_speaks_against_climbs_every_step() -> None:
    rollout = Rollout(RolloutPolicy(minimum_requests=3))
    seen = []
    while rollout.status == "running":
        rollout.observe("champion", GOOD)
        decision = rollout.observe("candidate", GOOD)
        if decision is not None:
            seen.append((decision.kind, decision.before, decision.after, decision.candidate_answers))
    assert seen == [("promote", 5.0, 25.0, 3), ("promote", 25.0, 50.0, 3), ("promote", 50.0, 100.0, 3)]
    assert (rollout.status, rollout.percent) == ("promoted", 100.0)
    assert rollout.observe("candidate", BAD) is None


def test_failures_roll_back_before_the_step_has_its_answers() -> None:
    rollout = Rollout(RolloutPolicy(minimum_requests=1000, guardrails=ERRORS))
    decision = None
    while decision is None:
        rollout.observe("champion", GOOD)
        decision = rollout.observe("candidate", BAD)
    # Each pair is a gain of 1 - .01: capitals grow by 1 + .98 / 1.01 / 2^k * .99. After seven pairs the mean over ten
    # is 14.1, after 8 (218.4 + 23.06 + 5.59 + 2.48 + 1.59 + 1.27 + 1.13 + 1.06 + 1.03 + 1.02) / 10 = 25.7 >= 1 / .05.
    assert decision.candidate_answers == 8
    assert (decision.kind, decision.before, decision.after) == ("rollback", 5.0, 0.0)
    [reading] = decision.readings
    assert (reading.champion, reading.candidate, reading.difference) == (0.0, 1.0, 1.0)
    assert reading.exceeded and reading.p_value <= reading.level == 0.05
    assert "errors: 1 against 0" in decision.reason
    assert (rollout.status, rollout.percent) == ("rolled_back", 0.0)


def test_a_candidate_that_nothing_was_compared_with_is_not_promoted() -> None:
    rollout = Rollout(RolloutPolicy(minimum_requests=20))
    for _ in range(100):
        assert rollout.observe("candidate", BAD) is None, "the champion has not answered yet"
    decisions = [
        rollout.observe(arm, seen) for _ in range(12) for arm, seen in (("champion", GOOD), ("candidate", BAD))
    ]
    assert [decision.kind for decision in decisions if decision is not None] == ["rollback"]


def test_where_proof_is_asked_a_step_holds_until_there_is_some() -> None:
    guardrails = ERRORS.model_copy(update={"errors": Guardrail(margin=0.05, proof=True)})
    rollout = Rollout(RolloutPolicy(steps=(5.0, 100.0), minimum_requests=10, guardrails=guardrails))
    seen = []
    for number in range(200):
        rollout.observe("champion", GOOD)
        decision = rollout.observe("candidate", GOOD)
        if decision is not None:
            seen.append((decision.kind, number + 1))
    # Without a failure the bets that the margin of .05 is kept grow by 1 + share * .05, and the largest share is
    # .98 / .95: after n pairs the capital of ten is about 1.0516^n / 10 and some, at 20 after about 100 pairs.
    assert [kind for kind, _ in seen] == ["hold", "promote"]
    assert seen[0][1] == 10
    assert 80 < seen[1][1] < 110


def test_answers_before_and_after_a_restart_count_alike() -> None:
    worse = Behavior(errors=0.06, slower=1.2)
    straight, requests = play(STRICT, 5, worse)
    restarted, again = play(STRICT, 5, worse, restart_every=97)
    assert (requests, json.dumps(straight.dump())) == (again, json.dumps(restarted.dump()))


def test_ratings_decide_as_well() -> None:
    rollout = Rollout(RolloutPolicy())
    decision = None
    while decision is None:
        rollout.rate("champion", 1.0)
        decision = rollout.rate("candidate", 0.0)
    assert decision.kind == "rollback" and "feedback: 1 against 0" in decision.reason
    assert Rollout(RolloutPolicy(guardrails=ERRORS)).rate("candidate", 0.0) is None


def test_a_cancelled_rollout_gives_everything_back() -> None:
    rollout = Rollout(RolloutPolicy())
    rollout.cancel()
    assert (rollout.status, rollout.percent) == ("cancelled", 0.0)


def test_a_slow_hour_that_both_meet_is_held_against_neither() -> None:
    rollout = Rollout(RolloutPolicy(minimum_requests=10**6))
    for number in range(3000):
        time = 10.0 + number % 7 if number < 1500 else 900.0 + number % 7
        slow = Observation(answer_ms=time, refused=False, length=20)
        rollout.observe("champion", slow)
        assert rollout.observe("candidate", slow) is None


@pytest.mark.parametrize(
    "worse",
    [
        Behavior(errors=0.12),
        Behavior(slower=1.7),
        Behavior(refusals=0.2),
        Behavior(longer=3.0),
        Behavior(longer=0.3),
        Behavior(liked=0.4),
    ],
    ids=["errors", "latency", "refusals", "longer", "shorter", "feedback"],
)
def test_each_guardrail_sends_back_what_is_worse(worse: Behavior) -> None:
    ends = [play(RolloutPolicy(), seed, worse)[0].status for seed in range(10)]
    assert ends.count("rolled_back") >= 9


@pytest.mark.slow
def test_equal_versions_are_seldom_rolled_back() -> None:
    ends = [play(STRICT, seed)[0].status for seed in range(60)]
    assert ends.count("promoted") >= 60 * 0.9


@pytest.mark.slow
def test_at_most_one_equal_pair_in_twenty_is_rolled_back() -> None:
    ends = [play(STRICT, seed)[0].status for seed in range(1000)]
    assert ends.count("rolled_back") <= 50
    assert ends.count("promoted") == 1000 - ends.count("rolled_back")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"steps": (5.0, 5.0, 100.0)}, "more than the one before"),
        ({"steps": (5.0, 50.0)}, "must be 100"),
        (
            {"guardrails": {"errors": None, "latency": None, "refusals": None, "length": None, "feedback": None}},
            "needs",
        ),
        ({"steps": ()}, "at least 1"),
    ],
)
def test_a_policy_that_cannot_be_is_refused(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        RolloutPolicy.model_validate(wrong)
