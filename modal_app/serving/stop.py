"""How a container of the endpoint ends itself: as Modal ends it, with the requests in flight answered.

Modal's control plane is asked to stop this container: it sends it no more requests, lets those in flight finish within
the exit grace period, and then sends SIGTERM, on which Modal's entrypoint runs the exit method. The client has no
public call for it, nor does `modal.experimental.stop_fetching_inputs` know servers; Modal's own code
(`modal.experimental.flash`, 1.6.4) makes the same call from inside a container.
"""

from __future__ import annotations

import logging
import os
import signal

from modal._utils.async_utils import synchronizer
from modal.client import _Client
from modal_proto import api_pb2

_log = logging.getLogger(__name__)


def container_id() -> str:
    """Return the id of this container."""
    return os.environ["MODAL_TASK_ID"]


def stop_this_container() -> None:
    """Have this container end; without Modal's help, where that fails, by the signal that Modal would send."""
    try:
        _ask()
    except Exception:  # noqa: BLE001 - whatever the network or Modal says, this container has to end
        _log.warning("Modal could not be asked to stop this container, which ends by itself", exc_info=True)
        end_now()


def end_now() -> None:
    """Send this process the signal on which its exit method runs."""
    os.kill(os.getpid(), signal.SIGTERM)


@synchronizer.create_blocking
async def _ask() -> None:
    client = await _Client.from_env()
    request = api_pb2.ContainerStopRequest(task_id=container_id())
    await client._stub.ContainerStop(request)  # noqa: SLF001 - there is no public way
