"""The Secrets that a deployed app asks for."""

from __future__ import annotations

import base64

from tests.modal_app.plane import APP

WEBHOOK_SECRET = "whsec_" + base64.b64encode(b"a key of the tests, 32 bytes long").decode()
API_KEY = "f3a9c17e5b0d48269ce1a7b35d80f642"

SECRETS = {
    f"{APP}-webhook": {"HONE_WEBHOOK_SECRET": WEBHOOK_SECRET},
    f"{APP}-endpoint": {"HONE_API_KEY": API_KEY},
}
