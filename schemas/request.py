"""What a runner sends to whatever carries out a stage call: JSON, never a pickle."""

from __future__ import annotations

from pathlib import Path

from schemas.artifacts import StageCall
from schemas.base import Device, Schema
from schemas.distributed import ALONE, Processes


class CallRequest(Schema):
    """One attempt at a stage call.

    Attributes:
        call: what is to be done.
        root: the workspace, as the process that carries the call out sees it.
        device: what the runner offers; the call uses a GPU where it gains from one.
        seconds: how long the attempt may take, null for as long as it needs.
        limit: the key that sets ``seconds``, for the message that names it.
        secrets: values by name.
        renew: make the artifact again even if it is stored.
        restart: take nothing over from earlier attempts.
        processes: in how many processes a training is carried out.
    """

    call: StageCall
    root: Path
    device: Device = "cpu"
    seconds: float | None = None
    limit: str = "constraints.max_hours"
    secrets: dict[str, str] = {}
    renew: bool = False
    restart: bool = False
    processes: Processes = ALONE
