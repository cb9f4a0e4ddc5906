"""The unmodified ``openai`` package before the gateway."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.service.gateway.engine import Engine, Model, engines, whole_gateway


def test_the_package_chats_streams_and_raises_its_own_errors(tmp_path: Path) -> None:
    import openai

    async def run() -> None:
        one = Engine({"m1": Model(), "m2": Model("a b c", breaks=True)})
        async with engines(one) as [server]:
            config = {
                "engines": {"one": {"base_url": f"http://127.0.0.1:{server.port}/v1"}},
                "versions": {f"triage@{number}": {"engines": {"one": f"m{number}"}} for number in (1, 2)},
                "models": {"triage": {"champion": "triage@1"}},
            }
            async with whole_gateway(tmp_path, config) as (asking, _):
                url = str(asking.server.make_url("/v1"))
                key = asking.headers["Authorization"].removeprefix("Bearer ")
                messages: Any = [{"role": "user", "content": "hi"}]
                async with openai.AsyncOpenAI(base_url=url, api_key=key, max_retries=0) as client:
                    chat = client.chat.completions
                    raw = await chat.with_raw_response.create(model="triage", messages=messages, user="someone")
                    assert raw.headers["x-hone-version"] == "triage@1"
                    assert raw.parse().choices[0].message.content == "all is well"
                    stream = await chat.create(model="triage", messages=messages, stream=True)
                    pieces = [piece.choices[0].delta.content async for piece in stream]
                    assert "".join(piece or "" for piece in pieces) == "all is well"
                    assert (await client.models.list()).data[0].id == "triage"
                    with pytest.raises(openai.NotFoundError, match="does not exist"):
                        await chat.create(model="triage@9", messages=messages)
                    with pytest.raises(openai.APIError, match="broke off"):
                        async for _ in await chat.create(model="triage@2", messages=messages, stream=True):
                            pass
                async with openai.AsyncOpenAI(base_url=url, api_key="wrong", max_retries=0) as client:
                    with pytest.raises(openai.AuthenticationError):
                        await client.models.list()

    asyncio.run(run())
