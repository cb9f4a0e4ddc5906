"""From the methods of the rooms to gRPC handlers, by the service description in modal_proto.

A room is an object whose methods carry the names of calls (``AppCreate``); each takes the request and the container
that sent it, or None for a client. Modal's own heartbeat names no container, so every container has its own socket.
"""

from __future__ import annotations

import traceback
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any

from google.protobuf import message_factory
from grpclib import GRPCError, Status
from grpclib.const import Cardinality, Handler
from modal_proto import api_pb2

if TYPE_CHECKING:
    from grpclib.server import Stream

    from .containers import Container

Gate = Callable[["dict[str, Any]"], None]
_SERVICE = api_pb2.DESCRIPTOR.services_by_name["ModalClient"]


class Journal:
    """What reached the plane: how often each call came, what nothing answers, and faults of the plane itself."""

    def __init__(self) -> None:
        self.calls: dict[str, int] = {}
        self.unanswered: dict[str, int] = {}
        self.faults: list[str] = []


class Service:
    """The handlers for one listener: the clients' port, or one container's socket."""

    def __init__(self, rooms: Sequence[object], container: Container | None, journal: Journal, gate: Gate) -> None:
        self._rooms = rooms
        self._container = container
        self._journal = journal
        self._gate = gate

    def __mapping__(self) -> dict[str, Handler]:
        mapping = {}
        for call in _SERVICE.methods:
            method = next((getattr(room, call.name) for room in self._rooms if hasattr(room, call.name)), None)
            streams = bool(call.server_streaming)
            mapping[f"/{_SERVICE.full_name}/{call.name}"] = Handler(
                self._handler(call.name, method, streams),
                Cardinality.UNARY_STREAM if streams else Cardinality.UNARY_UNARY,
                message_factory.GetMessageClass(call.input_type),
                message_factory.GetMessageClass(call.output_type),
            )
        return mapping

    def _handler(self, name: str, method: Any, streams: bool) -> Callable[[Stream[Any, Any]], Awaitable[None]]:
        async def handle(stream: Stream[Any, Any]) -> None:
            request = await stream.recv_message()
            if method is None:
                self._journal.unanswered[name] = self._journal.unanswered.get(name, 0) + 1
                raise GRPCError(Status.UNIMPLEMENTED, f"the loopback control plane does not answer {name}")
            self._journal.calls[name] = self._journal.calls.get(name, 0) + 1
            if self._container is None:
                self._gate(dict(stream.metadata or {}))
            try:
                if streams:
                    async for response in method(request, self._container):
                        await stream.send_message(response)
                else:
                    await stream.send_message(await method(request, self._container))
            except GRPCError:
                raise
            except Exception as error:
                self._journal.faults.append(f"{name}: {traceback.format_exc()}")
                raise GRPCError(Status.INTERNAL, f"{name} failed in the loopback control plane: {error!r}") from error

        return handle
