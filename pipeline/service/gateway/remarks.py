"""`/v1/feedback`, and from an answer's id to its version, data and decision: `/v1/provenance/{id}`."""

from __future__ import annotations

import asyncio
import time
from typing import Any, TypeVar
from uuid import uuid4

from aiohttp import web
from pydantic import ValidationError

from pipeline.service.api.keys import Caller
from pipeline.service.gateway.access import Access
from pipeline.service.gateway.catalogue import Catalogue
from pipeline.service.gateway.director import Director
from pipeline.service.gateway.recorder import Recorder, redacted
from pipeline.service.gateway.refused import HEADERS, Refused
from pipeline.service.gateway.relay import read_body
from pipeline.service.gateway.store import GatewayStore
from schemas.base import Schema
from schemas.feedback import FeedbackObject, FeedbackRequest, Provenance

S = TypeVar("S", bound=Schema)

_SHOWN = 300


async def parsed(request: web.Request, schema: type[S]) -> S:
    """Return a body as what it should be.

    Raises:
        Refused: it is not; the first thing that does not fit is named.
    """
    try:
        return schema.model_validate(await read_body(request))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        message = str(first["msg"]).removeprefix("Value error, ")
        raise Refused(400, f"{place}: {message}"[:_SHOWN] if place else message, param=place[:_SHOWN] or None) from None


def said(answer: Schema, status: int = 200) -> web.Response:
    """Return an answer of the gateway's own."""
    return web.json_response(text=answer.model_dump_json(), status=status, headers=HEADERS)


class Remarks:
    """The routes.

    Args:
        access: tells who asks.
        store: has the answers.
        recorder: has those that are not written yet.
        director: takes scores.
        catalogue: knows versions.
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
        app.router.add_post("/v1/feedback", answered(self.feedback))
        app.router.add_get("/v1/provenance/{response_id}", answered(self.provenance))

    async def feedback(self, request: web.Request) -> web.StreamResponse:
        """Take a thumb, a score or a correction."""
        caller = await self._access.caller(request, "infer")
        given = await parsed(request, FeedbackRequest)
        answer = await self._find(given.response_id, caller)
        row = {
            "id": f"feedback-{uuid4().hex[:24]}",
            "answer": answer.id,
            "at": time.time(),
            "key": caller.id,
            "score": given.value,
            **redacted({"correction": given.correction, "comment": given.comment}),
        }
        is_first = await asyncio.to_thread(self._store.add_feedback, row)
        counted = is_first and answer.rollout is not None and answer.arm is not None and not answer.shadowed
        if counted and given.value is not None:
            self._director.rate(answer.rollout, answer.arm, given.value)
            await self._recorder.flush()
        return said(
            FeedbackObject(id=str(row["id"]), response_id=given.response_id, version=answer.version, counted=counted)
        )

    async def provenance(self, request: web.Request) -> web.StreamResponse:
        """Tell where an answer came from."""
        caller = await self._access.caller(request, "infer")
        response_id = request.match_info["response_id"]
        answer = await self._find(response_id, caller)
        return said(await asyncio.to_thread(self._trace, response_id, answer))

    def _trace(self, response_id: str, answer: Any) -> Provenance:
        rollout = answer.rollout
        return Provenance(
            response_id=response_id,
            request_id=answer.id,
            created=answer.at,
            version=answer.version,
            rollout=rollout,
            arm=answer.arm,
            status=answer.status,
            failed=answer.failed,
            first_byte_ms=answer.first_byte_ms,
            answer_ms=answer.answer_ms,
            feedback=self._store.scores(answer.id),
            registered=self._catalogue.facts(answer.version),
            decisions=() if rollout is None else self._store.events(rollout, until=answer.at),
        )

    async def _find(self, response_id: str, caller: Caller) -> Any:
        """Return the row of an answer that ``caller`` may know of.

        Raises:
            Refused: there is none, or it was given to another key; which of the two is not told.
        """
        await self._recorder.flush()
        answer = await asyncio.to_thread(self._store.answer, response_id)
        if answer is None or not (answer.key == caller.id or caller.may("admin")):
            raise Refused(404, f"No such response: {response_id[:_SHOWN]}", code="not_found", param="response_id")
        return answer
