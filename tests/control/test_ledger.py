from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from pipeline.control.allowance import Refusal, Request, charge, resources_of
from pipeline.control.bill import summary, table
from pipeline.control.ledger import Caps, Ledger, default_cap
from pipeline.core.errors import BudgetError, ConfigError, IntegrityError
from schemas.ledger import Allowance, Attempt, AttemptKind, Resources
from schemas.placement import Placement

CPU = Resources(cpu=2.0, memory_gib=4.0)
L4 = Resources(gpu="L4", count=1, cpu=4.0, memory_gib=16.0)
CLUSTER = Resources(gpu="H100", count=8, nodes=2, cpu=32.0, memory_gib=256.0)


def attempt(
    call_id: str,
    seconds: float,
    *,
    name: str = "1",
    resources: Resources = L4,
    kind: AttemptKind = "stage",
    started: float = 1000.0,
    ended: bool = False,
) -> Attempt:
    until = started + seconds
    return Attempt(
        **resources.model_dump(),
        call_id=call_id,
        attempt=name,
        kind=kind,
        started=started,
        last_seen=until,
        ended=until if ended else None,
    )


def granted(answer: Allowance | Refusal) -> Allowance:
    assert isinstance(answer, Allowance), answer
    return answer


def refused(answer: Allowance | Refusal) -> Refusal:
    assert isinstance(answer, Refusal), answer
    return answer


def cost_of(seconds: float, resources: Resources = L4) -> float:
    return charge(resources, seconds, 1.0).dollars


def test_gpus_cores_and_memory_of_all_nodes_are_charged() -> None:
    # L4: 0.000222 + 4 x 0.0000131 + 16 x 0.00000222 = 0.00030992 dollars per second
    assert charge(L4, 1000.0, 1.0).dollars == pytest.approx(0.30992, abs=1e-12)
    # a node: 8 x 0.001097 + 32 x 0.0000131 + 256 x 0.00000222 = 0.00976352 dollars per second; two nodes for an hour
    assert charge(CLUSTER, 3600.0, 1.0).dollars == pytest.approx(70.297344, abs=1e-9)
    assert charge(CLUSTER, 3600.0, 1.0).gpu_hours == 16.0
    # 2 x 0.0000131 + 4 x 0.00000222 = 0.00003508 dollars per second, at half the price
    assert charge(CPU, 1000.0, 0.5).dollars == pytest.approx(0.01754, abs=1e-12)
    assert charge(CPU, 1000.0, 0.5).gpu_hours == 0.0


def test_a_gpu_without_a_price_is_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"h100x: .*did you mean H100\?"):
        charge(Resources(gpu="h100x", count=1, cpu=1.0, memory_gib=1.0), 1.0, 1.0)


def test_a_placement_is_reserved_at_the_dearest_of_its_gpus() -> None:
    placed = Placement(
        gpu="L40S:2",
        fallbacks=("A100-80GB", "L4:4"),
        count=2,
        cpu=8.0,
        memory=65536,
        timeout=3600,
        dollars_per_second=1.0,
    )
    # 2 x 0.000542 is more than 0.000694 and 4 x 0.000222
    assert resources_of(placed) == Resources(gpu="L40S", count=2, cpu=8.0, memory_gib=64.0)
    without = placed.model_copy(update={"gpu": None, "fallbacks": (), "count": 0})
    assert resources_of(without) == Resources(cpu=8.0, memory_gib=64.0)


def test_records_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValidationError, match="together with a count"):
        Resources(gpu="L4", cpu=1.0, memory_gib=1.0)
    with pytest.raises(ValidationError, match="no earlier than it starts"):
        attempt("train", -1.0)


def test_alone_a_call_may_take_all_that_is_left() -> None:
    ledger = Ledger(Caps(max_cost=1.0))
    ledger.meter(attempt("plan", 1000.0, ended=True))  # 0.30992 dollars
    allowance = granted(ledger.reserve(Request("train", L4, 600.0)))
    # 0.69008 dollars left / 0.00030992 per second = 2226.6391..., down to the millisecond
    assert allowance.seconds == 2226.639
    assert allowance.limit == "constraints.max_cost"
    assert ledger.left()["constraints.max_cost"] == pytest.approx(0.0, abs=1e-6)


def test_the_tighter_cap_holds_and_is_named() -> None:
    ledger = Ledger(Caps(max_cost=100.0, max_gpu_hours=0.5))
    allowance = granted(ledger.reserve(Request("train", L4, 600.0)))
    assert (allowance.seconds, allowance.limit) == (1800.0, "constraints.max_gpu_hours")
    without_gpu = granted(ledger.reserve(Request("data", CPU, 60.0, limit_seconds=3600.0)))
    assert (without_gpu.seconds, without_gpu.limit) == (3600.0, None)


def test_calls_side_by_side_share_in_proportion_to_their_estimates() -> None:
    ledger = Ledger(Caps(max_cost=cost_of(4000.0)))
    long, short = Request("train.seed-0", L4, 3000.0), Request("train.seed-1", L4, 1000.0)
    assert granted(ledger.reserve(long, [short])).seconds == pytest.approx(3000.0, abs=0.01)
    assert granted(ledger.reserve(short)).seconds == pytest.approx(1000.0, abs=0.01)


def test_what_a_limit_leaves_goes_to_the_others_and_a_small_call_gets_what_is_of_use() -> None:
    ledger = Ledger(Caps(max_cost=cost_of(1000.0)))
    limited, small, rest = Request("a", L4, 500.0, limit_seconds=100.0), Request("b", L4, 5.0), Request("c", L4, 4000.0)
    seconds = [
        granted(ledger.reserve(limited, [small, rest])).seconds,
        granted(ledger.reserve(small, [rest])).seconds,
        granted(ledger.reserve(rest)).seconds,
    ]
    # a stops at its limit; b has at least 5 s, where its part would be 900 x 5 / 4005 = 1.1 s
    assert seconds == pytest.approx([100.0, 5.0, 895.0], abs=0.01)


def test_a_call_without_a_useful_time_is_refused_with_the_cap_what_is_spent_and_the_fix() -> None:
    ledger = Ledger(Caps(max_cost=0.31))
    ledger.meter(attempt("data", 1000.0, ended=True))
    refusal = refused(ledger.reserve(Request("train", L4, 3600.0)))
    error = refusal.error()
    assert isinstance(error, BudgetError)
    assert error.where == "constraints.max_cost"
    # a tenth of the estimate, at most 60 s: 60 x 0.00030992 = 0.0186
    assert error.message == (
        "of $0.31 that the run may take $0.31 is spent and $0.00 is set aside for calls under way; "
        "train needs $0.0186 to do anything of use"
    )
    assert error.fix == "raise constraints.max_cost above 0.31 and run again; what is finished or saved is kept"
    assert not refusal.waits
    ledger = Ledger(Caps(max_cost=5.0, max_gpu_hours=0.01))
    assert refused(ledger.reserve(Request("train", CLUSTER, 3600.0))).limit == "constraints.max_gpu_hours"


def test_a_refused_call_waits_where_one_under_way_may_give_enough_back() -> None:
    ledger = Ledger(Caps(max_cost=cost_of(1000.0)))
    ledger.reserve(Request("train", L4, 1000.0))
    assert refused(ledger.reserve(Request("evaluate", L4, 100.0))).waits
    ledger.meter(attempt("train", 995.0))
    assert not refused(ledger.reserve(Request("evaluate", L4, 100.0))).waits  # even all that is held is too little
    ledger = Ledger(Caps(max_cost=cost_of(100.0, CPU)))
    ledger.reserve(Request("controller", CPU, 1000.0, kind="controller"))
    assert not refused(ledger.reserve(Request("data", CPU, 100.0))).waits  # it lasts as long as the run


def test_a_call_that_is_too_dear_takes_nothing_from_a_cheaper_one() -> None:
    ledger = Ledger(Caps(max_cost=0.1))
    dear, cheap = Request("train", CLUSTER, 3600.0), Request("data", CPU, 60.0)
    assert refused(ledger.reserve(dear, [cheap])).call_id == "train"
    assert granted(ledger.reserve(cheap, [dear])).seconds == pytest.approx(0.1 / 0.00003508, abs=0.01)


def test_what_is_not_used_is_given_back_once() -> None:
    ledger = Ledger(Caps(max_cost=1.0))
    ledger.reserve(Request("train", L4, 600.0))
    ledger.meter(attempt("train", 1000.0, ended=True))
    assert ledger.left()["constraints.max_cost"] == pytest.approx(0.0, abs=1e-6)
    ledger.settle("train")
    assert ledger.left()["constraints.max_cost"] == pytest.approx(1.0 - 0.30992)
    once = ledger.to_json()
    ledger.settle("train")
    assert ledger.to_json() == once


def test_an_allowance_is_for_all_attempts_at_the_call_together() -> None:
    ledger = Ledger(Caps(max_cost=cost_of(1000.0)))
    allowance = granted(ledger.reserve(Request("train", L4, 1000.0)))
    ledger.meter(attempt("train", 300.0, name="1"))
    ledger.meter(attempt("other", 1.0, resources=CPU))
    ledger.meter(attempt("train", 100.0, name="2", started=2000.0))
    assert allowance.seconds_left(ledger.attempts()) == pytest.approx(600.0, abs=0.01)
    ledger.settle("train")
    again = granted(ledger.reserve(Request("train", L4, 1000.0)))
    assert again.seconds_before == 400.0
    assert again.seconds_left(ledger.attempts()) == again.seconds


def test_a_call_under_way_keeps_its_allowance() -> None:
    ledger = Ledger(Caps(max_cost=1.0))
    first = ledger.reserve(Request("train", L4, 600.0))
    assert ledger.reserve(Request("train", L4, 6.0)) == first
    assert ledger.reserve(Request("train", L4, 600.0), [Request("data", CPU, 60.0)]) == first


def test_a_call_is_no_rival_of_itself() -> None:
    request = Request("train", L4, 600.0)
    assert granted(Ledger(Caps(max_cost=cost_of(1000.0))).reserve(request, [request])).seconds > 999.9


def test_a_killed_attempt_counts_to_when_it_was_last_seen() -> None:
    ledger = Ledger(Caps(max_cost=1.0))
    ledger.meter(attempt("train", 990.0))
    ledger.meter(attempt("train", 1000.0))
    ledger.meter(attempt("train", 980.0))  # a record that arrives late
    assert ledger.spent().total.dollars == pytest.approx(0.30992)
    assert len(ledger.attempts()) == 1


def test_serving_and_the_controller_are_charged_beside_the_calls() -> None:
    ledger = Ledger(Caps(max_cost=1.0))
    ledger.meter(attempt("endpoint", 1000.0, kind="serving"))
    ledger.meter(attempt("controller", 1000.0, kind="controller", resources=CPU))
    spent = ledger.spent()
    assert spent.by_kind["serving"].dollars == pytest.approx(0.30992)
    assert spent.by_kind["controller"].dollars == pytest.approx(0.03508)
    assert spent.by_call["endpoint"].gpu_hours == pytest.approx(1000 / 3600)
    assert ledger.left()["constraints.max_cost"] == pytest.approx(1.0 - 0.345)


def test_a_run_goes_on_under_a_higher_cap() -> None:
    ledger = Ledger(Caps(max_cost=0.31))
    ledger.meter(attempt("train", 1000.0))
    refused(ledger.reserve(Request("train", L4, 3600.0)))
    higher = Ledger.from_json(ledger.to_json(), Caps(max_cost=1.0))
    assert granted(higher.reserve(Request("train", L4, 3600.0))).seconds == 2226.639


def test_a_controller_that_starts_again_counts_nothing_twice() -> None:
    ledger = Ledger(Caps(max_cost=1.0))
    ledger.reserve(Request("train", L4, 600.0), [Request("evaluate", L4, 600.0)])
    ledger.reserve(Request("evaluate", L4, 600.0))
    ledger.meter(attempt("train", 100.0))
    again = Ledger.from_json(ledger.to_json())
    for record in ledger.attempts():
        again.meter(record)
    again.keep({"train", "evaluate"})
    assert again.to_json() == ledger.to_json()
    again.keep({"train"})  # evaluate ended meanwhile
    ledger.settle("evaluate")
    assert again.to_json() == ledger.to_json()


@pytest.mark.parametrize("text", ["", "{}", "null", '{"max_cost": 1, "surprise": 2}', "\ufffd"])
def test_a_ledger_that_cannot_be_read_says_so(text: str) -> None:
    with pytest.raises(IntegrityError, match=r"ledger\.json: the run's ledger cannot be read"):
        Ledger.from_json(text)


@pytest.mark.parametrize(
    ("planned", "cap"),
    [(0.0, 5.0), (0.3, 5.0), (2.5, 5.0), (2.51, 10.0), (26.0, 55.0), (51.0, 110.0), (617.0, 1300.0)],
)
def test_the_default_cap_is_a_round_figure_of_twice_the_plan_at_least(planned: float, cap: float) -> None:
    assert default_cap(planned) == cap


def test_one_line_says_what_is_spent() -> None:
    ledger = Ledger(Caps(max_cost=5.0))
    assert summary(ledger) == "$0.00 of $5.00, 0.00 GPU-hours"
    ledger.meter(attempt("train", 1116.0))
    ledger.meter(attempt("endpoint", 323.0, kind="serving", resources=L4))
    # 1439 s x 0.00030992 = 0.446; 1439 / 3600 = 0.3997; 323 x 0.00030992 = 0.1001
    assert summary(ledger) == "$0.45 of $5.00, 0.40 GPU-hours; serving $0.10"
    capped = Ledger(Caps(max_cost=0.02, max_gpu_hours=2.5), attempts=[attempt("data", 100.0, resources=CPU)])
    assert summary(capped) == "$0.0035 of $0.0200, 0.00 of 2.5 GPU-hours"


def test_the_table_has_a_row_per_call() -> None:
    ledger = Ledger(Caps(max_cost=5.0, max_gpu_hours=3.0))
    ledger.meter(attempt("data", 100.0, resources=CPU, ended=True))
    ledger.meter(attempt("train", 1000.0, started=2000.0))
    ledger.reserve(Request("train", L4, 3600.0, limit_seconds=2000.0))
    ledger.reserve(Request("serve", L4, 60.0, limit_seconds=600.0))
    shown: dict[str, Any] = json.loads(json.dumps(table(ledger)))
    assert [row["call"] for row in shown["calls"]] == ["data", "train", "serve"]
    assert shown["calls"][1] == {
        "call": "train",
        "kind": "stage",
        "gpu": "L4",
        "gpus": 1,
        "attempts": 1,
        "seconds": 1000.0,
        "spent": {"dollars": 0.30992, "gpu_hours": 0.277778},
        "reserved": {"dollars": 0.61984, "gpu_hours": 0.555556},
    }
    assert shown["calls"][0]["reserved"] is None
    assert shown["spent"] == {"dollars": 0.313428, "gpu_hours": 0.277778}
    # 0.313428 spent; 2600 s x 0.00030992 = 0.805792 set aside
    assert shown["left"]["max_cost"] == 3.88078
    assert shown["left"]["max_gpu_hours"] == 2.0
    assert shown["kinds"] == {"stage": {"dollars": 0.313428, "gpu_hours": 0.277778}}


CALLS = {"data": CPU, "train.seed-0": L4, "train.seed-1": L4, "evaluate": L4, "cluster": CLUSTER}

name = st.sampled_from(sorted(CALLS))
step = st.one_of(
    st.tuples(st.just("reserve"), name, st.floats(0.0, 1e5), st.sampled_from([1.0, 600.0, 86400.0, float("inf")])),
    st.tuples(st.just("run"), name, st.floats(0.0, 1.0), st.booleans()),
    st.tuples(st.just("settle"), name),
    st.tuples(st.just("repeat"), st.integers(0, 50)),
    st.tuples(st.just("rebuild")),
)


class Calls:
    """Calls that keep their allowance: what a runner does to a ledger, in any order, with repetitions."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.told: list[Attempt] = []

    def do(self, step: tuple[Any, ...]) -> None:
        getattr(self, step[0])(*step[1:])

    def reserve(self, call_id: str, estimate: float, limit: float) -> None:
        beside = [Request(other, CALLS[other], 100.0) for other in CALLS if other != call_id]
        held = self.ledger.allowance(call_id)
        answer = self.ledger.reserve(Request(call_id, CALLS[call_id], estimate, limit), beside)
        if isinstance(answer, Allowance):
            assert answer == held if held is not None else answer.seconds <= limit
        else:
            assert answer.error().where in ("constraints.max_cost", "constraints.max_gpu_hours")

    def run(self, call_id: str, part: float, goes_on: bool) -> None:
        """Spend part of what is left, in the attempt under way or, where that was killed, in another."""
        if (allowance := self.ledger.allowance(call_id)) is None:
            return
        seconds = part * allowance.seconds_left(self.ledger.attempts())
        before = self.ledger.attempts(call_id)
        if before and goes_on:
            last = before[-1]
            record = last.model_copy(update={"last_seen": last.last_seen + seconds})
        else:
            record = attempt(
                call_id,
                seconds,
                name=str(len(before)),
                resources=CALLS[call_id],
                started=1000.0 + 1e6 * len(before),
            )
        self.told.append(record)
        self.ledger.meter(record)

    def settle(self, call_id: str) -> None:
        self.ledger.settle(call_id)

    def repeat(self, index: int) -> None:
        """A record that was told before is told again."""
        if self.told:
            before = self.ledger.to_json()
            self.ledger.meter(self.told[index % len(self.told)])
            assert self.ledger.to_json() == before

    def rebuild(self) -> None:
        again = Ledger.from_json(self.ledger.to_json())
        assert again.to_json() == self.ledger.to_json()
        assert again.record() == self.ledger.record()
        self.ledger = again


@settings(max_examples=200, deadline=None)
@given(
    max_cost=st.floats(0.001, 1000.0),
    max_gpu_hours=st.none() | st.floats(0.001, 100.0),
    price_scale=st.floats(0.01, 1000.0),
    steps=st.lists(step, max_size=30),
)
def test_nothing_exceeds_the_caps_whatever_comes(
    max_cost: float, max_gpu_hours: float | None, price_scale: float, steps: list[tuple[Any, ...]]
) -> None:
    calls = Calls(Ledger(Caps(max_cost, max_gpu_hours), price_scale=price_scale))
    for one in steps:
        calls.do(one)
        spent, reserved = calls.ledger.spent(), calls.ledger.reserved()
        amounts = [spent.total, *spent.by_call.values(), *spent.by_kind.values(), *reserved.values()]
        assert all(amount.dollars >= 0.0 and amount.gpu_hours >= 0.0 for amount in amounts)
        assert all(value >= 0.0 for value in calls.ledger.left().values())
        taken = sum(reserved.values(), spent.total)
        assert taken.dollars <= max_cost * (1 + 1e-6)
        assert max_gpu_hours is None or taken.gpu_hours <= max_gpu_hours * (1 + 1e-6)
        by_calls = charge_of(calls.ledger.attempts(), price_scale)
        assert spent.total.dollars == pytest.approx(by_calls, rel=1e-9, abs=1e-12)


def charge_of(attempts: tuple[Attempt, ...], price_scale: float) -> float:
    """What every attempt costs to when it was last seen, and no more."""
    return sum(charge(one, one.last_seen - one.started, price_scale).dollars for one in attempts)


@settings(deadline=None)
@given(
    seconds=st.lists(st.floats(0.0, 1e5), min_size=1, max_size=6),
    order=st.randoms(use_true_random=False),
)
def test_the_order_in_which_records_come_does_not_matter(seconds: list[float], order: Any) -> None:
    records = [attempt("train", one, ended=one == max(seconds)) for one in seconds]
    first = Ledger(Caps(1.0), attempts=records)
    order.shuffle(records)
    assert Ledger(Caps(1.0), attempts=records).to_json() == first.to_json()


@settings(deadline=None)
@given(
    requests=st.lists(
        st.tuples(
            st.sampled_from(["data", "evaluate"]),
            st.floats(0.0, 1e5),
            st.sampled_from([1.0, 60.0, 3600.0, float("inf")]),
        ),
        min_size=1,
        max_size=6,
    ),
    max_cost=st.floats(0.001, 100.0),
    max_gpu_hours=st.none() | st.floats(0.001, 10.0),
)
def test_calls_that_ask_together_all_get_the_same_multiple_of_their_estimates(
    requests: list[tuple[str, float, float]], max_cost: float, max_gpu_hours: float | None
) -> None:
    ledger = Ledger(Caps(max_cost, max_gpu_hours))
    asked = [
        Request(f"{call}.{index}", CALLS[call], estimate, limit)
        for index, (call, estimate, limit) in enumerate(requests)
    ]
    answers = [ledger.reserve(request, asked[index + 1 :]) for index, request in enumerate(asked)]
    given_ = [(one, answer) for one, answer in zip(asked, answers, strict=True) if isinstance(answer, Allowance)]
    for request, answer in given_:
        assert request.least - 0.001 <= answer.seconds <= request.limit_seconds
    taken = sum(ledger.reserved().values(), ledger.spent().total)
    assert taken.dollars <= max_cost * (1 + 1e-9)
    if max_gpu_hours is None and len(given_) == len(asked):
        # each is rounded down to a millisecond, and the last gets what that leaves: 5 ms of an L4 are 44 ms of a CPU
        free = [
            answer.seconds / one.weight
            for one, answer in given_
            if one.least + 0.05 < answer.seconds < one.limit_seconds - 0.05
        ]
        assert max(free, default=1.0) == pytest.approx(min(free, default=1.0), rel=2e-2)
