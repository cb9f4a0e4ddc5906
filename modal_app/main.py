"""hone on Modal: what ``modal run`` and ``modal deploy`` name.

    modal run -m modal_app.main --config SPEC.yaml [--set a.b=c]     a whole run, its report brought here
    modal run -m modal_app.main::plan | status | resume | fetch | cancel | gc | down | promote | rollback | export
    modal deploy -m modal_app.main                                   stages, endpoint and webhook

A verb is an app of its own with one entrypoint, because ``modal run`` without a verb wants the one entrypoint that
this module has.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import modal

from modal_app.app import stages
from modal_app.client import commands, serving_commands
from modal_app.client import down as taking_down
from modal_app.client.deployed_cost import before_deploying
from modal_app.client.entry import carry_out
from modal_app.endpoint import endpoint
from modal_app.service import hooks
from modal_app.settings import SETTINGS

app = modal.App(SETTINGS.app, include_source=False).include(stages).include(endpoint).include(hooks)

before_deploying()


@stages.local_entrypoint()
def main(*arguments: str) -> None:
    """Carry out a run and bring its report here."""
    sys.exit(carry_out(commands.run, arguments))


def _verb(command: Callable[..., int], app: modal.App) -> modal.App:
    """Return ``app`` with ``command`` as its only entrypoint."""

    def entrypoint(*arguments: str) -> None:
        sys.exit(carry_out(command, arguments))

    entrypoint.__qualname__ = command.__name__  # Modal wants a name that leads to it; an entrypoint is never looked up
    app.local_entrypoint(name="run")(entrypoint)
    return app


def _working(command: Callable[..., int]) -> modal.App:
    """Return the app of a verb that has containers work."""
    return _verb(command, modal.App(SETTINGS.app, include_source=False).include(stages))


def _looking(command: Callable[..., int]) -> modal.App:
    """Return the app of a verb that reads and writes Volumes and Dicts only: no image is built for it.

    It has a name of its own, so that ``::down`` does not stop itself.
    """
    return _verb(command, modal.App(f"{SETTINGS.app}-{command.__name__}", include_source=False))


plan = _working(commands.plan)
resume = _working(commands.resume)
gc = _working(commands.gc)
promote = _working(serving_commands.promote)
rollback = _working(serving_commands.rollback)
export = _working(serving_commands.export)
status = _looking(commands.status)
fetch = _looking(commands.fetch)
cancel = _looking(commands.cancel)
down = _looking(taking_down.down)
