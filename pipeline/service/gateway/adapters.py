"""Adapters that engines load at run time: under a name that only their content has, probed, never asked when stale."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import aiohttp

from pipeline.core.errors import ConfigError, StorageError
from pipeline.core.workspace import content_digest, list_files
from pipeline.service.gateway.director import Director
from pipeline.service.gateway.table import Served, Target
from pipeline.service.gateway.upstream import LOST
from schemas.rollout import RolloutEvent

PROBE_SECONDS: Final = 5.0
"""How often engines are asked whether they have what they are to have."""

NAMED_BY: Final = 12
"""Characters of the digest in a name."""

_CALL = aiohttp.ClientTimeout(total=60.0, sock_connect=5.0)
_DRAIN_SECONDS = 0.05

_log = logging.getLogger(__name__)


def folder_digest(path: Path) -> str:
    """Return the digest of a folder's content.

    Raises:
        ConfigError: it is no folder with files, or holds links.
    """
    try:
        files = list_files(path)
    except (OSError, StorageError) as error:
        raise ConfigError(f"the adapter cannot be read: {error}", where=str(path), fix="check the folder") from error
    if not files:
        raise ConfigError("there is no adapter", where=str(path), fix="name the folder of one")
    return content_digest(files)


class Adapters:
    """Sees to it that engines have the adapters of the table. Used by one event loop."""

    def __init__(self) -> None:
        self._client: aiohttp.ClientSession | None = None
        self._director: Director | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._states: dict[str, tuple[Any, str]] = {}

    async def open(self, client: aiohttp.ClientSession, director: Director) -> None:
        """Load what is to be loaded, and keep an eye on it."""
        self._client, self._director = client, director
        await self.probe()
        if any(target.adapter is not None for target in self._targets()):
            self._start(self._watch())

    def follow(self, event: RolloutEvent) -> None:
        """Take the adapter of a candidate away that was sent back, once its last answer is given."""
        if self._client is not None and event.kind in ("rollback", "cancel"):
            self._start(self._retire(event.candidate))

    async def close(self) -> None:
        """Stop looking; engines keep what they have."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def probe(self) -> None:
        """Ask every engine whether it has its adapters, load what is missing, and bar what is not as it was."""
        await asyncio.gather(*(self._check(target) for target in self._targets() if target.adapter is not None))

    def _targets(self) -> Iterable[Target]:
        assert self._director is not None
        return [target for served in self._director.table.versions.values() for target in served.targets]

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(PROBE_SECONDS)
            await self.probe()

    async def _check(self, target: Target) -> None:
        problem = await self._problem(target)
        if problem is not None and target.is_fresh:
            _log.error("%s is not asked for %s: %s", target.engine, target.model, problem)
        target.is_fresh = problem is None

    async def _problem(self, target: Target) -> str | None:
        """Return why an engine must not be asked for an adapter; None where it has it, loaded if need be."""
        assert target.adapter is not None
        try:
            digest = await asyncio.to_thread(self._digest, Path(target.adapter.path))
        except ConfigError as error:
            return str(error)
        if digest != target.adapter.digest:  # an engine that makes room reads the folder again
            return "its files have other content than at the start"
        try:
            if await self._has(target):
                return None
            await self._call(target, "load_lora_adapter", {"lora_name": target.model, "lora_path": target.adapter.path})
            return None if await self._has(target) else "the engine does not load it"
        except LOST as error:
            return f"the engine does not answer ({type(error).__name__})"

    def _digest(self, path: Path) -> str:
        """Return the digest of a folder, hashed again where any of its files looks changed."""
        files = [(str(file), file.stat()) for file in sorted(path.rglob("*"))]
        state = [(name, found.st_size, found.st_mtime_ns, found.st_ino) for name, found in files]
        known = self._states.get(str(path))
        if known is None or known[0] != state:
            known = (state, folder_digest(path))
            self._states[str(path)] = known
        return known[1]

    async def _has(self, target: Target) -> bool:
        """Tell whether an engine lists an adapter by its name and folder; one of another folder is taken away."""
        assert self._client is not None and target.adapter is not None
        url = f"{target.base_url}/models"
        async with self._client.get(url, headers=target.headers, timeout=_CALL) as answer:
            try:
                listed = (await answer.json(content_type=None))["data"]
                roots = [found.get("root") for found in listed if found.get("id") == target.model]
            except (ValueError, KeyError, TypeError, AttributeError):
                return False
        if roots and roots != [target.adapter.path]:
            await self._call(target, "unload_lora_adapter", {"lora_name": target.model})
            return False
        return bool(roots)

    async def _call(self, target: Target, verb: str, body: dict[str, str]) -> None:
        assert self._client is not None
        url = f"{target.base_url}/{verb}"
        async with self._client.post(url, json=body, headers=target.headers, timeout=_CALL) as answer:
            await answer.read()

    async def _retire(self, version: str) -> None:
        assert self._director is not None
        served: Served | None = self._director.table.versions.get(version)
        if served is None or all(target.adapter is None for target in served.targets):
            return
        self._director.retire(version)
        if version in self._director.table.versions:
            return
        while served.busy:
            await asyncio.sleep(_DRAIN_SECONDS)
        for target in served.targets:
            if target.adapter is not None:
                target.is_fresh = False
                try:
                    await self._call(target, "unload_lora_adapter", {"lora_name": target.model})
                except LOST as error:
                    _log.error("%s keeps %s: %s", target.engine, target.model, type(error).__name__)

    def _start(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
