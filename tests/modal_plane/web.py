"""HTTP addresses of web functions and servers: one port of loopback for each.

A request to a web function becomes an input whose argument is the ASGI scope; its body goes through the call's data
in, the answer comes through its data out. A request to a server is passed to the port that its container listens on.
"""

from __future__ import annotations

import asyncio
import pickle
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING

import aiohttp
from aiohttp import web
from modal_proto import api_pb2

from .calls import Call

if TYPE_CHECKING:
    from .apps import App
    from .cloud import Cloud
    from .containers import Container
    from .functions import Function

PROXY_KEY, PROXY_SECRET = "wk-loopback", "ws-loopback"
"""The proxy auth token: what Modal-Key and Modal-Secret must be."""
_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "upgrade", "host", "content-length", "te", "trailer"}
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def _authorized(request: web.Request) -> bool:
    given = request.headers.get("Modal-Key", ""), request.headers.get("Modal-Secret", "")
    return secrets.compare_digest(":".join(given), f"{PROXY_KEY}:{PROXY_SECRET}")


class WebFront:
    """Opens, routes and closes the addresses."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._sites: dict[tuple[str, str], web.AppRunner] = {}
        self._session: aiohttp.ClientSession | None = None

    async def open(self, function: Function) -> None:
        """Give a function its addresses, the same ones when it is declared again."""
        faces: dict[str, Handler] = {}
        for method, config in function.webhooks.items():
            faces[method] = self._asgi_handler(function, method, config.requires_proxy_auth)
        if function.definition.is_server:
            faces[""] = self._server_handler(function)
        for method, handler in faces.items():
            if (function.id, method) not in self._sites:
                function.urls[method] = await self._listen((function.id, method), handler)
            if method:
                function.definition.method_definitions[method].web_url = function.urls[method]
            else:
                function.definition.web_url = function.urls[method]

    async def _listen(self, key: tuple[str, str], handler: Handler) -> str:
        app = web.Application(client_max_size=2**30)
        app.router.add_route("*", "/{path:.*}", handler)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self._sites[key] = runner
        return f"http://127.0.0.1:{runner.addresses[0][1]}"

    async def close(self, app: App | None = None) -> None:
        """Close the addresses of an app, or all."""
        for key in list(self._sites):
            if app is None or self._cloud.functions_by_id[key[0]].app is app:
                await self._sites.pop(key).cleanup()
        if app is None and self._session is not None:
            await self._session.close()

    def _asgi_handler(self, function: Function, method: str, guarded: bool) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            if guarded and not _authorized(request):
                return web.Response(status=401, text="modal-http: missing credentials for proxy authorization")
            if not function.app.function_ids:
                return web.Response(status=404, text="modal-http: app for invoked web endpoint is stopped")
            call = self._cloud.calls.open(
                function, api_pb2.FUNCTION_CALL_TYPE_UNARY, api_pb2.FUNCTION_CALL_INVOCATION_TYPE_SYNC
            )
            body = api_pb2.Asgi(http_request=api_pb2.Asgi.HttpRequest(body=await request.read()))
            call.data_in.append(
                api_pb2.DataChunk(data_format=api_pb2.DATA_FORMAT_ASGI, data=body.SerializeToString(), index=1)
            )
            argument = api_pb2.FunctionInput(
                args=pickle.dumps(((_scope(request),), {})), data_format=api_pb2.DATA_FORMAT_PICKLE, method_name=method
            )
            self._cloud.calls.add(call, argument, 0)
            return await self._answer(request, call)

        return handle

    async def _answer(self, request: web.Request, call: Call) -> web.StreamResponse:
        """Turn the ASGI messages of a call's data out into a response."""
        response: web.StreamResponse | None = None
        async for message in self._messages(call):
            kind = message.WhichOneof("type")
            if kind == "http_response_start":
                response = web.StreamResponse(status=message.http_response_start.status)
                pairs = list(message.http_response_start.headers)
                for name, value in zip(pairs[::2], pairs[1::2], strict=True):
                    if name.decode().lower() != "transfer-encoding":
                        response.headers.add(name.decode(), value.decode())
                await response.prepare(request)
            elif kind == "http_response_body" and response is not None:
                if message.http_response_body.body:
                    await response.write(message.http_response_body.body)
                if not message.http_response_body.more_body:
                    break
        if response is None:
            result = call.outputs[0].result if call.outputs else None
            reason = result.exception if result else "no answer"
            return web.Response(status=500, text=f"modal-http: internal error: {reason}")
        await response.write_eof()
        return response

    async def _messages(self, call: Call) -> AsyncIterator[api_pb2.Asgi]:
        position = 0
        while True:
            while position < len(call.data_out):
                chunk = call.data_out[position]
                position += 1
                blob = chunk.data_blob_id
                yield api_pb2.Asgi.FromString(self._cloud.content.blob(blob).read_bytes() if blob else chunk.data)
            if not call.unfinished:
                return
            await call.changed.wait(10.0)

    def _server_handler(self, function: Function) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            if not function.definition.http_config.unauthenticated and not _authorized(request):
                return web.Response(status=401, text="modal-http: missing credentials for proxy authorization")
            pool = self._cloud.pool(function)
            pool.requests += 1
            try:
                container = await self._ready(function)
                if container is None:
                    return web.Response(status=503, text="modal-http: no container became ready")
                container.open_requests += 1
                try:
                    return await self._pass_on(request, function.definition.http_config.port)
                finally:
                    container.open_requests -= 1
                    pool.changed.notify()
            finally:
                pool.requests -= 1
                pool.last_request = time.monotonic()

        return handle

    async def _ready(self, function: Function) -> Container | None:
        """Wait for a container that takes requests; None where it failed to start or took too long."""
        pool = self._cloud.pool(function)
        deadline = time.monotonic() + function.startup_timeout
        while time.monotonic() < deadline and not pool.closed:
            started = [one for one in pool.live if one.usable and one.generation == function.generation]
            for one in started:
                if one.ready:
                    return one
            if not started:
                pool.scale()
            before = len(pool.containers)
            await pool.changed.wait(deadline - time.monotonic())
            ended = [one for one in pool.containers[:before] if one.ended and not one.ready and one in started]
            if ended:
                return None
        return None

    async def _pass_on(self, request: web.Request, port: int) -> web.StreamResponse:
        self._session = self._session or aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=None), auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar()
        )
        headers = [(name, value) for name, value in request.headers.items() if name.lower() not in _HOP_BY_HOP]
        url = f"http://127.0.0.1:{port}{request.path_qs}"
        try:
            async with self._session.request(
                request.method, url, headers=headers, data=await request.read() or None, allow_redirects=False
            ) as upstream:
                response = web.StreamResponse(status=upstream.status)
                for name, value in upstream.headers.items():
                    if name.lower() not in _HOP_BY_HOP:
                        response.headers.add(name, value)
                await response.prepare(request)
                async for piece in upstream.content.iter_any():
                    await response.write(piece)
                await response.write_eof()
                return response
        except aiohttp.ClientConnectionError as error:
            return web.Response(status=502, text=f"modal-http: the server did not answer: {error}")


def _scope(request: web.Request) -> dict[str, object]:
    peer = request.transport.get_extra_info("peername") if request.transport else None
    return {
        "type": "http",
        "http_version": "1.1",
        "method": request.method,
        "scheme": "http",
        "path": request.path,
        "query_string": request.query_string.encode(),
        "headers": [(name.lower().encode(), value.encode()) for name, value in request.headers.items()],
        "client": (peer[0], peer[1]) if peer else None,
        "extensions": {},
    }


async def watch_idle_servers(cloud: Cloud) -> None:
    """End the containers of servers that had no request for their scaledown window."""
    while True:
        await asyncio.sleep(0.5)
        for pool in list(cloud.pools.values()):
            if not pool.function.definition.is_server or pool.requests:
                continue
            window = min(pool.function.scaledown_window or 60, cloud.options.idle_seconds)
            idle = time.monotonic() - pool.last_request > window
            for one in pool.live:
                old = one.generation != pool.function.generation
                spare = idle and one.ready and len(pool.live) > pool.function.min_containers
                if not one.stopping and (old or spare):
                    one.stop(cloud.options.stop_grace)
