"""What containers call: hello, heartbeat, the next input, its output, and the end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from google.protobuf.empty_pb2 import Empty
from modal_proto import api_pb2

from .ids import conflict, not_found

if TYPE_CHECKING:
    from .cloud import Cloud
    from .containers import Container

HEARTBEAT = 12.0
"""Seconds that a heartbeat is held for a cancellation; the client gives up after 15.1 s (modal/client.py)."""


def _own(container: Container | None) -> Container:
    if container is None:
        raise conflict("only a container may call this")
    return container


class ContainerCalls:
    """Answers a container's own calls, and the client's on containers."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    async def ContainerHello(self, request: Empty, container: Container | None) -> Empty:
        _own(container)
        return Empty()

    async def ContainerHeartbeat(
        self, request: api_pb2.ContainerHeartbeatRequest, container: Container | None
    ) -> api_pb2.ContainerHeartbeatResponse:
        me = _own(container)
        if not me.cancelled:
            await me.changed.wait(HEARTBEAT)
        if not me.cancelled:
            return api_pb2.ContainerHeartbeatResponse()
        told, me.cancelled = me.cancelled, []
        event = api_pb2.CancelInputEvent(input_ids=told, cancellation_reason="cancelled by the caller")
        return api_pb2.ContainerHeartbeatResponse(cancel_input_event=event)

    async def FunctionGetInputs(
        self, request: api_pb2.FunctionGetInputsRequest, container: Container | None
    ) -> api_pb2.FunctionGetInputsResponse:
        me = _own(container)
        me.ready = True
        taken = await me.pool.take(me, request.batch_max_size, request.batch_linger_ms / 1000)
        if taken is None:
            return api_pb2.FunctionGetInputsResponse(inputs=[api_pb2.FunctionGetInputsItem(kill_switch=True)])
        items = [
            api_pb2.FunctionGetInputsItem(
                input_id=one.id,
                input=one.item,
                function_call_id=one.call.id,
                function_call_invocation_type=one.call.invocation,  # type: ignore[arg-type]
                retry_count=one.attempt,
                function_map_idx=one.index,
            )
            for one in taken
        ]
        return api_pb2.FunctionGetInputsResponse(inputs=items)

    async def FunctionPutOutputs(
        self, request: api_pb2.FunctionPutOutputsRequest, container: Container | None
    ) -> Empty:
        me = _own(container)
        for output in request.outputs:
            one = me.running.pop(output.input_id, None)
            if one is None or one.attempt != output.retry_count:
                continue  # it timed out or was cancelled, and is no longer this container's
            if one.timer:
                one.timer.cancel()
            if me.pool.counts(me, output.result):
                self._cloud.calls.settle(one, output.result, output.data_format)
        me.pool.changed.notify()
        me.pool.scale()
        return Empty()

    async def FunctionGetDynamicConcurrency(
        self, request: api_pb2.FunctionGetDynamicConcurrencyRequest, container: Container | None
    ) -> api_pb2.FunctionGetDynamicConcurrencyResponse:
        return api_pb2.FunctionGetDynamicConcurrencyResponse(concurrency=request.max_concurrency)

    async def TaskResult(self, request: api_pb2.TaskResultRequest, container: Container | None) -> Empty:
        _own(container).failure = request.result
        return Empty()

    async def ContainerServerLifecycleReady(
        self, request: api_pb2.ContainerServerLifecycleReadyRequest, container: Container | None
    ) -> Empty:
        me = _own(container)
        me.ready = True
        me.pool.changed.notify()
        return Empty()

    async def ContainerStop(
        self, request: api_pb2.ContainerStopRequest, container: Container | None
    ) -> api_pb2.ContainerStopResponse:
        if request.task_id not in self._cloud.containers:
            raise not_found(f"No container with ID {request.task_id!r}")
        stopped = self._cloud.containers[request.task_id]
        if request.graceful:
            stopped.stopping = True
            stopped.pool.changed.notify()
        else:
            stopped.stop(self._cloud.options.stop_grace)
        return api_pb2.ContainerStopResponse()

    async def TaskList(self, request: api_pb2.TaskListRequest, container: Container | None) -> api_pb2.TaskListResponse:
        tasks = [
            api_pb2.TaskStats(
                task_id=one.id,
                app_id=one.function.app.id,
                app_description=one.function.app.name,
                started_at=one.started_at,
                enqueued_at=one.started_at,
            )
            for one in self._cloud.containers.values()
            if not one.ended and request.app_id in ("", one.function.app.id)
        ]
        return api_pb2.TaskListResponse(tasks=tasks)
