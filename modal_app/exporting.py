"""Pushing a version to the Hugging Face Hub from a container: its files never pass through the machine that asks."""

from __future__ import annotations

import time
from collections.abc import Callable

from modal_app.controller import on_a_cpu, working_container
from modal_app.meter import UPKEEP
from modal_app.registry import registry_to_read
from modal_app.volumes import ROOT
from pipeline.core.context import CallContext
from pipeline.core.errors import ConfigError, as_hone_error
from pipeline.core.registry import RegisteredVersion, resolve
from pipeline.core.secrets import visible_secrets
from pipeline.core.workspace import Store
from schemas.base import Schema
from schemas.errors import ErrorRecord
from schemas.events import Event

SCHEME = "hf://"

PROGRESS_SECONDS = 5.0
"""How often the container's log says how far it is."""


class ExportOrder(Schema):
    """Push ``variant`` of ``version`` (``name@champion``, ``name@3``) to ``hf://organization/name``.

    ``variant`` null is what is served.
    """

    version: str
    variant: str | None = None
    to: str
    private: bool = True


class Pushed(Schema):
    """What was pushed, and where it is; or why it was not."""

    version: str = ""
    variant: str = ""
    location: str = ""
    files: int = 0
    size_bytes: int = 0
    error: ErrorRecord | None = None


def check_target(to: str) -> None:
    """Refuse what a container cannot export to.

    Raises:
        ConfigError: it is no repository of the Hub; a folder would end with the container.
    """
    if not to.startswith(SCHEME):
        raise ConfigError(
            "a container exports to the Hub only",
            where="--to",
            fix=f"write {SCHEME}organization/name; for a folder fetch the run, and use hone export here",
        )


@on_a_cpu
def push_version(text: str) -> str:
    """Make a package of a version's form, and a repository of the package."""
    order = ExportOrder.model_validate_json(text)
    with working_container(UPKEEP, "export") as leases, registry_to_read() as registry:
        try:
            return _push(order, resolve(registry, order.version), Store(ROOT, leases)).model_dump_json()
        except Exception as error:  # noqa: BLE001 - the boundary: whatever a library raises becomes an answer
            return Pushed(error=as_hone_error(error).record()).model_dump_json()


def _push(order: ExportOrder, version: RegisteredVersion, store: Store) -> Pushed:
    from pipeline.report.export import TOKEN_SECRET, export_version
    from pipeline.report.types import Registration
    from pipeline.report.version import VersionRecord

    check_target(order.to)
    secrets = visible_secrets()
    if TOKEN_SECRET not in secrets:
        raise ConfigError(
            f"no Secret of the app has {TOKEN_SECRET}, a token that may write",
            where="HONE_MODAL_SECRETS",
            fix=f"modal secret create huggingface {TOKEN_SECRET}=..., and set it to huggingface:{TOKEN_SECRET}",
        )
    exported = export_version(
        VersionRecord.load(store, version.ref),
        order.variant or version.served_variant,
        order.to,
        registration=Registration.of(version),
        private=order.private,
        context=CallContext(call_id="export", sink=teller(), secrets=secrets),
    )
    return Pushed(
        version=str(version),
        variant=exported.variant,
        location=exported.location,
        files=exported.files,
        size_bytes=exported.size_bytes,
    )


def teller(seconds: float = PROGRESS_SECONDS) -> Callable[[Event], None]:
    """Return what writes events to the container's log; progress once in ``seconds``, and its end."""
    told = float("-inf")

    def tell(event: Event) -> None:
        nonlocal told
        line = event.message
        if event.kind == "progress":
            label, done, total = (event.data[key] for key in ("label", "done", "total"))
            if done != total and time.monotonic() - told < seconds:
                return
            told = time.monotonic()
            line = f"{label}: {done:,} of {total:,} bytes"
        print(f"{event.call_id} {line}", flush=True)  # noqa: T201 - a container's log is its output

    return tell
