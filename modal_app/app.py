"""The app that stage functions and the controller belong to."""

from __future__ import annotations

import modal

from modal_app.settings import SETTINGS

stages = modal.App(SETTINGS.app, include_source=False)
"""What runs need: stages and controller. Images carry hone's source themselves: dependencies first, source last."""

SECRETS = [modal.Secret.from_name(secret.name, required_keys=list(secret.required_keys)) for secret in SETTINGS.secrets]
"""What stages may use: ``HF_TOKEN``, ``*_API_KEY`` and ``HONE_SECRET_*`` of the named Secrets."""
