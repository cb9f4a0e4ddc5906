"""The webhook on Modal: a signed delivery starts the retraining of a registered version.

Its container is small and on a CPU. What reads the registry and the data is a function of the main image; what it
starts is the controller that every run has.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import modal

from modal_app.app import stages
from modal_app.client.money import planned_dollars
from modal_app.controller import prepare_retraining_run
from modal_app.deliveries import DictDeliveries
from modal_app.images import image
from modal_app.orders import ControlOrder, PreparedRun
from modal_app.settings import SETTINGS
from modal_app.under_way import start_controller
from modal_app.volumes import STATE
from pipeline.control.ledger import default_cap
from pipeline.core.errors import from_record

if TYPE_CHECKING:
    from schemas.webhook import RetrainRequest

SECRET_NAME = f"{SETTINGS.app}-webhook"
SECRET_KEY = "HONE_WEBHOOK_SECRET"  # noqa: S105 - a variable's name

SERVICE = "service"
CORES, MEMORY_MIB = 0.25, 512
MAX_INPUTS = 20
"""Deliveries that one container answers at once: it mostly waits."""

hooks = modal.App(SETTINGS.app, include_source=False).include(stages)
"""The webhook's app; it includes what the webhook calls, for a container knows the functions of its own app only."""


def start(request: RetrainRequest) -> str:
    """Prepare the retraining, have it carried out, and return its run's id.

    Raises:
        HoneError: the version or the data cannot be had, or the description does not fit.
    """
    prepared = PreparedRun.model_validate_json(prepare_retraining_run.remote(request.model_dump_json()))
    if prepared.error is not None:
        raise from_record(prepared.error)
    assert prepared.run is not None and prepared.plan is not None and prepared.constraints is not None
    cap = prepared.constraints.max_cost
    order = ControlOrder(
        run=prepared.run,
        max_cost=default_cap(planned_dollars(prepared.plan)) if cap is None else cap,
        max_gpu_hours=prepared.constraints.max_gpu_hours,
    )
    start_controller(order)
    return prepared.run


@hooks.function(
    image=image(SERVICE),
    secrets=[modal.Secret.from_name(SECRET_NAME, required_keys=[SECRET_KEY])],
    cpu=CORES,
    memory=MEMORY_MIB,
    max_containers=1,
    timeout=600,
)
@modal.concurrent(max_inputs=MAX_INPUTS)
@modal.asgi_app()
def webhook() -> Any:
    """Answer ``POST /v1/webhooks/retrain``; see docs/webhook.md."""
    from pipeline.service.webhook import webhook_app

    return webhook_app(os.environ[SECRET_KEY], start, DictDeliveries(STATE))
