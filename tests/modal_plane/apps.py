"""Apps: ephemeral, detached and deployed ones, and how each of them ends."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from google.protobuf.empty_pb2 import Empty
from modal_proto import api_pb2

from .ids import conflict, new_id
from .logs import LogStream

if TYPE_CHECKING:
    from .cloud import Cloud
    from .containers import Container
    from .functions import Function

_ENDED = (api_pb2.APP_STATE_STOPPING, api_pb2.APP_STATE_STOPPED)


@dataclass(eq=False)
class App:
    """One app and its state."""

    id: str
    name: str
    state: int
    cloud: Cloud = field(repr=False)
    created_at: float = field(default_factory=time.time)
    stopped_at: float = 0.0
    deployed_at: float = 0.0
    version: int = 0
    heard_of: float = field(default_factory=time.monotonic)
    tags: dict[str, str] = field(default_factory=dict)
    function_ids: dict[str, str] = field(default_factory=dict)
    class_ids: dict[str, str] = field(default_factory=dict)
    logs: LogStream = field(default_factory=LogStream, repr=False)

    @property
    def functions(self) -> dict[str, Function]:
        """What was published, by name; a class is its service, without the ``.*`` of its tag."""
        return {tag.removesuffix(".*"): self.cloud.functions_by_id[one] for tag, one in self.function_ids.items()}

    @property
    def stopped(self) -> bool:
        return self.state == api_pb2.APP_STATE_STOPPED

    @property
    def lifecycle(self) -> api_pb2.AppLifecycle:
        return api_pb2.AppLifecycle(
            app_state=self.state,  # type: ignore[arg-type]
            created_at=self.created_at,
            deployed_at=self.deployed_at,
            stopped_at=self.stopped_at,
            version=self.version,
        )


class AppCalls:
    """Creation, publication, heartbeats and the end of apps."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._stopping: set[asyncio.Task[None]] = set()

    def check_running(self, app: App) -> None:
        if app.state in _ENDED:
            raise conflict(f"App {app.id} ({app.name}) is stopped")

    def _create(self, name: str, state: int) -> App:
        app = App(new_id("ap"), name, state, self._cloud)
        self._cloud.apps[app.id] = app
        return app

    async def AppCreate(
        self, request: api_pb2.AppCreateRequest, container: Container | None
    ) -> api_pb2.AppCreateResponse:
        app = self._create(request.description, request.app_state)
        page = f"{self._cloud.http_url}/apps/{app.id}"
        return api_pb2.AppCreateResponse(app_id=app.id, app_page_url=page, app_logs_url=page)

    async def AppGetOrCreate(
        self, request: api_pb2.AppGetOrCreateRequest, container: Container | None
    ) -> api_pb2.AppGetOrCreateResponse:
        app = self._cloud.deployed(request.app_name)
        if app is None and request.object_creation_type == api_pb2.OBJECT_CREATION_TYPE_UNSPECIFIED:
            from .ids import not_found

            raise not_found(f"App {request.app_name!r} not found in environment 'main'")
        app = app or self._create(request.app_name, api_pb2.APP_STATE_DEPLOYED)
        metadata = api_pb2.AppHandleMetadata(description=app.name, app_id=app.id, lifecycle=app.lifecycle)
        return api_pb2.AppGetOrCreateResponse(app_id=app.id, handle_metadata=metadata)

    async def AppGetByDeploymentName(
        self, request: api_pb2.AppGetByDeploymentNameRequest, container: Container | None
    ) -> api_pb2.AppGetByDeploymentNameResponse:
        app = self._cloud.deployed(request.name)
        earlier = [one for one in self._cloud.apps.values() if one.name == request.name and one.deployed_at]
        return api_pb2.AppGetByDeploymentNameResponse(
            app_id=app.id if app else "",
            previous_app_id=earlier[-1].id if earlier and not app else "",
            environment_name="main",
            lifecycle=app.lifecycle if app else earlier[-1].lifecycle if earlier else None,
        )

    async def AppGetLayout(
        self, request: api_pb2.AppGetLayoutRequest, container: Container | None
    ) -> api_pb2.AppGetLayoutResponse:
        from .layout import app_layout

        return api_pb2.AppGetLayoutResponse(app_layout=app_layout(self._cloud, self._cloud.app(request.app_id)))

    async def AppPublish(
        self, request: api_pb2.AppPublishRequest, container: Container | None
    ) -> api_pb2.AppPublishResponse:
        app = self._cloud.app(request.app_id)
        before = set(app.function_ids.values())
        app.function_ids, app.class_ids = dict(request.function_ids), dict(request.class_ids)
        app.tags = dict(request.tags)
        if request.app_state:
            app.state = request.app_state
        if app.state == api_pb2.APP_STATE_DEPLOYED:
            app.name, app.deployed_at, app.version = request.name or app.name, time.time(), app.version + 1
        for function_id in before - set(app.function_ids.values()):
            self._cloud.pool(self._cloud.function(function_id)).close()
        for function_id in app.function_ids.values():
            pool = self._cloud.pool(self._cloud.function(function_id))
            pool.closed = False
            pool.changed.notify()
            pool.scale()
        return api_pb2.AppPublishResponse(url=f"{self._cloud.http_url}/apps/{app.id}", deployed_at=app.deployed_at)

    async def AppHeartbeat(self, request: api_pb2.AppHeartbeatRequest, container: Container | None) -> Empty:
        self._cloud.app(request.app_id).heard_of = time.monotonic()
        return Empty()

    async def AppClientDisconnect(
        self, request: api_pb2.AppClientDisconnectRequest, container: Container | None
    ) -> Empty:
        self._lose_client(self._cloud.app(request.app_id))
        return Empty()

    def _lose_client(self, app: App) -> None:
        if app.state == api_pb2.APP_STATE_DETACHED:
            app.state = api_pb2.APP_STATE_DETACHED_DISCONNECTED
            self.finish_if_done(app)
        elif app.state in (api_pb2.APP_STATE_EPHEMERAL, api_pb2.APP_STATE_INITIALIZING):
            self.stop(app)

    def lose_silent_clients(self, seconds: float) -> None:
        """Treat clients that sent no heartbeat for that long as gone."""
        for app in self._cloud.apps.values():
            if time.monotonic() - app.heard_of > seconds:
                self._lose_client(app)

    def finish_if_done(self, app: App) -> None:
        """Stop a detached app whose client has gone when its last call is finished."""
        if app.state == api_pb2.APP_STATE_DETACHED_DISCONNECTED:
            calls = self._cloud.calls.by_id.values()
            if not any(call.function.app is app and call.unfinished for call in calls):
                self.stop(app)

    async def AppStop(self, request: api_pb2.AppStopRequest, container: Container | None) -> Empty:
        app = self._cloud.app(request.app_id)
        self.check_running(app)
        self.stop(app)
        return Empty()

    def stop(self, app: App) -> None:
        """Cancel the app's calls and end its containers, in the background."""
        if app.state in _ENDED:
            return
        app.state = api_pb2.APP_STATE_STOPPING
        task = asyncio.get_running_loop().create_task(self._stop(app))
        self._stopping.add(task)
        task.add_done_callback(self._stopping.discard)

    async def _stop(self, app: App) -> None:
        for call in [call for call in self._cloud.calls.by_id.values() if call.function.app is app]:
            self._cloud.calls.cancel(call, terminate=False)
        ending = []
        for pool in [pool for pool in self._cloud.pools.values() if pool.function.app is app]:
            pool.close()
            ending.extend(pool.live)
        for container in ending:
            container.stop(self._cloud.options.stop_grace)
        if ending:
            await asyncio.wait([container.task for container in ending])
        app.state, app.stopped_at = api_pb2.APP_STATE_STOPPED, time.time()
        await self._cloud.web.close(app)
        app.logs.finish()

    async def AppList(self, request: api_pb2.AppListRequest, container: Container | None) -> api_pb2.AppListResponse:
        live = [one.function.app for one in self._cloud.containers.values() if not one.ended]
        items = [
            api_pb2.AppListResponse.AppListItem(
                app_id=app.id,
                description=app.name,
                name=app.name if app.deployed_at else "",
                state=app.state,  # type: ignore[arg-type]
                created_at=app.created_at,
                stopped_at=app.stopped_at,
                n_running_tasks=live.count(app),
                metadata=api_pb2.AppHandleMetadata(description=app.name, app_id=app.id, lifecycle=app.lifecycle),
            )
            for app in self._cloud.apps.values()
        ]
        return api_pb2.AppListResponse(apps=items)

    async def AppGetLifecycle(
        self, request: api_pb2.AppGetLifecycleRequest, container: Container | None
    ) -> api_pb2.AppGetLifecycleResponse:
        return api_pb2.AppGetLifecycleResponse(lifecycle=self._cloud.app(request.app_id).lifecycle)

    async def AppSetTags(self, request: api_pb2.AppSetTagsRequest, container: Container | None) -> Empty:
        self._cloud.app(request.app_id).tags = dict(request.tags)
        return Empty()

    async def AppGetTags(
        self, request: api_pb2.AppGetTagsRequest, container: Container | None
    ) -> api_pb2.AppGetTagsResponse:
        return api_pb2.AppGetTagsResponse(tags=self._cloud.app(request.app_id).tags)
