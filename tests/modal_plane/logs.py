"""The output of an app's containers, kept in order and streamed to whoever follows it."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from google.protobuf.timestamp_pb2 import Timestamp
from modal_proto import api_pb2

from .ids import Changed, not_found

if TYPE_CHECKING:
    from .cloud import Cloud
    from .containers import Container


class LogStream:
    """One app's log: batches of one item, with ids that a reader continues from."""

    def __init__(self) -> None:
        self.batches: list[api_pb2.TaskLogsBatch] = []
        self.done = False
        self.changed = Changed()

    def write(
        self,
        text: str,
        *,
        function_id: str = "",
        task_id: str = "",
        call_id: str = "",
        descriptor: int = api_pb2.FILE_DESCRIPTOR_INFO,
    ) -> None:
        now = time.time()
        item = api_pb2.TaskLogs(
            data=text,
            timestamp=now,
            timestamp_ns=int(now * 1e9),
            file_descriptor=descriptor,  # type: ignore[arg-type]
            function_call_id=call_id,
        )
        self.batches.append(
            api_pb2.TaskLogsBatch(
                task_id=task_id,
                function_id=function_id,
                root_function_id=function_id,
                items=[item],
                entry_id=f"{len(self.batches) + 1}-0",
            )
        )
        self.changed.notify()

    def finish(self) -> None:
        """Say that nothing more will be written."""
        self.done = True
        self.changed.notify()

    @property
    def text(self) -> str:
        return "".join(item.data for batch in self.batches for item in batch.items)


def _wanted(batch: api_pb2.TaskLogsBatch, request: api_pb2.AppGetLogsRequest | api_pb2.AppFetchLogsRequest) -> bool:
    item = batch.items[0]
    descriptor = getattr(request, "file_descriptor", 0) or getattr(request, "source", 0)
    return (
        request.task_id in ("", batch.task_id)
        and request.function_id in ("", batch.function_id)
        and request.function_call_id in ("", item.function_call_id)
        and descriptor in (api_pb2.FILE_DESCRIPTOR_UNSPECIFIED, item.file_descriptor)
        and request.search_text in item.data
    )


class LogCalls:
    """AppGetLogs (following) and AppFetchLogs (a time range)."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    def _stream(self, app_id: str, task_id: str) -> LogStream:
        if not app_id and task_id in self._cloud.containers:
            app_id = self._cloud.containers[task_id].function.app.id
        if app_id not in self._cloud.apps:
            raise not_found(f"No App with ID {app_id!r}")
        return self._cloud.apps[app_id].logs

    async def AppGetLogs(
        self, request: api_pb2.AppGetLogsRequest, container: Container | None
    ) -> AsyncIterator[api_pb2.TaskLogsBatch]:
        stream = self._stream(request.app_id, request.task_id)
        position = int(request.last_entry_id.split("-")[0] or 0) if request.last_entry_id else 0
        deadline = time.monotonic() + request.timeout
        while True:
            while position < len(stream.batches):
                batch = stream.batches[position]
                position += 1
                if _wanted(batch, request):
                    yield batch
            if stream.done:
                yield api_pb2.TaskLogsBatch(app_done=True)
                return
            if time.monotonic() >= deadline:
                return
            await stream.changed.wait(deadline - time.monotonic())

    async def AppFetchLogs(
        self, request: api_pb2.AppFetchLogsRequest, container: Container | None
    ) -> api_pb2.AppFetchLogsResponse:
        def seconds(stamp: Timestamp) -> float:
            return float(stamp.seconds) + float(stamp.nanos) / 1e9

        stream = self._stream(request.app_id, request.task_id)
        since, until = seconds(request.since), seconds(request.until) or time.time()
        found = [
            batch for batch in stream.batches if since <= batch.items[0].timestamp <= until and _wanted(batch, request)
        ]
        return api_pb2.AppFetchLogsResponse(batches=found[-(request.limit or len(found)) :])
