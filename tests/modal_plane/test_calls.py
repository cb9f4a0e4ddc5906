"""Preemption, retries, timeouts and cancellation: what is tried again, and what is counted."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from tests.modal_plane.conftest import Write, wait_until
from tests.modal_plane.containers import Container
from tests.modal_plane.server import Plane

pytestmark = pytest.mark.modal


RESUMES = """
    import os, time, modal

    app = modal.App("resumes")
    volume = modal.Volume.from_name("work", create_if_missing=True, version=2)

    @app.function(volumes={"/checkpoints": volume}, retries=0, timeout=60)
    def train(steps):
        try:
            for step in range(len(os.listdir("/checkpoints")), steps):
                open(f"/checkpoints/{step}", "w").close()
                volume.commit()
                time.sleep(0.2)
        except BaseException:  # what an interrupt becomes depends on where in Modal's client it arrives
            print("told to end", flush=True)
            raise
        return len(os.listdir("/checkpoints"))

    @app.local_entrypoint()
    def main():
        print(f"steps {train.remote(12)}")
"""


def test_a_preempted_input_is_scheduled_again_and_no_retry_is_used(modal_plane: Plane, write: Write) -> None:
    """Killed at once, then preempted with grace; retries=0, and the call still ends well."""
    ends: list[Callable[[Container], None]] = [modal_plane.kill, modal_plane.preempt]

    def interfere() -> None:
        for count, end in enumerate(ends, start=1):
            wait_until(lambda count=count: any(len(one.tree) >= 3 * count for one in modal_plane.volumes.values()))
            victim = next(one for one in modal_plane.running if one.running)
            end(victim)
            wait_until(lambda victim=victim: victim.ended)

    thread = threading.Thread(target=interfere)
    thread.start()
    done = modal_plane.modal("run", str(write(RESUMES)))
    thread.join()
    assert "steps 12" in done.stdout
    assert "told to end" in done.stdout
    (only,) = modal_plane.calls[0].inputs
    assert (only.attempt, only.preemptions, only.failures) == (2, 2, 0)
    assert len(modal_plane.containers) == 3


TRIES = """
    import time, modal

    app = modal.App("tries")
    count = modal.Dict.from_name("count", create_if_missing=True)

    @app.function(retries=modal.Retries(max_retries=2, initial_delay=0.0, backoff_coefficient=1.0))
    def third_time():
        count["tries"] = count.get("tries", 0) + 1
        if count["tries"] < 3:
            raise ValueError("not yet")
        return count["tries"]

    once_more = modal.Retries(max_retries=1, initial_delay=0.0, backoff_coefficient=1.0)

    @app.function(timeout=1, startup_timeout=60, retries=once_more)
    def too_slow():
        count["slow"] = count.get("slow", 0) + 1
        time.sleep(60)

    @app.function()
    def endless():
        time.sleep(60)

    @app.local_entrypoint()
    def main():
        print(f"third time: {third_time.remote()}")
        try:
            too_slow.remote()
        except modal.exception.FunctionTimeoutError:
            tries = count["slow"]
            print(f"timed out, tries: {tries}")
        running = endless.spawn()
        count["running"] = running.object_id
        time.sleep(1.5)
        running.cancel()
        try:
            running.get(timeout=20)
        except modal.exception.RemoteError as error:
            print(f"cancelled: {error}")
"""


def test_failures_and_timeouts_use_retries_and_a_cancelled_call_ends(modal_plane: Plane, write: Write) -> None:
    done = modal_plane.modal("run", str(write(TRIES)))
    assert done.returncode == 0, done.stdout
    assert "third time: 3" in done.stdout
    assert "timed out, tries: 2" in done.stdout
    assert "cancelled: The function call was cancelled" in done.stdout
    by_name = {call.function.name: call for call in modal_plane.calls}
    assert by_name["third_time"].inputs[0].failures == 2
    assert by_name["too_slow"].statuses == ["TIMEOUT"]
    assert by_name["endless"].statuses == ["TERMINATED"]


def test_a_cancelled_input_that_does_not_listen_is_killed(start_plane: Callable[..., Plane], write: Write) -> None:
    plane = start_plane(cancel_grace=0.5)
    path = write("""
        import time, modal

        app = modal.App("deaf")

        @app.function()
        def deaf(minutes):
            end = time.monotonic() + 60 * minutes
            while time.monotonic() < end:
                try:
                    time.sleep(60)
                except BaseException:
                    pass

        @app.local_entrypoint()
        def main():
            call = deaf.spawn(1)
            time.sleep(1.5)
            call.cancel()
            time.sleep(2)
    """)
    done = plane.modal("run", str(path))
    assert done.returncode == 0, done.stdout
    assert [one.status for one in plane.containers] == [137]
    assert plane.calls[0].statuses == ["TERMINATED"]


def test_concurrent_and_batched_inputs_share_a_container(modal_plane: Plane, write: Write) -> None:
    path = write("""
        import asyncio, modal

        app = modal.App("together")

        @app.function(max_containers=1)
        @modal.concurrent(max_inputs=5)
        async def rest(x):
            await asyncio.sleep(0.5)
            return x

        @app.function(max_containers=1)
        @modal.batched(max_batch_size=3, wait_ms=200)
        def sizes(xs):
            return [len(xs)] * len(xs)

        @app.local_entrypoint()
        def main():
            assert list(rest.map(range(5))) == [0, 1, 2, 3, 4]
            print(f"sizes {sorted(sizes.map(range(6)))}")
    """)
    done = modal_plane.modal("run", str(path))
    assert "sizes [3, 3, 3, 3, 3, 3]" in done.stdout, done.stdout
    assert len(modal_plane.containers) == 2
