"""The endpoint: vLLM with the champion of a registered name, at an address of its own, on no container while idle.

Modal's proxy asks for no token of its own (``unauthenticated``), so that an OpenAI client with the key is all that is
needed. Every path but ``/health`` needs the key; the first request wakes a container.
"""

from __future__ import annotations

import os

import modal

from modal_app.app import TRACKING
from modal_app.images import image
from modal_app.serving.api_key import secret
from modal_app.serving.container import ENGINE_SECONDS, EXIT_GRACE_SECONDS, ServingContainer
from modal_app.settings import SETTINGS
from modal_app.volumes import ENGINE
from pipeline.catalog import SERVE_VLLM
from pipeline.core.errors import HoneError
from pipeline.plan.placement import CONCURRENT
from schemas.placement import Placement

endpoint = modal.App(SETTINGS.app, include_source=False)
"""The server alone; deployed with everything else."""

SCALEDOWN_SECONDS = 300
STARTUP_SECONDS = int(ENGINE_SECONDS) + 300
MOST_CONTAINERS = 1

PLACEMENT = "HONE_PLACEMENT"
"""Tells a container what it is billed for."""


def placement() -> Placement:
    """Return the hardware of the endpoint's containers: in one of them, what it was given."""
    given = os.environ.get(PLACEMENT)
    if given is not None:
        return Placement.model_validate_json(given)
    from modal_app.sizes import size  # which is nothing that a cold start should wait for

    return size("serve", SERVE_VLLM)


_HARDWARE = placement()


@endpoint.server(
    image=image(SERVE_VLLM),
    volumes=ENGINE,
    secrets=[secret(), *TRACKING],
    env={PLACEMENT: _HARDWARE.model_dump_json()},
    gpu=list(_HARDWARE.gpus) or None,
    cpu=_HARDWARE.cpu,
    memory=_HARDWARE.memory,
    port=SETTINGS.port,
    unauthenticated=True,
    max_containers=MOST_CONTAINERS,
    scaledown_window=SCALEDOWN_SECONDS,
    startup_timeout=STARTUP_SECONDS,
    target_concurrency=CONCURRENT,
    exit_grace_period=EXIT_GRACE_SECONDS,
)
class Endpoint:
    """The server, whose containers take the champion from the registry when they start."""

    @modal.enter()
    def start(self) -> None:
        """Bring the engine up, up to its first answer."""
        self._container = ServingContainer(_HARDWARE)
        try:
            self._container.start()
        except HoneError as error:
            print(f"error: {error}\n{error.detail or ''}", flush=True)  # noqa: T201 - a container's log is its output
            raise

    @modal.exit()
    def stop(self) -> None:
        """End the engine."""
        self._container.stop()
