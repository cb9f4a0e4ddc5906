"""The gateway against the engine directly, a bare aiohttp pass-through and LiteLLM proxy.

    python -m benchmarks.gateway [--rounds 7] [--requests 400] [--litellm PYTHON] [--json FILE]

One worker each, before the same engine: a process that answers a fixed text after a fixed time, over real sockets. The
gateway has a rollout under way, asks for keys and captures what is said. The four take turns, in an order that turns
as well. A latency that is added is the median of a round less that of the engine directly in the same round; medians
over rounds are shown. PYTHON is the interpreter of an environment with ``litellm[proxy]``; without one, that part is
left out, and the benchmark fails.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from benchmarks.gateway_peers import PEERS

ADDED_LIMIT = 1.5
"""The gateway may add this many times the median latency of the bare pass-through."""

SPEED_LIMIT = 8.0
"""It passes at least this many times LiteLLM's requests per second."""

CLIENTS = 32
"""Clients at once where requests per second are counted."""

KEY = "hone_0123456789abcdef0123456789abcdef"

_START_SECONDS = 120.0


@dataclass
class Place:
    """Something that answers chat requests; ``rounds`` has what was measured of it."""

    name: str
    url: str
    model: str
    rounds: list[dict[str, float]] = field(default_factory=list)

    async def ask(self, client: aiohttp.ClientSession, user: int, stream: bool) -> tuple[float, float]:
        """Ask once; return the seconds to the first byte of the body and to the last."""
        body = {
            "model": self.model,
            "messages": [{"role": "user", "content": "My parcel never came. What now?"}],
            "user": f"user {user}",
            "stream": stream,
        }
        headers = {"Authorization": f"Bearer {KEY}"}
        began = time.perf_counter()
        async with client.post(f"{self.url}/chat/completions", json=body, headers=headers) as got:
            await got.content.readany()
            first = time.perf_counter() - began
            rest = await got.content.read()
            if got.status != 200 or (stream and b"[DONE]" not in rest):
                raise SystemExit(f"{self.name} answered {got.status}: {rest[:300]!r}")
        return first, time.perf_counter() - began

    async def one_by_one(self, count: int, stream: bool) -> float:
        """Return the median seconds of one client: of a stream, to its first byte."""
        async with aiohttp.ClientSession() as client:
            taken = [await self.ask(client, number, stream) for number in range(count)]
        return statistics.median(first if stream else last for first, last in taken)

    async def together(self, count: int) -> float:
        """Return the requests per second of `CLIENTS` at once."""
        numbers = iter(range(count))
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as client:

            async def work() -> None:
                for number in numbers:
                    await self.ask(client, number, stream=False)

            began = time.perf_counter()
            await asyncio.gather(*(work() for _ in range(CLIENTS)))
            return count / (time.perf_counter() - began)

    def measure(self, requests: int) -> None:
        """Measure one round."""
        # A fifth of the requests for what is several times slower: it is as exact, and the round no longer.
        count = requests // 5 if self.name == "litellm" else requests
        self.rounds.append(
            {
                "seconds": asyncio.run(self.one_by_one(count, stream=False)),
                "first_byte_seconds": asyncio.run(self.one_by_one(count // 4, stream=True)),
                "requests_per_second": asyncio.run(self.together(2 * count)),
            }
        )


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


@contextmanager
def started(command: list[str], port: int, log: Path) -> Iterator[None]:
    """Run a server until the end of this context; yield when it listens."""
    with log.open("wb") as written:
        process = subprocess.Popen(
            command,
            stdout=written,
            stderr=subprocess.STDOUT,
            env={**os.environ, "HONE_SERVICE_KEY": KEY, "LITELLM_LOCAL_MODEL_COST_MAP": "True"},
        )
        try:
            deadline = time.monotonic() + _START_SECONDS
            while True:
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
                if process.poll() is not None or time.monotonic() > deadline:
                    raise SystemExit(f"{command[:3]} did not start:\n{log.read_text()[-2000:]}")
                time.sleep(0.1)
            yield
        finally:
            process.terminate()
            process.wait(60)


def bring_up(stack: ExitStack, folder: Path, litellm: Path | None) -> list[Place]:
    """Start the engine and everything before it."""
    engine = free_port()
    peers: dict[str, Callable[[Path, int], list[str]]] = {
        "pass-through": PEERS["pass-through"],
        "gateway": PEERS["gateway"],
    }
    if litellm is not None:
        peers["litellm"] = lambda place, upstream: PEERS["litellm"](place, upstream, str(litellm))
    module = [sys.executable, "-m", "benchmarks.gateway_peers"]
    stack.enter_context(started([*module, "engine", "--port", str(engine)], engine, folder / "engine.log"))
    places = [Place("engine", f"http://127.0.0.1:{engine}/v1", "m1")]
    for name, command in peers.items():
        port = free_port()
        place = folder / name
        place.mkdir()
        whole = [*command(place, engine), "--port", str(port)]
        stack.enter_context(started(whole, port, folder / f"{name}.log"))
        places.append(Place(name, f"http://127.0.0.1:{port}/v1", "triage"))
    return places


def compare(requests: int, rounds: int, litellm: Path | None) -> dict[str, Any]:
    """Return the figures of all rounds but the first, in which everything is still cold."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        places = bring_up(stack, Path(name), litellm)
        for turn in range(rounds + 1):
            for place in [*places[turn % len(places) :], *places[: turn % len(places)]]:
                place.measure(requests)
                print(f"round {turn} of {rounds}: {place.name} {place.rounds[-1]}", file=sys.stderr)
    engine = places[0].rounds[1:]
    figures: dict[str, Any] = {}
    for place in places:
        kept = place.rounds[1:]
        figures[place.name] = {
            "median_ms": 1000 * statistics.median(found["seconds"] for found in kept),
            "median_first_byte_ms": 1000 * statistics.median(found["first_byte_seconds"] for found in kept),
            "requests_per_second": statistics.median(found["requests_per_second"] for found in kept),
        }
        if place.name != "engine":
            for kind, shown in (("seconds", "added_ms"), ("first_byte_seconds", "added_first_byte_ms")):
                pairs = zip(kept, engine, strict=True)
                figures[place.name][shown] = 1000 * statistics.median(one[kind] - base[kind] for one, base in pairs)
    return figures


def main() -> int:
    """Measure; the exit status is 1 where a limit is not kept, or LiteLLM was left out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--requests", type=int, default=400)
    parser.add_argument("--litellm", type=Path, default=os.environ.get("HONE_LITELLM_PYTHON"))
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    arguments = parser.parse_args()
    litellm = None if arguments.litellm is None else Path(arguments.litellm)
    if litellm is None:
        print(
            "LiteLLM IS LEFT OUT: name the Python of an environment with litellm[proxy] by --litellm", file=sys.stderr
        )
    found = compare(arguments.requests, arguments.rounds, litellm)
    ours, bare = found["gateway"], found["pass-through"]
    ratios: dict[str, Any] = {
        "added_latency_ratio": ours["added_ms"] / bare["added_ms"],
        "added_first_byte_ratio": ours["added_first_byte_ms"] / bare["added_first_byte_ms"],
    }
    kept = all(ratio <= ADDED_LIMIT for ratio in ratios.values())
    if litellm is not None:
        speed = ours["requests_per_second"] / found["litellm"]["requests_per_second"]
        ratios["times_litellm"] = speed
        kept = kept and speed >= SPEED_LIMIT
    figures = {
        "rounds": arguments.rounds,
        "requests": arguments.requests,
        "clients": CLIENTS,
        **found,
        **ratios,
        "added_limit": ADDED_LIMIT,
        "times_litellm_limit": SPEED_LIMIT,
        "litellm_left_out": litellm is None,
    }
    text = json.dumps(figures, indent=2)
    print(text)
    if arguments.json:
        arguments.json.write_text(text + "\n", encoding="utf-8")
    return int(not kept or litellm is None)


if __name__ == "__main__":
    sys.exit(main())
