"""Function calls and their inputs: what was asked, how often it was tried, what came of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from google.protobuf.empty_pb2 import Empty
from modal_proto import api_pb2

from .ids import Changed, new_id, not_found

if TYPE_CHECKING:
    from .cloud import Cloud
    from .containers import Container
    from .functions import Function

Result = api_pb2.GenericResult


@dataclass(eq=False)
class Input:
    """One input of a call. ``attempt`` counts deliveries, ``failures`` those that the retry policy counts."""

    id: str
    index: int
    call: Call
    item: api_pb2.FunctionInput = field(repr=False)
    attempt: int = 0
    failures: int = 0
    preemptions: int = 0
    started_at: float = 0.0
    finished: bool = False
    timer: asyncio.TimerHandle | None = field(default=None, repr=False)


@dataclass(eq=False)
class Call:
    """One function call: of one input, or of many for map and spawn_map."""

    id: str
    function: Function
    kind: int
    invocation: int
    parent: str = ""
    inputs: list[Input] = field(default_factory=list)
    outputs: list[api_pb2.FunctionGetOutputsItem] = field(default_factory=list, repr=False)
    data_in: list[api_pb2.DataChunk] = field(default_factory=list, repr=False)
    data_out: list[api_pb2.DataChunk] = field(default_factory=list, repr=False)
    changed: Changed = field(default_factory=Changed, repr=False)

    @property
    def unfinished(self) -> int:
        return sum(not one.finished for one in self.inputs)

    @property
    def statuses(self) -> list[str]:
        """Each output's status in the order of the inputs, ``SUCCESS`` or another name of GenericStatus."""
        names = Result.GenericStatus
        ordered = sorted(self.outputs, key=lambda output: output.idx)
        return [names.Name(output.result.status).removeprefix("GENERIC_STATUS_") for output in ordered]


class CallQueue:
    """Gives inputs to the pools of containers, and outcomes to the callers."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self.by_id: dict[str, Call] = {}
        self.inputs: dict[str, Input] = {}

    def call(self, call_id: str) -> Call:
        if call_id not in self.by_id:
            raise not_found(f"No FunctionCall with ID {call_id!r}")
        return self.by_id[call_id]

    def open(self, function: Function, kind: int, invocation: int, parent: str = "") -> Call:
        call = Call(new_id("fc"), function, kind, invocation, parent)
        self.by_id[call.id] = call
        return call

    def add(self, call: Call, item: api_pb2.FunctionInput, index: int) -> Input:
        one = Input(new_id("in"), index, call, item)
        self.inputs[one.id] = one
        call.inputs.append(one)
        self._cloud.pool(call.function).submit(one)
        return one

    def settle(self, one: Input, result: Result, data_format: int = api_pb2.DATA_FORMAT_UNSPECIFIED) -> None:
        """Take the outcome of an attempt: final, or the retry policy's next attempt."""
        policy = one.call.function.definition.retry_policy
        final = result.status in (Result.GENERIC_STATUS_SUCCESS, Result.GENERIC_STATUS_TERMINATED)
        if one.finished:
            return
        if not final and one.failures < policy.retries:
            delay = policy.initial_delay_ms * (policy.backoff_coefficient or 1.0) ** one.failures
            one.failures += 1
            self.again(one, min(delay, policy.max_delay_ms or delay) / 1000)
            return
        self._finish(one, result, data_format)

    def again(self, one: Input, delay: float = 0.0) -> None:
        """Deliver an input once more; ``attempt`` tells the container that it is not a duplicate."""
        one.attempt += 1
        pool = self._cloud.pool(one.call.function)
        if delay:
            asyncio.get_running_loop().call_later(delay, pool.submit, one, True)
        else:
            pool.submit(one, True)

    def _finish(self, one: Input, result: Result, data_format: int) -> None:
        one.finished = True
        if one.timer:
            one.timer.cancel()
        one.call.outputs.append(
            api_pb2.FunctionGetOutputsItem(
                result=result,
                idx=one.index,
                input_id=one.id,
                data_format=data_format,  # type: ignore[arg-type]
                input_started_at=one.started_at,
                output_created_at=time.time(),
                retry_count=one.attempt,
            )
        )
        one.call.changed.notify()
        self._cloud.apps_room.finish_if_done(one.call.function.app)

    def cancel(self, call: Call, terminate: bool) -> None:
        """End a call: waiting inputs never run, running ones are told, or killed where ``terminate``."""
        pool = self._cloud.pool(call.function)
        for one in call.inputs:
            if one.finished:
                continue
            pool.withdraw(one)
            holders = [container for container in pool.live if one.id in container.running]
            self._finish(
                one,
                Result(status=Result.GENERIC_STATUS_TERMINATED, exception="The function call was cancelled"),
                api_pb2.DATA_FORMAT_UNSPECIFIED,
            )
            for container in holders:
                container.cancel(one.id, terminate)


def _answers(inputs: Iterable[Input]) -> list[api_pb2.FunctionPutInputsResponseItem]:
    return [api_pb2.FunctionPutInputsResponseItem(idx=one.index, input_id=one.id, input_jwt=one.id) for one in inputs]


class CallCalls:
    """What callers use: start a call, add inputs, wait for outputs, cancel, and a generator's stream."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._queue = cloud.calls

    async def FunctionMap(
        self, request: api_pb2.FunctionMapRequest, container: Container | None
    ) -> api_pb2.FunctionMapResponse:
        function = self._cloud.function(request.function_id)
        self._cloud.apps_room.check_running(function.app)
        call = self._queue.open(
            function, request.function_call_type, request.function_call_invocation_type, request.parent_input_id
        )
        inputs = [self._queue.add(call, item.input, item.idx) for item in request.pipelined_inputs]
        return api_pb2.FunctionMapResponse(
            function_call_id=call.id,
            pipelined_inputs=_answers(inputs),
            retry_policy=function.definition.retry_policy,
            function_call_jwt=call.id,
            sync_client_retries_enabled=False,  # so the retries are the plane's
            max_inputs_outstanding=1000,
        )

    async def FunctionPutInputs(
        self, request: api_pb2.FunctionPutInputsRequest, container: Container | None
    ) -> api_pb2.FunctionPutInputsResponse:
        call = self._queue.call(request.function_call_id)
        return api_pb2.FunctionPutInputsResponse(
            inputs=_answers([self._queue.add(call, item.input, item.idx) for item in request.inputs])
        )

    async def FunctionFinishInputs(
        self, request: api_pb2.FunctionFinishInputsRequest, container: Container | None
    ) -> Empty:
        self._queue.call(request.function_call_id)
        return Empty()

    async def FunctionGetOutputs(
        self, request: api_pb2.FunctionGetOutputsRequest, container: Container | None
    ) -> api_pb2.FunctionGetOutputsResponse:
        call = self._queue.call(request.function_call_id)
        deadline = time.monotonic() + request.timeout
        seen = int((request.last_entry_id or "0").split("-")[0])
        while True:
            found = call.outputs[seen:]
            if request.HasField("start_idx"):
                found = [output for output in found if request.start_idx <= output.idx <= request.end_idx]
            if found or time.monotonic() >= deadline:
                return api_pb2.FunctionGetOutputsResponse(
                    outputs=found,
                    idxs=[output.idx for output in found],
                    last_entry_id=f"{len(call.outputs)}-0",
                    num_unfinished_inputs=call.unfinished,
                )
            await call.changed.wait(deadline - time.monotonic())

    async def FunctionCallFromId(
        self, request: api_pb2.FunctionCallFromIdRequest, container: Container | None
    ) -> api_pb2.FunctionCallFromIdResponse:
        call = self._queue.call(request.function_call_id)
        metadata = api_pb2.FunctionCallHandleMetadata(app_id=call.function.app.id, function_id=call.function.id)
        return api_pb2.FunctionCallFromIdResponse(
            function_call_id=call.id, num_inputs=len(call.inputs), metadata=metadata
        )

    async def FunctionCallCancel(
        self, request: api_pb2.FunctionCallCancelRequest, container: Container | None
    ) -> Empty:
        self._queue.cancel(self._queue.call(request.function_call_id), request.terminate_containers)
        return Empty()

    async def FunctionCallGetDataIn(
        self, request: api_pb2.FunctionCallGetDataRequest, container: Container | None
    ) -> AsyncIterator[api_pb2.DataChunk]:
        call = self._queue.call(request.function_call_id)
        async for chunk in self._stream(call, call.data_in, request.last_index):
            yield chunk

    async def FunctionCallGetDataOut(
        self, request: api_pb2.FunctionCallGetDataRequest, container: Container | None
    ) -> AsyncIterator[api_pb2.DataChunk]:
        call = self._queue.call(request.function_call_id)
        async for chunk in self._stream(call, call.data_out, request.last_index):
            yield chunk

    async def _stream(
        self, call: Call, chunks: list[api_pb2.DataChunk], position: int
    ) -> AsyncIterator[api_pb2.DataChunk]:
        while True:
            while position < len(chunks):
                yield chunks[position]
                position += 1
            if call.inputs and not call.unfinished:
                return
            await call.changed.wait(10.0)

    async def FunctionCallPutDataOut(
        self, request: api_pb2.FunctionCallPutDataRequest, container: Container | None
    ) -> Empty:
        call = self._queue.call(request.function_call_id)
        for chunk in request.data_chunks:
            if chunk.index == len(call.data_out) + 1:  # a retried generator starts at 1 again
                call.data_out.append(chunk)
        call.changed.notify()
        return Empty()
