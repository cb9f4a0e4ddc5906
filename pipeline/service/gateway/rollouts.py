"""`/v1/rollouts`: begin one, look at its readings and events, give its traffic back."""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import web

from pipeline.service.gateway.access import Access
from pipeline.service.gateway.catalogue import Catalogue
from pipeline.service.gateway.director import Director, Running
from pipeline.service.gateway.opening import refused_by_gate
from pipeline.service.gateway.recorder import Recorder
from pipeline.service.gateway.refused import Refused
from pipeline.service.gateway.remarks import parsed, said
from pipeline.service.gateway.store import GatewayStore
from schemas.api import Page
from schemas.rollout import CancelRequest, RolloutObject, RolloutRequest


class Rollouts:
    """The routes; they need the scope ``admin``.

    Args:
        access: tells who asks.
        store: has rollouts and events.
        recorder: has those that are not written yet.
        director: begins and ends them.
        catalogue: knows what the gate said.
    """

    def __init__(
        self, access: Access, store: GatewayStore, recorder: Recorder, director: Director, catalogue: Catalogue
    ) -> None:
        self._access = access
        self._store = store
        self._recorder = recorder
        self._director = director
        self._catalogue = catalogue

    def add_to(self, app: web.Application, answered: Any) -> None:
        """Add the routes to an application."""
        app.router.add_post("/v1/rollouts", answered(self.start))
        app.router.add_get("/v1/rollouts", answered(self.list))
        app.router.add_get("/v1/rollouts/{rollout}", answered(self.retrieve))
        app.router.add_post("/v1/rollouts/{rollout}/cancel", answered(self.cancel))

    async def start(self, request: web.Request) -> web.StreamResponse:
        """Begin a rollout."""
        await self._allowed(request)
        asked = await parsed(request, RolloutRequest)
        if await asyncio.to_thread(refused_by_gate, self._catalogue, asked.candidate):
            raise Refused(409, f"The gate refused {asked.candidate}", code="gate", param="candidate")
        return said(await self._shown(self._director.start(asked.name, asked.candidate, asked.policy)))

    async def list(self, request: web.Request) -> web.StreamResponse:
        """List the last 200, the newest first."""
        await self._allowed(request)
        await self._recorder.flush()
        found = await asyncio.to_thread(self._store.rollouts, request.query.get("name"))
        shown = tuple([await self._shown(running) for running in found])
        first, last = (shown[0].id, shown[-1].id) if shown else (None, None)
        return said(Page[RolloutObject](data=shown, has_more=False, first_id=first, last_id=last))

    async def retrieve(self, request: web.Request) -> web.StreamResponse:
        """Show one."""
        await self._allowed(request)
        name = request.match_info["rollout"]
        running = self._director.find(name)
        if running is None:
            stored = await asyncio.to_thread(self._store.rollouts)
            running = next((found for found in stored if found.id == name), None)
        if running is None:
            raise Refused(404, f"No such rollout: {name[:100]}", code="not_found")
        return said(await self._shown(running))

    async def cancel(self, request: web.Request) -> web.StreamResponse:
        """Give all traffic back to the champion."""
        await self._allowed(request)
        asked = await parsed(request, CancelRequest)
        return said(await self._shown(self._director.cancel(request.match_info["rollout"], asked.reason)))

    async def _allowed(self, request: web.Request) -> None:
        await self._access.caller(request, "admin")

    async def _shown(self, running: Running) -> RolloutObject:
        await self._recorder.flush()
        events = await asyncio.to_thread(self._store.events, running.id)
        state = running.state
        return RolloutObject(
            id=running.id,
            name=running.name,
            champion=running.champion,
            candidate=running.candidate,
            created=running.began,
            status=state.status,
            percent=state.percent,
            policy=state.policy,
            readings=state.readings(),
            events=events,
        )
