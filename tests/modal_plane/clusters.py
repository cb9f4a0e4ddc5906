"""Clustered functions: every input goes to all containers of a cluster, and rank 0's output is the result.

A cluster takes one input and ends. All its containers are on this machine, so every address in it is loopback's.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from modal_proto import api_pb2

from .ids import Changed, conflict, new_id
from .pools import POLL, Pool

if TYPE_CHECKING:
    from .calls import Input
    from .cloud import Cloud
    from .containers import Container


class Cluster:
    """Containers that are started, and end, together; a container's rank is its place."""

    def __init__(self) -> None:
        self.id = new_id("cu")
        self.containers: list[Container] = []
        self.present: set[str] = set()
        self.answered: set[str] = set()
        self.input: Input | None = None
        self.over = False
        self.changed = Changed()

    def rank(self, container: Container) -> int:
        return self.containers.index(container)


class ClusterPool(Pool):
    """The clusters of one function."""

    def __init__(self, cloud: Cloud, function: object) -> None:
        super().__init__(cloud, function)  # type: ignore[arg-type]
        self.clusters: dict[str, Cluster] = {}

    def scale(self) -> None:
        """Start a cluster for each waiting input that has none, as far as max_containers allows."""
        size = self.function.nodes
        live = {one.id: self.clusters[one.id] for one in self.live}
        gangs = {gang.id: gang for gang in live.values() if not gang.over}
        free = sum(gang.input is None for gang in gangs.values())
        most = max((self.function.max_containers or size) // size, 1)
        while not self.closed and len(self.pending) > free and len(gangs) < most:
            gang = Cluster()
            for _ in range(size):
                container = self._cloud.start_container(self)
                self.containers.append(container)
                gang.containers.append(container)
                self.clusters[container.id] = gang
            gangs[gang.id] = gang
            free += 1

    async def take(self, container: Container, batch: int, linger: float) -> list[Input] | None:
        """Give each container of a cluster the same input once; None tells it to end."""
        gang, until = self.clusters[container.id], time.monotonic() + POLL
        while time.monotonic() < until:
            if gang.over or self.closed or container.stopping:
                return None
            if gang.input is None and self.pending:
                gang.input = self.pending.popleft()
                self.changed.notify()
            if gang.input is not None and not container.served:
                container.served = True
                self._begin(gang.input, container)
                return [gang.input]
            await self.changed.wait(0.5)
        return []

    def counts(self, container: Container, result: api_pb2.GenericResult) -> bool:
        """Return whether an output is the call's: rank 0's, or another's failure; with it the cluster is over."""
        gang = self.clusters[container.id]
        success = result.status == api_pb2.GenericResult.GENERIC_STATUS_SUCCESS
        if gang.rank(container) != 0 and success:
            gang.answered.add(container.id)
            return False
        gang.over = True
        if not success:
            self._kill_others(gang, container)
        return True

    def _kill_others(self, gang: Cluster, container: Container) -> None:
        for other in gang.containers:
            if other is not container:
                other.running.clear()
                other.kill(preempted=False)

    def container_ended(self, container: Container, killed: bool, reason: str) -> None:
        """A cluster that loses a container which has not answered is lost; its input may be tried again."""
        gang = self.clusters[container.id]
        if not gang.over and container.id not in gang.answered:
            gang.over = True
            self._kill_others(gang, container)
            if gang.input is not None and not gang.input.finished:
                container.running[gang.input.id] = gang.input  # even where another container alone had taken it
        super().container_ended(container, killed, reason)


class ClusterCalls:
    """How the containers of a cluster find each other."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    def _cluster(self, container: Container | None) -> Cluster:
        if container is None or not isinstance(container.pool, ClusterPool):
            raise conflict("only a container of a cluster may call this")
        return container.pool.clusters[container.id]

    async def TaskClusterHello(
        self, request: api_pb2.TaskClusterHelloRequest, container: Container | None
    ) -> api_pb2.TaskClusterHelloResponse:
        gang = self._cluster(container)
        assert container is not None
        gang.present.add(container.id)
        gang.changed.notify()
        while len(gang.present) < len(gang.containers):
            await gang.changed.wait(1.0)
        size = len(gang.containers)
        return api_pb2.TaskClusterHelloResponse(
            cluster_id=gang.id,
            cluster_rank=gang.rank(container),
            container_ips=["::1"] * size,
            container_ipv4_ips=["127.0.0.1"] * size,
        )

    async def ClusterGet(
        self, request: api_pb2.ClusterGetRequest, container: Container | None
    ) -> api_pb2.ClusterGetResponse:
        gang = self._cluster(container)
        stats = api_pb2.ClusterStats(cluster_id=gang.id, task_ids=[one.id for one in gang.containers])
        return api_pb2.ClusterGetResponse(cluster=stats)
