"""The Secrets that a deployed app asks for."""

from __future__ import annotations

import base64

from tests.modal_app.plane import APP

WEBHOOK_SECRET = "whsec_" + base64.b64encode(b"a key of the tests, 32 bytes long").decode()

SECRETS = {
    f"{APP}-webhook": {"HONE_WEBHOOK_SECRET": WEBHOOK_SECRET},
    f"{APP}-endpoint": {"HONE_API_KEY": "a-key-of-the-tests-that-is-long-enough-0"},
}
