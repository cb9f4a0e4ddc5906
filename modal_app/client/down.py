"""Taking down whatever may cost money: every app of this name with its containers, and the calls that are under way.

What a run has saved stays on the Volumes, so that it can be resumed. The verb itself is an app without functions.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any

import modal
import modal.exception
import typer
from rich.console import Console

from modal_app.attempts import stop_key
from modal_app.client.commands import Json
from modal_app.settings import SETTINGS
from modal_app.under_way import is_under_way
from modal_app.volumes import DICTS, NAMES
from pipeline.control.output import print_json
from pipeline.core.errors import InternalError

GRACE_SECONDS = 180.0
"""How long runs that were asked to stop may take to save what they have."""

STOP_SECONDS = 120.0
"""How long Modal may take to end the containers of a stopped app: half a minute is what it gives each."""

POLL_SECONDS = 1.0

_CONTROLLER, _FLIGHT, _STOP = "controller:", "flight:", "stop:"


@dataclass(frozen=True)
class TakenDown:
    """What was stopped, and what stays."""

    apps: tuple[str, ...]
    calls: int
    volumes: tuple[str, ...]
    dicts: tuple[str, ...]

    @property
    def deletions(self) -> tuple[str, ...]:
        """The commands that delete what stays."""
        volumes = (f"modal volume delete {name}" for name in self.volumes)
        return (*volumes, *(f"modal dict delete {name}" for name in self.dicts))

    def as_json(self) -> dict[str, Any]:
        """Return it as one object."""
        kept = {"volumes": list(self.volumes), "dicts": list(self.dicts)}
        return {"stopped": list(self.apps), "cancelled_calls": self.calls, "kept": kept, "delete": list(self.deletions)}

    def show(self, console: Console) -> None:
        """Print it for people."""
        lines = [
            f"stopped: {', '.join(self.apps) or 'nothing, no app of this name was running'}",
            f"calls in flight cancelled: {self.calls}",
            f"kept: {', '.join((*self.volumes, *self.dicts)) or 'nothing'}",
            *(["what is kept is deleted by:"] if self.deletions else []),
            *(f"  {command}" for command in self.deletions),
            f"nothing of {SETTINGS.app} runs on Modal now",
        ]
        console.print("\n".join(lines), markup=False, soft_wrap=True)


def down(
    graceful: Annotated[
        bool, typer.Option("--graceful", help="Ask runs to stop with a checkpoint, and wait for that, first.")
    ] = False,
    as_json: Json = False,
) -> int:
    """Stop this app, its endpoint, schedules and calls in flight; tell which Volumes stay."""
    messages = Console(stderr=True, highlight=False, quiet=as_json)
    state = _dict(DICTS[-1])
    if graceful and state is not None:
        _ask_to_stop(state, lambda text: messages.print(text, markup=False, soft_wrap=True))
    calls = {} if state is None else _under_way(state)
    apps = _stop_apps()
    if state is not None:
        _cancel(state)
    taken = TakenDown(apps, len(calls), tuple(_existing_volumes()), tuple(name for name in DICTS if _dict(name)))
    if as_json:
        print_json(taken.as_json())
    else:
        taken.show(Console(highlight=False))
    return 0


def _ask_to_stop(state: modal.Dict, announce: Callable[[str], None]) -> None:
    """Let every run save what it has; one that does not end in time is not waited for."""
    runs = [key.removeprefix(_CONTROLLER) for key in _under_way(state) if key.startswith(_CONTROLLER)]
    for run in runs:
        announce(f"asking {run} to stop")
        state.put(stop_key(run), True)
    deadline = time.monotonic() + GRACE_SECONDS
    while time.monotonic() < deadline and any(key.startswith(_CONTROLLER) for key in _under_way(state)):
        time.sleep(POLL_SECONDS)


def _live_apps() -> list[modal.App]:
    return [app for app in modal.Environment.from_context().apps.list() if app.description == SETTINGS.app]


def _stop_apps() -> tuple[str, ...]:
    """Stop every app of this name and wait until its containers have ended; return how each was running.

    Raises:
        InternalError: Modal did not end one in time.
    """
    apps = _live_apps()
    for app in apps:
        _try(app.stop)
    _wait_for_none(lambda: [str(app.app_id) for app in _live_apps()])
    return tuple(f"{app.app_id} ({app.info().lifecycle.state.value})" for app in apps)


def _cancel(state: modal.Dict) -> None:
    """Cancel what is still under way in apps of other names, and forget every call.

    Raises:
        InternalError: Modal did not end one in time.
    """

    def cancel() -> list[str]:
        left = {key: modal.FunctionCall.from_id(call) for key, call in sorted(_under_way(state).items())}
        for call in left.values():  # a controller's key sorts before those of its calls, so it makes no new ones
            _try(functools.partial(call.cancel, terminate_containers=True))
        return list(left)

    _wait_for_none(cancel)
    for key in [key for key in state.keys() if str(key).startswith((_CONTROLLER, _FLIGHT, _STOP))]:  # noqa: SIM118
        state.pop(key, None)


def _wait_for_none(look: Callable[[], list[str]]) -> None:
    deadline = time.monotonic() + STOP_SECONDS
    while left := look():
        if time.monotonic() > deadline:
            raise InternalError(
                f"Modal has not ended {', '.join(left)} within {STOP_SECONDS:.0f} seconds",
                where=SETTINGS.app,
                fix="run ::down again, and look at modal app list and modal container list",
            )
        time.sleep(POLL_SECONDS)


def _under_way(state: modal.Dict) -> dict[str, str]:
    """Return the function calls that have not ended, by the key that they are kept under."""
    return {key: call for key, call in _calls(state) if is_under_way(modal.FunctionCall.from_id(call))}


def _calls(state: modal.Dict) -> Iterator[tuple[str, str]]:
    for key, value in state.items():
        if str(key).startswith(_CONTROLLER):
            yield key, value
        elif str(key).startswith(_FLIGHT):
            yield key, value["function_call"]


def _dict(name: str) -> modal.Dict | None:
    """Return a Dict; None where there is none, as this verb makes nothing."""
    found = modal.Dict.from_name(name)
    return found if _try(found.hydrate) else None


def _existing_volumes() -> Iterator[str]:
    for name in NAMES:
        if _try(modal.Volume.from_name(name).hydrate):
            yield name


def _try(what: Callable[[], Any]) -> bool:
    """Do what may be done already, or cannot be done for something that does not exist; tell whether it was done."""
    try:
        what()
    except modal.exception.Error:
        return False
    return True
