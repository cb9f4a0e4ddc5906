"""Dicts, whose entries expire, and Queues, which fill up."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from google.protobuf.empty_pb2 import Empty
from grpclib import GRPCError, Status
from modal_proto import api_pb2

from .ids import Changed, exists, new_id, not_found

if TYPE_CHECKING:
    from .cloud import Cloud
    from .containers import Container

MAX_PARTITION = 5_000
"""Items in one partition of a Queue."""


@dataclass
class Dict:
    """Entries with the time of their last use; one unused for ``seconds`` is gone."""

    id: str
    name: str
    seconds: float
    created_at: float = field(default_factory=time.time)
    _entries: dict[bytes, tuple[bytes, float]] = field(default_factory=dict, repr=False)

    def entries(self) -> dict[bytes, bytes]:
        now = time.monotonic()
        self._entries = {key: pair for key, pair in self._entries.items() if now - pair[1] < self.seconds}
        return {key: value for key, (value, _) in self._entries.items()}

    def get(self, key: bytes) -> bytes | None:
        value = self.entries().get(key)
        if value is not None:
            self.put(key, value)
        return value

    def put(self, key: bytes, value: bytes) -> None:
        self._entries[key] = value, time.monotonic()

    def pop(self, key: bytes) -> bytes | None:
        value = self.entries().get(key)
        self._entries.pop(key, None)
        return value

    def clear(self) -> None:
        self._entries.clear()


@dataclass
class Queue:
    """Items in order, by partition, numbered for readers that only look."""

    id: str
    name: str
    created_at: float = field(default_factory=time.time)
    partitions: dict[bytes, list[tuple[int, bytes]]] = field(default_factory=lambda: defaultdict(list), repr=False)
    changed: Changed = field(default_factory=Changed, repr=False)
    count: int = 0


def _info(created_at: float) -> api_pb2.CreationInfo:
    return api_pb2.CreationInfo(created_at=created_at, created_by="loopback")


def _check_creation(kind: int, found: bool, what: str) -> None:
    if found and kind == api_pb2.OBJECT_CREATION_TYPE_CREATE_FAIL_IF_EXISTS:
        raise exists(f"{what} already exists")
    if not found and kind == api_pb2.OBJECT_CREATION_TYPE_UNSPECIFIED:
        raise not_found(f"{what} not found in environment 'main'")


class DictCalls:
    """The calls on Dicts."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    def _dict(self, dict_id: str) -> Dict:
        if dict_id not in self._cloud.dicts:
            raise not_found(f"No Dict with ID {dict_id!r}")
        return self._cloud.dicts[dict_id]

    async def DictGetOrCreate(
        self, request: api_pb2.DictGetOrCreateRequest, container: Container | None
    ) -> api_pb2.DictGetOrCreateResponse:
        name = request.deployment_name
        found = next((one for one in self._cloud.dicts.values() if name and one.name == name), None)
        _check_creation(request.object_creation_type, found is not None, f"Dict {name!r}")
        if found is None:
            found = Dict(new_id("di"), name, self._cloud.options.dict_seconds)
            self._cloud.dicts[found.id] = found
            for entry in request.data:
                found.put(entry.key, entry.value)
        metadata = api_pb2.DictMetadata(name=found.name, creation_info=_info(found.created_at))
        return api_pb2.DictGetOrCreateResponse(dict_id=found.id, metadata=metadata)

    async def DictGetById(
        self, request: api_pb2.DictGetByIdRequest, container: Container | None
    ) -> api_pb2.DictGetByIdResponse:
        found = self._dict(request.dict_id)
        metadata = api_pb2.DictMetadata(name=found.name, creation_info=_info(found.created_at))
        return api_pb2.DictGetByIdResponse(dict_id=found.id, metadata=metadata)

    async def DictUpdate(
        self, request: api_pb2.DictUpdateRequest, container: Container | None
    ) -> api_pb2.DictUpdateResponse:
        one = self._dict(request.dict_id)
        there = one.entries()
        if request.if_not_exists and any(entry.key in there for entry in request.updates):
            return api_pb2.DictUpdateResponse(created=False)
        for entry in request.updates:
            one.put(entry.key, entry.value)
        return api_pb2.DictUpdateResponse(created=True)

    async def DictGet(self, request: api_pb2.DictGetRequest, container: Container | None) -> api_pb2.DictGetResponse:
        value = self._dict(request.dict_id).get(request.key)
        return api_pb2.DictGetResponse(found=value is not None, value=value)

    async def DictPop(self, request: api_pb2.DictPopRequest, container: Container | None) -> api_pb2.DictPopResponse:
        value = self._dict(request.dict_id).pop(request.key)
        return api_pb2.DictPopResponse(found=value is not None, value=value)

    async def DictContains(
        self, request: api_pb2.DictContainsRequest, container: Container | None
    ) -> api_pb2.DictContainsResponse:
        return api_pb2.DictContainsResponse(found=self._dict(request.dict_id).get(request.key) is not None)

    async def DictLen(self, request: api_pb2.DictLenRequest, container: Container | None) -> api_pb2.DictLenResponse:
        return api_pb2.DictLenResponse(len=len(self._dict(request.dict_id).entries()))

    async def DictContents(
        self, request: api_pb2.DictContentsRequest, container: Container | None
    ) -> AsyncIterator[api_pb2.DictEntry]:
        for key, value in self._dict(request.dict_id).entries().items():
            yield api_pb2.DictEntry(key=key, value=value if request.values else b"")

    async def DictClear(self, request: api_pb2.DictClearRequest, container: Container | None) -> Empty:
        self._dict(request.dict_id).clear()
        return Empty()

    async def DictDelete(self, request: api_pb2.DictDeleteRequest, container: Container | None) -> Empty:
        del self._cloud.dicts[self._dict(request.dict_id).id]
        return Empty()

    async def DictHeartbeat(self, request: api_pb2.DictHeartbeatRequest, container: Container | None) -> Empty:
        return Empty()


class QueueCalls:
    """The calls on Queues."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    def _queue(self, queue_id: str) -> Queue:
        if queue_id not in self._cloud.queues:
            raise not_found(f"No Queue with ID {queue_id!r}")
        return self._cloud.queues[queue_id]

    async def QueueGetOrCreate(
        self, request: api_pb2.QueueGetOrCreateRequest, container: Container | None
    ) -> api_pb2.QueueGetOrCreateResponse:
        name = request.deployment_name
        found = next((one for one in self._cloud.queues.values() if name and one.name == name), None)
        _check_creation(request.object_creation_type, found is not None, f"Queue {name!r}")
        if found is None:
            found = Queue(new_id("qu"), name)
            self._cloud.queues[found.id] = found
        metadata = api_pb2.QueueMetadata(name=found.name, creation_info=_info(found.created_at))
        return api_pb2.QueueGetOrCreateResponse(queue_id=found.id, metadata=metadata)

    async def QueueGetById(
        self, request: api_pb2.QueueGetByIdRequest, container: Container | None
    ) -> api_pb2.QueueGetByIdResponse:
        found = self._queue(request.queue_id)
        metadata = api_pb2.QueueMetadata(name=found.name, creation_info=_info(found.created_at))
        return api_pb2.QueueGetByIdResponse(queue_id=found.id, metadata=metadata)

    async def QueuePut(self, request: api_pb2.QueuePutRequest, container: Container | None) -> Empty:
        queue = self._queue(request.queue_id)
        items = queue.partitions[request.partition_key]
        if len(items) + len(request.values) > MAX_PARTITION:
            raise GRPCError(Status.RESOURCE_EXHAUSTED, f"the partition is full ({MAX_PARTITION} items)")
        for value in request.values:
            queue.count += 1
            items.append((queue.count, value))
        queue.changed.notify()
        return Empty()

    async def QueueGet(self, request: api_pb2.QueueGetRequest, container: Container | None) -> api_pb2.QueueGetResponse:
        queue = self._queue(request.queue_id)
        items = queue.partitions[request.partition_key]
        deadline = time.monotonic() + request.timeout
        while not items and time.monotonic() < deadline:
            await queue.changed.wait(deadline - time.monotonic())
        taken = items[: request.n_values]
        del items[: request.n_values]
        return api_pb2.QueueGetResponse(values=[value for _, value in taken])

    async def QueueNextItems(
        self, request: api_pb2.QueueNextItemsRequest, container: Container | None
    ) -> api_pb2.QueueNextItemsResponse:
        queue, after = self._queue(request.queue_id), int(request.last_entry_id or 0)
        deadline = time.monotonic() + request.item_poll_timeout
        while True:
            found = [(number, value) for number, value in queue.partitions[request.partition_key] if number > after]
            if found or time.monotonic() >= deadline:
                items = [api_pb2.QueueItem(value=value, entry_id=str(number)) for number, value in found]
                return api_pb2.QueueNextItemsResponse(items=items)
            await queue.changed.wait(deadline - time.monotonic())

    async def QueueLen(self, request: api_pb2.QueueLenRequest, container: Container | None) -> api_pb2.QueueLenResponse:
        partitions = self._queue(request.queue_id).partitions
        total = sum(map(len, partitions.values()))
        return api_pb2.QueueLenResponse(len=total if request.total else len(partitions[request.partition_key]))

    async def QueueClear(self, request: api_pb2.QueueClearRequest, container: Container | None) -> Empty:
        partitions = self._queue(request.queue_id).partitions
        for key in list(partitions) if request.all_partitions else [request.partition_key]:
            partitions[key].clear()
        return Empty()

    async def QueueDelete(self, request: api_pb2.QueueDeleteRequest, container: Container | None) -> Empty:
        del self._cloud.queues[self._queue(request.queue_id).id]
        return Empty()

    async def QueueHeartbeat(self, request: api_pb2.QueueHeartbeatRequest, container: Container | None) -> Empty:
        return Empty()
