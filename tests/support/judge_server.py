"""A judge behind real HTTP: chat completions that follow a known rule, with planted biases and faults.

Answers under test carry marks that the judge reads: ``<7>`` is how good an answer is; ``<even>`` in both makes a tie;
``<long>`` in both makes it prefer the longer one. Of answers whose qualities differ by less than two it takes the one
shown first. In the question, ``<garbled>`` spoils the first reply to each order, ``<mute>`` every reply, ``<busy>`` and
``<slow>`` the first request of each order (429 with Retry-After, and an answer after `SLOW` seconds).
"""

from __future__ import annotations

import asyncio
import json
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

PROMPT_TOKENS, ANSWER_TOKENS = 50, 5
SLOW = 1.5

_ANSWERS = re.compile(r"<answer_A>\n(.*)\n</answer_A>.*<answer_B>\n(.*)\n</answer_B>", re.DOTALL)
_QUALITY = re.compile(r"<(\d+)>")

Rule = Callable[[str, str], str]
"""From answer A and answer B to ``A``, ``B`` or ``tie``."""


def by_marks(first: str, second: str) -> str:
    """Judge by the marks in the two answers."""
    if "<even>" in first and "<even>" in second:
        return "tie"
    if "<long>" in first and "<long>" in second:
        return "A" if len(first) > len(second) else "B"
    better = quality(first) - quality(second)
    return "A" if better > -2 else "B"


def quality(answer: str) -> int:
    """Return what an answer's mark says."""
    found = _QUALITY.search(answer)
    return int(found[1]) if found else 0


@dataclass
class JudgeServer:
    """``requests`` holds every body that came, refused ones included; ``most_together`` how many were under way."""

    rule: Rule = by_marks
    key: str | None = None
    url: str = ""
    requests: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    most_together: int = 0
    _together: int = 0
    _seen: Counter[str] = field(default_factory=Counter)

    async def complete(self, request: web.Request) -> web.Response:
        """Answer one request."""
        self._together += 1
        self.most_together = max(self.most_together, self._together)
        try:
            return await self._answer(await request.json(), request.headers.get("Authorization"))
        finally:
            self._together -= 1

    async def _answer(self, body: dict[str, Any], key: str | None) -> web.Response:
        self.requests.append(body)
        self.keys.append(key)
        if self.key is not None and key != f"Bearer {self.key}":
            return web.json_response({"error": {"message": f"bad key {key}"}}, status=401)
        text = body["messages"][0]["content"]
        self._seen[text] += 1
        first_time = self._seen[text] == 1
        if "<busy>" in text and first_time:
            return web.json_response({"error": {"message": "slow down"}}, status=429, headers={"Retry-After": "0"})
        if "<slow>" in text and first_time:
            await asyncio.sleep(SLOW)
        await asyncio.sleep(0.002)
        repaired = len(body["messages"]) > 1
        spoiled = "<mute>" in text or ("<garbled>" in text and not repaired)
        return web.json_response(_completion("The first one is nicer, I would say." if spoiled else self._reply(text)))

    def _reply(self, text: str) -> str:
        found = _ANSWERS.search(text)
        assert found is not None, text
        return json.dumps({"reason": "by the rule", "verdict": self.rule(found[1], found[2])})


def _completion(text: str) -> dict[str, Any]:
    return {
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": PROMPT_TOKENS, "completion_tokens": ANSWER_TOKENS},
    }


@contextmanager
def judge_server(rule: Rule = by_marks, key: str | None = None) -> Iterator[JudgeServer]:
    """Serve a judge on loopback while the block runs."""
    server, started, loop = JudgeServer(rule, key), threading.Event(), asyncio.new_event_loop()

    async def start() -> web.AppRunner:
        app = web.Application(client_max_size=2**24)
        app.router.add_post("/v1/chat/completions", server.complete)
        runner = web.AppRunner(app, shutdown_timeout=1.0)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        server.url = f"http://{host}:{port}/v1"
        return runner

    def serve() -> None:
        asyncio.set_event_loop(loop)
        runner = loop.run_until_complete(start())
        started.set()
        loop.run_forever()
        loop.run_until_complete(runner.cleanup())
        loop.close()

    thread = threading.Thread(target=serve)
    thread.start()
    assert started.wait(10)
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
