"""The app that stage functions and the controller belong to."""

from __future__ import annotations

import modal

from modal_app.settings import SETTINGS, NamedSecret

stages = modal.App(SETTINGS.app, include_source=False)
"""What runs need: stages and controller. Images carry hone's source themselves: dependencies first, source last."""


def _named(secret: NamedSecret) -> modal.Secret:
    return modal.Secret.from_name(secret.name, required_keys=list(secret.required_keys))


SECRETS = [_named(secret) for secret in SETTINGS.secrets]
"""What stages may use: ``HF_TOKEN``, ``*_API_KEY`` and ``HONE_SECRET_*`` of the named Secrets."""

TRACKING = [_named(SETTINGS.tracking_secret)] if SETTINGS.tracking_secret is not None else []
"""What the tracking server asks for; no stage's container has it."""
