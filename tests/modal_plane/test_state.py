"""Dicts with entries that expire, Queues that fill up, and Secrets from the command."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.modal_plane.conftest import Write
from tests.modal_plane.server import Plane

pytestmark = pytest.mark.modal

STATE = """
    import os, queue, time, modal

    app = modal.App("state")
    leases = modal.Dict.from_name("leases", create_if_missing=True)
    line = modal.Queue.from_name("line", create_if_missing=True)

    @app.function()
    def take(name):
        return leases.put("lease", name, skip_if_exists=True)

    @app.function()
    def feed():
        time.sleep(0.3)
        line.put_many(["b", "c"])

    @app.function(secrets=[modal.Secret.from_name("made"), modal.Secret.from_dict({"INLINE": "2"})])
    def secret():
        return os.environ["MADE"], os.environ["INLINE"], "MODAL_TOKEN_SECRET" in os.environ

    @app.local_entrypoint()
    def main():
        assert [take.remote("a"), take.remote("b")] == [True, False]
        assert leases["lease"] == "a" and leases.len() == 1
        time.sleep(2.1)
        assert "lease" not in leases and take.remote("b") and leases.pop("lease") == "b"
        leases.update(x=1, y=2)
        assert sorted(leases.keys()) == ["x", "y"] and sorted(leases.values()) == [1, 2]

        line.put("a")
        feed.spawn()
        assert [line.get(), line.get(timeout=20)] == ["a", "b"]
        assert list(line.iterate()) == ["c"] and line.len() == 1
        line.put("other", partition="p")
        assert line.len(total=True) == 2 and line.get(partition="p") == "other"
        line.clear()
        assert line.get(block=False) is None
        try:
            line.put_many(list(range(5001)), block=False)
        except queue.Full:
            print("state is right")
        print(secret.remote())
"""


def test_dicts_queues_and_secrets_keep_what_they_are_given(start_plane: Callable[..., Plane], write: Write) -> None:
    plane = start_plane(dict_seconds=2.0)
    assert plane.modal("secret", "create", "made", "MADE=1").returncode == 0
    done = plane.modal("run", str(write(STATE)))
    assert done.returncode == 0, done.stdout
    assert "state is right" in done.stdout
    assert "('1', '2', False)" in done.stdout
    assert plane.functions["secret"].secrets == ["made", "{INLINE}"]
