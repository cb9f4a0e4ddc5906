"""hone on Modal: what ``modal run`` and ``modal deploy`` name.

    modal run -m modal_app.main --config SPEC.yaml [--set a.b=c]     a whole run, its report brought here
    modal run -m modal_app.main::plan | status | resume | fetch | cancel | gc | down
    modal deploy -m modal_app.main                                   stages, endpoint and webhook

A verb is an app of its own with one entrypoint, because ``modal run`` without a verb wants the one entrypoint that
this module has.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import modal

from modal_app import commands
from modal_app.app import stages
from modal_app.entry import carry_out
from modal_app.settings import SETTINGS

app = modal.App(SETTINGS.app, include_source=False).include(stages)


@stages.local_entrypoint()
def main(*arguments: str) -> None:
    """Carry out a run and bring its report here."""
    sys.exit(carry_out(commands.run, arguments))


def _verb(command: Callable[..., int]) -> modal.App:
    """Return an app whose only entrypoint is ``command``."""

    def entrypoint(*arguments: str) -> None:
        sys.exit(carry_out(command, arguments))

    entrypoint.__qualname__ = command.__name__  # Modal wants a name that leads to it; an entrypoint is never looked up
    verb = modal.App(SETTINGS.app, include_source=False).include(stages)
    verb.local_entrypoint(name="run")(entrypoint)
    return verb


plan = _verb(commands.plan)
status = _verb(commands.status)
resume = _verb(commands.resume)
fetch = _verb(commands.fetch)
cancel = _verb(commands.cancel)
gc = _verb(commands.gc)
