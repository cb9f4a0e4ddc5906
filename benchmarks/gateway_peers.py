"""What stands before the engine in `benchmarks.gateway`, and the engine itself.

python -m benchmarks.gateway_peers engine|pass-through --port PORT [--upstream PORT]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import yaml
from aiohttp import web

ENGINE_SECONDS = 0.002
"""How long the engine thinks before its answer, and between two pieces of a stream."""

TEXT = "I am sorry to hear that. Please tell me the number of your parcel, and I will look where it is."


def engine_app() -> web.Application:
    """Return an engine that says the same to everybody, in OpenAI's shape."""
    message = {"role": "assistant", "content": TEXT}
    whole = {
        "id": "chatcmpl-0",
        "object": "chat.completion",
        "created": 0,
        "model": "m1",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 20, "total_tokens": 30},
    }
    pieces = [_piece({"content": f"{word} "}) for word in TEXT.split()] + [_piece({}, "stop")]

    async def chat(request: web.Request) -> web.StreamResponse:
        asked = await request.json()
        await asyncio.sleep(ENGINE_SECONDS)
        if not asked.get("stream"):
            return web.json_response(whole)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for piece in pieces:
            await response.write(piece)
            await asyncio.sleep(ENGINE_SECONDS)
        await response.write(b"data: [DONE]\n\n")
        return response

    app = web.Application()
    app.router.add_post("/v1/chat/completions", chat)
    return app


def _piece(delta: dict[str, str], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    found = {
        "id": "chatcmpl-0",
        "object": "chat.completion.chunk",
        "created": 0,
        "model": "m1",
        "choices": [choice],
    }
    return f"data: {json.dumps(found)}\n\n".encode()


def pass_through_app(upstream: int) -> web.Application:
    """Return the least that a proxy can do: bytes in, bytes out, no look at either."""
    client = web.AppKey("client", aiohttp.ClientSession)

    async def live(app: web.Application) -> Any:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as made:
            app[client] = made
            yield

    async def chat(request: web.Request) -> web.StreamResponse:
        body = await request.read()
        headers = {"Content-Type": "application/json"}
        url = f"http://127.0.0.1:{upstream}/v1/chat/completions"
        async with request.app[client].post(url, data=body, headers=headers) as answer:
            if answer.content_type != "text/event-stream":
                return web.Response(body=await answer.read(), status=answer.status, content_type=answer.content_type)
            response = web.StreamResponse(status=answer.status, headers={"Content-Type": "text/event-stream"})
            await response.prepare(request)
            async for piece in answer.content.iter_any():
                await response.write(piece)
            return response

    app = web.Application()
    app.cleanup_ctx.append(live)
    app.router.add_post("/v1/chat/completions", chat)
    return app


def _pass_through(_place: Path, upstream: int) -> list[str]:
    return [sys.executable, "-m", "benchmarks.gateway_peers", "pass-through", "--upstream", str(upstream)]


def _gateway(place: Path, upstream: int) -> list[str]:
    """Have a rollout that goes on and on at one half, and keep what is said."""
    config = {
        "engines": {"one": {"base_url": f"http://127.0.0.1:{upstream}/v1"}},
        "versions": {f"triage@{number}": {"engines": {"one": f"m{number}"}} for number in (1, 2)},
        "models": {
            "triage": {
                "champion": "triage@1",
                "candidate": "triage@2",
                "policy": {"steps": [50, 100], "minimum_requests": 10**9},
            }
        },
        "capture": {"text": True},
    }
    (place / "gateway.yaml").write_text(yaml.safe_dump(config))
    return [sys.executable, "-m", "local_runner.main", "gateway", str(place / "gateway.yaml"), "-w", str(place / "w")]


def _litellm(place: Path, upstream: int, python: str = sys.executable) -> list[str]:
    key = "hone_0123456789abcdef0123456789abcdef"
    models = [
        {
            "model_name": "triage",
            "litellm_params": {
                "model": f"openai/m{number}",
                "api_base": f"http://127.0.0.1:{upstream}/v1",
                "api_key": "none",
                "weight": 1,
            },
        }
        for number in (1, 2)
    ]
    config = {"model_list": models, "general_settings": {"master_key": key}, "litellm_settings": {"telemetry": False}}
    (place / "litellm.yaml").write_text(yaml.safe_dump(config))
    command = str(Path(python).parent / "litellm")
    return [command, "--config", str(place / "litellm.yaml"), "--host", "127.0.0.1", "--num_workers", "1"]


PEERS: dict[str, Callable[..., list[str]]] = {"pass-through": _pass_through, "gateway": _gateway, "litellm": _litellm}
"""The command of each but its port, from a folder of its own and the engine's port."""


def main() -> None:
    """Answer until terminated."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["engine", "pass-through"])
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--upstream", type=int, default=0)
    arguments = parser.parse_args()
    app = engine_app() if arguments.what == "engine" else pass_through_app(arguments.upstream)
    web.run_app(app, host="127.0.0.1", port=arguments.port, access_log=None, print=None)


if __name__ == "__main__":
    main()
