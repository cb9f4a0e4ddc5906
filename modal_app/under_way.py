"""Controllers under way: one for a run, whoever starts it."""

from __future__ import annotations

from typing import Any

import modal

from modal_app.attempts import stop_key
from modal_app.caller import NO_ANSWER
from modal_app.controller import control_run, controller_key
from modal_app.orders import ControlOrder
from modal_app.volumes import STATE


def start_controller(order: ControlOrder) -> tuple[modal.FunctionCall[Any], bool]:
    """Return the function call that carries a run out, and whether it was begun now: one that does already is kept.

    A request to stop it that came before is forgotten.
    """
    known = running_controller(order.run)
    if known is not None:
        return known, False
    STATE.pop(stop_key(order.run), None)
    call = control_run.spawn(order.model_dump_json())
    STATE.put(controller_key(order.run), call.object_id)
    return call, True


def running_controller(run: str) -> modal.FunctionCall[Any] | None:
    """Return the function call that carries a run out; None where none is under way."""
    known = STATE.get(controller_key(run))
    call = None if known is None else modal.FunctionCall.from_id(known)
    return call if call is not None and is_under_way(call) else None


def is_under_way(call: modal.FunctionCall[Any]) -> bool:
    """Tell whether a function call has not ended; one that Modal no longer knows has.

    Raises:
        modal.exception.Error: the network gives no answer.
    """
    try:
        call.get(timeout=0)
    except TimeoutError:
        return True
    except NO_ANSWER:
        raise
    except Exception:  # noqa: BLE001 - whatever the call failed with
        return False
    return False
