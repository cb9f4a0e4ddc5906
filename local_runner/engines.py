"""Engines of the service on this machine: a process for each version that is asked, started when it first is."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from local_runner.checkpoint_files import with_checkpoint
from local_runner.serving import plan_serving
from pipeline.control.versions import open_version
from pipeline.core.errors import Cancelled, EngineError, HoneError
from pipeline.core.registry import Registry, resolve
from pipeline.core.temporary import private_folder
from pipeline.serve.launch import Places
from pipeline.serve.process import LOOPBACK, RunningEngine, free_port, start_engine
from pipeline.service.models.engines import Lent, Registered, Target
from schemas.serve import Engine

WAIT_SECONDS = 60.0
"""How long a request waits for an engine that others are using, where there may be no more of them."""

STOP_SECONDS = 20.0

ALIAS_SECONDS = 1.0
"""How long an alias is taken to lead where it did: so late, at most, a promotion is noticed."""

FAILED_SECONDS = 10.0
"""How long a version that could not be served is not tried again."""

_log = logging.getLogger(__name__)


@dataclass
class _Running:
    """An engine, how many answers it is giving, and when it was last asked (`time.monotonic`)."""

    lent: Lent
    engine: RunningEngine
    stack: ExitStack
    uses: int = 0
    asked: float = 0.0


@dataclass
class LocalEngines:
    """See `pipeline.service.models.engines.Engines`.

    Args:
        root: the workspace.
        open_registry: opens its registry.
        engine: which engine serves; None for each version's own.
        most: how many run at once; the one that was not asked for longest gives way.
    """

    root: Path
    open_registry: Callable[[], Registry]
    engine: Engine | None = None
    most: int = 1
    _running: dict[Target, _Running] = field(default_factory=dict)
    _starting: set[Target] = field(default_factory=set)
    _failed: dict[Target, tuple[float, HoneError]] = field(default_factory=dict)
    _led: dict[str, tuple[float, str]] = field(default_factory=dict)
    _changed: threading.Condition = field(default_factory=threading.Condition)
    # An engine dies with the thread that started it, so one thread starts and stops them all.
    _hands: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "engines"))
    _closing: threading.Event = field(default_factory=threading.Event)

    def registered(self) -> Sequence[Registered]:
        """See `Engines.registered`."""
        return [Registered(str(found), found.aliases) for found in self.open_registry().list_versions()]

    def lend(self, target: Target) -> Lent:
        """See `Engines.lend`."""
        named = Target(self._numbered(target.version), target.checkpoint)
        lent = self._take(named)
        return lent if lent is not None else self._start(named)

    def give_back(self, lent: Lent) -> None:
        """See `Engines.give_back`."""
        with self._changed:
            for running in self._running.values():
                if running.lent is lent:
                    running.uses -= 1
            self._changed.notify_all()

    def close(self) -> None:
        """See `Engines.close`."""
        self._closing.set()
        with self._changed:
            running = list(self._running.values())
            self._running.clear()
        for one in running:
            self._hands.submit(one.stack.close)
        self._hands.shutdown()

    def _numbered(self, name: str) -> str:
        """Return the version that a name leads to."""
        until, version = self._led.get(name, (0.0, ""))
        if until > time.monotonic():
            return version
        version = str(resolve(self.open_registry(), name))
        self._led[name] = (time.monotonic() + ALIAS_SECONDS, version)
        return version

    def _take(self, target: Target) -> Lent | None:
        """Return a running engine; None where the caller is to start one, for which there is room now.

        Raises:
            EngineError: all engines are in use for too long.
            HoneError: it could not be started a moment ago.
        """
        deadline = time.monotonic() + WAIT_SECONDS
        with self._changed:
            while True:
                self._bury()
                running = self._running.get(target)
                if running is not None:
                    running.uses, running.asked = running.uses + 1, time.monotonic()
                    return running.lent
                until, error = self._failed.get(target, (0.0, None))
                if error is not None and until > time.monotonic():
                    raise error
                if target not in self._starting and self._has_room():
                    self._starting.add(target)
                    return None
                if target not in self._starting and time.monotonic() > deadline:
                    raise EngineError("every engine is in use", where=target.version, fix="try again later")
                self._changed.wait(min(1.0, WAIT_SECONDS))

    def _bury(self) -> None:
        """Forget engines that ended by themselves."""
        for target, running in list(self._running.items()):
            if running.engine.process.poll() is not None:
                _log.error("the engine of %s ended by itself", target.version)
                del self._running[target]
                self._hands.submit(running.stack.close)

    def _has_room(self) -> bool:
        """Tell whether another engine may start; one that nobody uses gives way to it."""
        if len(self._running) + len(self._starting) < self.most:
            return True
        idle = [(running.asked, target) for target, running in self._running.items() if running.uses == 0]
        if not idle:
            return False
        oldest = min(idle, key=lambda found: found[0])[1]
        self._hands.submit(self._running.pop(oldest).stack.close)
        return True

    def _start(self, target: Target) -> Lent:
        try:
            running = self._hands.submit(self._bring_up, target).result()
        except HoneError as error:
            self._failed[target] = (time.monotonic() + FAILED_SECONDS, error)
            raise
        finally:
            with self._changed:
                self._starting.discard(target)
                self._changed.notify_all()
        with self._changed:
            running.uses, running.asked = 1, time.monotonic()
            self._running[target] = running
            self._changed.notify_all()
        return running.lent

    def _bring_up(self, target: Target) -> _Running:
        """Start an engine and wait until it has answered."""
        with ExitStack() as stack:
            folder = stack.enter_context(private_folder("served"))
            version = open_version(self.root, self.open_registry(), target.version)
            if target.checkpoint is not None:
                version = with_checkpoint(version, self.root / target.checkpoint, folder / "checkpoint")
            (folder / "launch").mkdir()
            serving = plan_serving(version, folder / "launch", engine=self.engine)
            places = Places(serving.files, serving.folder, LOOPBACK, free_port())
            started = start_engine(serving.launch, places, python=str(serving.python), grace=STOP_SECONDS)
            engine = stack.enter_context(started)
            engine.wait_until_ready(self._check)
            lent = Lent(places.url, serving.launch.served_model_name, target.version)
            return _Running(lent, engine, stack.pop_all())

    def _check(self) -> None:
        if self._closing.is_set():
            raise Cancelled("the service is stopping", fix="ask again when it is up")
