"""What a caller does with the function calls that it spawns, and with the money that they take."""

from __future__ import annotations

import threading
from pathlib import Path

import modal.exception
import pytest

import modal_app.attempts
import modal_app.caller
import modal_app.purse
from modal_app.caller import ATTEMPT_LIMIT, LOST_CONTAINERS, HandOver
from modal_app.envelope import Envelope, Reply
from pipeline.control.allowance import Request
from schemas.ledger import Allowance, Resources
from schemas.placement import HardwareSpec
from schemas.request import CallRequest
from tests.modal_app.cloud import (
    PRICE,
    WITH_CONTROLLER,
    Cloud,
    End,
    Home,
    after,
    done,
    error_of,
    install,
    lost,
    metered,
    stage_call,
    used_up,
)


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Cloud:
    return install(monkeypatch)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def test_a_controller_that_starts_again_waits_for_what_the_one_before_spawned(cloud: Cloud, tmp_path: Path) -> None:
    first = Home(tmp_path, hand_over_in=0.02)
    with pytest.raises(HandOver):
        first.carry_out()
    cloud.calls[0].ends = [TimeoutError(), done]
    again = Home(tmp_path, entries=first.entries)
    assert again.carry_out().status == "done"
    assert len(cloud.calls) == 1
    assert again.flight() is None


def test_a_function_call_of_another_request_is_not_waited_for(cloud: Cloud, tmp_path: Path) -> None:
    first = Home(tmp_path, hand_over_in=0.02)
    with pytest.raises(HandOver):
        first.carry_out()
    cloud.ends = [[done]]
    assert Home(tmp_path, entries=first.entries).carry_out(renew=True).status == "done"
    assert [request.renew for request in cloud.requests] == [False, True]


def test_a_controller_whose_time_is_over_leaves_what_is_under_way(cloud: Cloud, tmp_path: Path) -> None:
    home = Home(tmp_path, hand_over_in=0.02)
    with pytest.raises(HandOver):
        home.carry_out()
    assert home.flight()["function_call"] == "fc-0"
    assert cloud.calls[0].cancelled == []
    assert home.events == []


def test_a_call_that_ended_while_no_controller_lived_is_charged_where_it_is_found(cloud: Cloud, tmp_path: Path) -> None:
    first = Home(tmp_path, hand_over_in=0.02)
    with pytest.raises(HandOver):
        first.carry_out()
    metered(first.entries, 7200.0)
    again = Home(tmp_path, 100.0, entries=first.entries)
    again.ledger.reserve(Request("train.seed-0", WITH_CONTROLLER, 300.0))
    again.caller.found(stage_call("train.seed-0"))
    # 7200 x (0.001097 + 4 x 0.0000131 + 32 x 0.00000222) = 7200 x 0.00122044 dollars for 2 hours of an H100
    spent = again.ledger.spent().total
    assert spent.dollars == pytest.approx(8.787168, abs=1e-9)
    assert spent.gpu_hours == 2.0
    assert again.ledger.reserved() == {}
    assert again.ledger.left()["constraints.max_cost"] == pytest.approx(100.0 - 8.787168, abs=1e-9)
    assert again.flight() is None


@pytest.mark.parametrize(
    "ends",
    [
        lost,
        RuntimeError("killed"),
        modal.exception.RemoteError("out of memory"),
        modal.exception.InternalFailure("the machine"),
        modal.exception.FunctionTimeoutError("too long"),
    ],
)
def test_a_lost_container_is_followed_by_one_that_takes_its_work_up(cloud: Cloud, home: Home, ends: End) -> None:
    cloud.ends = [[TimeoutError(), ends], [done]]
    assert home.carry_out(restart=True, renew=True).status == "done"
    assert [request.restart for request in cloud.requests] == [True, False]
    assert [request.renew for request in cloud.requests] == [True, True]


@pytest.mark.parametrize("error", [TimeoutError("no answer"), modal.exception.ServiceError("unavailable")])
def test_what_fails_inside_a_container_is_not_taken_for_a_call_that_goes_on(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """A function's exception is raised by ``get`` as it is: as data it is neither a time-out nor the network's."""

    def fails(_envelope: Envelope) -> Reply:
        raise error

    monkeypatch.setattr(modal_app.attempts, "_attempt", fails)
    request = CallRequest(call=stage_call("train.seed-0"), root=Path("/hone"))
    allowance = Allowance(call_id=request.call.id, resources=WITH_CONTROLLER, seconds=1.0)
    envelope = Envelope(run="run-1", request=request, resources=WITH_CONTROLLER, allowance=allowance)
    reply = Reply.model_validate_json(modal_app.attempts.attempt(envelope.model_dump_json()))
    assert reply.fault == f"{type(error).__name__}: {error}"
    assert reply.result is None


def test_containers_that_are_lost_again_and_again_end_the_call(cloud: Cloud, home: Home) -> None:
    cloud.ends = [[RuntimeError("no memory")] for _ in range(9)]
    error = error_of(home.carry_out())
    assert len(cloud.calls) == LOST_CONTAINERS + 1
    assert (error.code, error.where) == ("internal", "modal app logs hone")
    assert error.message == "the container of train.seed-0 was lost 3 times: RuntimeError: no memory"
    assert error.fix is not None and "see its log" in error.fix
    assert home.flight() is None
    assert home.ledger.reserved() == {}
    assert [event.kind for event in home.events] == ["failed"]


def test_a_network_that_fails_is_asked_again_and_nothing_is_spawned(cloud: Cloud, home: Home) -> None:
    network = [modal.exception.ConnectionError("unreachable"), modal.exception.ServiceError("unavailable")]
    cloud.ends = [[*network, done]]
    assert home.carry_out().status == "done"
    assert len(cloud.calls) == 1


def test_a_call_goes_on_past_the_longest_attempt_while_it_saves(cloud: Cloud, home: Home) -> None:
    """One attempt may take 86400 - 300 seconds; each took 86000 of the 200 000 that ``max_hours`` leaves."""
    stops = used_up(ATTEMPT_LIMIT, saved=True)
    cloud.ends = [
        [after(lambda _: metered(home.entries, 86_000.0), stops)],
        [after(lambda _: metered(home.entries, 86_000.0, number=1), stops)],
        [done],
    ]
    assert home.carry_out(seconds=200_000.0, restart=True).status == "done"
    assert [(request.seconds, request.limit, request.restart) for request in cloud.requests] == [
        (86_100.0, ATTEMPT_LIMIT, True),
        (86_100.0, ATTEMPT_LIMIT, False),
        (28_000.0, "constraints.max_hours", False),
    ]
    # 172 000 x 0.00122044
    assert home.ledger.spent().total.dollars == pytest.approx(209.91568, abs=1e-6)


def test_a_call_that_saves_nothing_ends_at_the_longest_attempt(cloud: Cloud, home: Home) -> None:
    cloud.ends = [[used_up(ATTEMPT_LIMIT, saved=True)], [used_up(ATTEMPT_LIMIT, saved=False)], [done]]
    error = error_of(home.carry_out())
    assert (error.code, error.where) == ("budget", ATTEMPT_LIMIT)
    assert len(cloud.calls) == 2


def test_a_call_that_reached_max_hours_ends_whatever_it_saved(cloud: Cloud, home: Home) -> None:
    cloud.ends = [[used_up("constraints.max_hours", saved=True)], [done]]
    assert error_of(home.carry_out(seconds=100.0)).where == "constraints.max_hours"
    assert len(cloud.calls) == 1


def test_a_call_without_money_is_not_begun(cloud: Cloud, tmp_path: Path) -> None:
    # 30 seconds, a tenth of the estimate, are of use: 0.037 dollars
    error = error_of(Home(tmp_path, 0.03).carry_out())
    assert (error.code, error.where) == ("budget", "constraints.max_cost")
    assert cloud.calls == []


def test_two_calls_at_once_share_what_is_left(cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(modal_app.purse, "GATHER_SECONDS", 0.3)
    home, together = Home(tmp_path, 2000 * PRICE), threading.Barrier(2)
    cloud.ends = [[after(lambda _: together.wait(5), done)], [after(lambda _: together.wait(5), done)]]
    names = ["train.seed-0", "train.seed-1"]
    threads = [threading.Thread(target=home.carry_out, args=(name, lambda: together.broken)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [request.seconds for request in cloud.requests] == pytest.approx([1000.0, 1000.0], abs=0.01)
    assert {request.limit for request in cloud.requests} == {"constraints.max_cost"}
    assert home.ledger.left()["constraints.max_cost"] == pytest.approx(2000 * PRICE)


def test_a_call_that_waits_gets_what_another_gives_back(cloud: Cloud, tmp_path: Path) -> None:
    home = Home(tmp_path, 2000 * PRICE)
    home.ledger.reserve(Request("other", WITH_CONTROLLER, 300.0))
    asked: list[int] = []

    def other_ends_meanwhile() -> bool:
        asked.append(len(cloud.calls))
        if len(asked) == 3:
            metered(home.entries, 500.0, call="other", resources=WITH_CONTROLLER)
            home.caller.found(stage_call("other"))
        return False

    cloud.ends = [[done]]
    assert home.carry_out(cancelled=other_ends_meanwhile).status == "done"
    assert asked[:3] == [0, 0, 0]
    assert cloud.requests[0].seconds == pytest.approx(1500.0, abs=0.01)


def test_a_call_that_used_its_money_up_goes_on_with_what_another_gave_back(cloud: Cloud, tmp_path: Path) -> None:
    home = Home(tmp_path, 2000 * PRICE)
    home.ledger.reserve(Request("other", WITH_CONTROLLER, 300.0, limit_seconds=800.0))
    ends = used_up("constraints.max_cost", saved=True)

    def first(_envelope: Envelope) -> None:
        metered(home.entries, 1200.0, resources=WITH_CONTROLLER)
        home.caller.found(stage_call("other"))

    def second(_envelope: Envelope) -> None:
        metered(home.entries, 800.0, number=1, resources=WITH_CONTROLLER)

    cloud.ends = [[after(first, ends)], [after(second, ends)], [done]]
    assert error_of(home.carry_out()).where == "constraints.max_cost"
    assert [request.seconds for request in cloud.requests] == pytest.approx([1200.0, 800.0], abs=0.01)


def test_a_call_that_waits_for_money_is_not_begun_once_its_run_is_cancelled(cloud: Cloud, tmp_path: Path) -> None:
    home = Home(tmp_path, 2000 * PRICE)
    home.ledger.reserve(Request("other", WITH_CONTROLLER, 300.0))
    assert error_of(home.carry_out(cancelled=lambda: True)).code == "cancelled"
    assert cloud.calls == []


def test_a_lost_container_is_not_followed_once_its_run_is_cancelled(cloud: Cloud, home: Home) -> None:
    cloud.ends = [[TimeoutError(), RuntimeError("killed")], [done]]
    assert error_of(home.carry_out(cancelled=lambda: bool(cloud.calls))).code == "cancelled"
    assert len(cloud.calls) == 1
    assert home.flight() is None


def test_a_call_may_stop_by_itself_once_its_run_is_cancelled(cloud: Cloud, home: Home) -> None:
    cloud.ends = [[TimeoutError(), TimeoutError(), done]]
    assert home.carry_out(cancelled=lambda: bool(cloud.calls)).status == "done"
    assert cloud.calls[0].cancelled == []


def test_a_call_that_does_not_stop_is_ended_with_its_container(
    cloud: Cloud, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(modal_app.caller, "STOP_SECONDS", 0.02)
    assert error_of(home.carry_out(cancelled=lambda: bool(cloud.calls))).code == "cancelled"
    assert [call.cancelled for call in cloud.calls] == [[True]]
    assert home.flight() is None
    assert home.ledger.reserved() == {}


def test_a_call_is_billed_for_the_gpu_that_it_asks_for(cloud: Cloud, tmp_path: Path) -> None:
    """An H100 is among the fallbacks; Modal is asked for an L4 alone."""
    hardware = HardwareSpec.model_validate({"train": {"gpu": ["L4", "H100"]}})
    cloud.ends = [[done]]
    assert Home(tmp_path, hardware=hardware).carry_out().status == "done"
    envelope = cloud.calls[0].envelope
    assert cloud.functions == [("train", "train")]
    assert cloud.options == [{"gpu": "L4", "cpu": 4.0, "memory": 32 * 1024, "timeout": 86_400}]
    assert envelope.resources == Resources(gpu="L4", count=1, cpu=4.0, memory_gib=32.0)
    assert envelope.allowance.resources == Resources(gpu="L4", count=1, cpu=5.0, memory_gib=34.0)


def test_nothing_is_spawned_for_a_run_that_is_cancelled(cloud: Cloud, home: Home) -> None:
    cloud.ends = [[done]]
    assert error_of(home.carry_out(cancelled=lambda: True)).code == "cancelled"
    assert cloud.calls == []


def test_no_further_attempt_is_spawned_for_a_run_that_is_cancelled(cloud: Cloud, home: Home) -> None:
    cloud.ends = [[used_up(ATTEMPT_LIMIT, saved=True)], [done]]
    assert home.carry_out(cancelled=lambda: bool(cloud.calls)).status == "failed"
    assert len(cloud.calls) == 1


def test_what_followed_a_lost_container_is_waited_for_by_the_next_controller(cloud: Cloud, tmp_path: Path) -> None:
    first = Home(tmp_path, hand_over_in=0.05)
    cloud.ends = [[RuntimeError("killed")]]
    with pytest.raises(HandOver):
        first.carry_out(renew=True, restart=True)
    assert len(cloud.calls) == 2
    cloud.calls[1].ends = [done]
    cloud.ends = [[done]]
    assert Home(tmp_path, entries=first.entries).carry_out(renew=True, restart=True).status == "done"
    assert len(cloud.calls) == 2
