"""Moving a champion on the Volume's registry by hand: promotions that a gate refused, and rollbacks.

The endpoint learns of it as it learns of a run's promotion: its container makes room for one that serves the new
champion.
"""

from __future__ import annotations

from modal_app.controller import on_a_cpu, working_container
from modal_app.meter import UPKEEP
from modal_app.registry import registry_to_write
from modal_app.serving.keys import served_key
from modal_app.volumes import ROOT, STATE
from pipeline.control.versions import promote, roll_back
from pipeline.core.errors import as_hone_error
from schemas.base import Schema
from schemas.errors import ErrorRecord


class MoveOrder(Schema):
    """Which champion to move: to ``reference`` (``name@3``), or ``roll_back`` a name, ``to`` a version or one step.

    ``reason`` stays on a version that its gate refused.
    """

    reference: str | None = None
    roll_back: str | None = None
    to: int | None = None
    reason: str | None = None


class Moved(Schema):
    """The champion before and after, or why it was not moved."""

    name: str = ""
    before: int | None = None
    after: int | None = None
    error: ErrorRecord | None = None


@on_a_cpu
def move_champion(text: str) -> str:
    """Make a version champion, and have the endpoint serve it."""
    order = MoveOrder.model_validate_json(text)
    with working_container(UPKEEP, "champion") as leases:
        try:
            with registry_to_write(leases) as registry:
                if order.roll_back is not None:
                    move = roll_back(ROOT, registry, order.roll_back, order.to, order.reason)
                else:
                    move = promote(ROOT, registry, order.reference or "", order.reason)
        except Exception as error:  # noqa: BLE001 - the boundary: whatever a library raises becomes an answer
            return Moved(error=as_hone_error(error).record()).model_dump_json()
    STATE.put(served_key(move.name), move.after)
    return Moved(name=move.name, before=move.before, after=move.after).model_dump_json()
