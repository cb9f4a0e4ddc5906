"""``modal run``: bodies in containers, their values, errors and output, and how a run ends."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable

import pytest

from tests.modal_plane.conftest import Write, wait_until
from tests.modal_plane.server import Plane

pytestmark = pytest.mark.modal

VALUES = """
    import os, modal
    import helper

    app = modal.App("values")
    image = (
        modal.Image.debian_slim(python_version="3.11").pip_install("numpy==2.1.0")
        .env({"GREETING": "good day"}).add_local_python_source("helper")
    )

    @app.function(image=image)
    def double(x):
        print("doubling", str(x)[:99], os.environ["GREETING"], flush=True)
        return helper.twice(x)

    @app.function(image=image)
    def squares(n):
        for i in range(n):
            yield i * i

    @app.function(image=image)
    async def letters(word):
        for letter in word:
            yield letter

    @app.cls(image=image)
    class Counter:
        start: int = modal.parameter(default=1)

        @modal.enter()
        def enter(self):
            self.base = 10 * self.start

        @modal.method()
        def add(self, x):
            return self.base + x

        @modal.exit()
        def leave(self):
            print("left", self.start, flush=True)

    @app.function(image=image)
    def outer(x):
        return double.remote(x) + 1

    @app.local_entrypoint()
    def main():
        call = double.spawn(4)
        assert double.remote(21) == 42
        assert list(double.map(range(20))) == [2 * x for x in range(20)]
        assert list(double.experimental_spawn_map([5, 6]).iter()) == [10, 12]
        assert modal.FunctionCall.from_id(call.object_id).get(timeout=20) == 8
        assert list(squares.remote_gen(4)) == [0, 1, 4, 9]
        assert list(letters.remote_gen("abc")) == ["a", "b", "c"]
        assert Counter().add.remote(1) == 11 and Counter(start=3).add.remote(1) == 31
        assert outer.remote(2) == 5
        big = b"x" * 5_000_000
        assert double.remote(big) == big * 2
        print("all values right")
"""


def test_values_come_back_from_functions_classes_generators_and_calls(modal_plane: Plane, write: Write) -> None:
    path = write(VALUES)
    path.with_name("helper.py").write_text("def twice(x):\n    return x * 2\n")
    done = modal_plane.modal("run", path.name, cwd=path.parent)
    assert done.returncode == 0, done.stdout
    assert "all values right" in done.stdout
    assert "doubling 21 good day" in done.stdout
    assert "left 3" in done.stdout
    image = modal_plane.functions["double"].image
    assert image is not None
    assert any("pip install" in line and "numpy==2.1.0" in line for line in image.commands)
    assert modal_plane.functions["double"].files == ["/root/helper.py", "/root/subject.py"]
    assert modal_plane.app("values").stopped
    assert modal_plane.running == []


FAILING = """
    import modal

    app = modal.App("failing")

    @app.function()
    def broken():
        raise KeyError("lost")

    @app.function()
    def leaves():
        import os
        os._exit(3)

    @app.local_entrypoint()
    def main():
        for function in (broken, leaves):
            try:
                function.remote()
            except Exception as error:
                print(f"raised: {type(error).__name__} {error}")
"""


def test_an_error_comes_back_as_itself_and_a_lost_process_as_a_remote_error(modal_plane: Plane, write: Write) -> None:
    path = write(FAILING)
    done = modal_plane.modal("run", str(path))
    assert "raised: KeyError 'lost'" in done.stdout
    assert "raised: RemoteError Runner failed with exit code: 3" in done.stdout


def test_a_module_that_was_not_shipped_is_not_found(modal_plane: Plane, write: Write) -> None:
    """The tests run beside the package ``pipeline``; a container has only what its app ships."""
    path = write("""
        import modal

        app = modal.App("unshipped")

        @app.function()
        def look():
            import pipeline

        @app.function()
        def machine():
            import os
            return sorted(os.listdir("/")), os.listdir("/root"), os.environ.get("HOME"), os.getcwd()

        @app.local_entrypoint()
        def main():
            print(machine.remote())
            look.remote()
    """)
    done = modal_plane.modal("run", path.name, cwd=path.parent, env={"NOT_FOR_CONTAINERS": "1"})
    assert done.returncode != 0
    assert "No module named 'pipeline'" in done.stdout
    assert "'/root', '/root')" in done.stdout


def test_what_fails_on_import_fails_the_call(modal_plane: Plane, write: Write) -> None:
    path = write("""
        import modal

        if not modal.is_local():
            raise OSError("no such luck")

        app = modal.App("import")

        @app.function()
        def never():
            return 1
    """)
    done = modal_plane.modal("run", str(path))
    assert done.returncode != 0
    assert "no such luck" in done.stdout
    assert modal_plane.calls[0].statuses == ["FAILURE"]


def test_a_container_that_does_not_get_ready_in_time_fails_the_call(modal_plane: Plane, write: Write) -> None:
    path = write("""
        import time, modal

        app = modal.App("late")

        @app.cls(startup_timeout=2)
        class Late:
            @modal.enter()
            def enter(self):
                time.sleep(60)

            @modal.method()
            def answer(self):
                return 1
    """)
    done = modal_plane.modal("run", f"{path}::Late.answer")
    assert done.returncode != 0
    assert "the container was not ready after 2 s" in done.stdout
    assert len(modal_plane.containers) == 1


DETACHED = """
    import time, modal

    app = modal.App("detached")

    @app.function()
    def slow(seconds: float):
        time.sleep(seconds)
        print(f"finished after {seconds}", flush=True)

    @app.local_entrypoint()
    def main(seconds: float):
        slow.spawn(seconds)
"""


def test_a_detached_app_goes_on_until_its_last_call_and_an_attached_one_ends(modal_plane: Plane, write: Write) -> None:
    path = write(DETACHED)
    done = modal_plane.modal("run", "--detach", str(path), "--seconds", "3", env={"MODAL_LOGS_TIMEOUT": "0.2"})
    assert done.returncode == 0, done.stdout
    assert "finished" not in done.stdout
    deadline = time.monotonic() + 30
    while not modal_plane.apps[0].stopped and time.monotonic() < deadline:
        time.sleep(0.1)
    assert "finished after 3.0" in modal_plane.apps[0].logs.text
    assert modal_plane.calls[0].statuses == ["SUCCESS"]

    done = modal_plane.modal("run", str(path), "--seconds", "60")
    assert done.returncode == 0, done.stdout
    assert modal_plane.apps[1].stopped
    assert modal_plane.calls[1].statuses == ["TERMINATED"]
    assert modal_plane.running == []


def test_a_client_that_dies_takes_its_app_along(start_plane: Callable[..., Plane], write: Write) -> None:
    plane = start_plane(heartbeat_timeout=2.0)
    command = ["run", f"{write(DETACHED)}::slow", "--seconds", "60"]
    process = plane.start_modal(*command, env={"MODAL_HEARTBEAT_INTERVAL": "0.5"})
    try:
        wait_until(lambda: any(one.running for one in plane.running))
    finally:
        process.send_signal(signal.SIGQUIT)  # the keeper above the command turns it into SIGKILL
        process.communicate()
    assert not plane.apps[0].stopped
    wait_until(lambda: plane.apps[0].stopped)
    assert plane.calls[0].statuses == ["TERMINATED"]
    assert plane.running == []


def test_a_cluster_runs_an_input_on_all_its_containers_and_rank_0_answers(modal_plane: Plane, write: Write) -> None:
    path = write("""
        import socket, time, modal

        app = modal.App("cluster")

        @app.function(gpu="H100:8", retries=0, single_use_containers=True)
        @modal.clustered(size=2)
        def meet(port):
            cluster = modal.Cluster.from_context()
            rank, addresses = cluster.container_rank(), cluster.container_ips("ipv4")
            if rank == 1:
                while True:
                    try:
                        with socket.create_connection((addresses[0], port)) as peer:
                            peer.sendall(b"here is 1")
                        return
                    except ConnectionRefusedError:
                        pass
            with socket.create_server(("0.0.0.0", port)) as server:
                connection, _ = server.accept()
                with connection:
                    received = connection.recv(100)
            time.sleep(4)  # by then the other's container has ended
            return rank, len(addresses), received

        @app.function(gpu="H100:8", retries=0)
        @modal.clustered(size=2)
        def one_fails():
            if modal.Cluster.from_context().container_rank() == 1:
                raise ValueError("rank 1 fails")
            time.sleep(60)

        @app.local_entrypoint()
        def main():
            with socket.socket() as probe:
                probe.bind(("", 0))
                port = probe.getsockname()[1]
            print(f"met: {meet.remote(port)}")
            try:
                one_fails.remote()
            except ValueError as error:
                print(f"failed: {error}")
    """)
    done = modal_plane.modal("run", str(path))
    assert "met: (0, 2, b'here is 1')" in done.stdout, done.stdout
    assert "failed: rank 1 fails" in done.stdout, done.stdout
    assert modal_plane.functions["meet"].nodes == 2
    assert len(modal_plane.containers) == 4
