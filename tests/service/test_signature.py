from __future__ import annotations

import base64
import secrets

import pytest

from pipeline.core.errors import ConfigError
from pipeline.service.deliveries import TOLERANCE
from pipeline.service.signature import Verifier, read_signature
from tests.service.support import SECRET, signed


def encoded(key: bytes) -> str:
    return "whsec_" + base64.b64encode(key).decode()


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "whsec_",
        "hunter2",
        SECRET.removeprefix("whsec_"),
        "whsec_not base64 at all, however long it may be",
        "whsec_" + "é" * 40,
        SECRET + "=",
        encoded(bytes(range(23))),
        encoded(bytes(24)),
        encoded(b"abc" * 20),
    ],
)
def test_a_weak_secret_is_refused_and_not_repeated(secret: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Verifier(secret)
    told = str(caught.value) + str(caught.value.__cause__)
    assert "openssl rand -base64 32" in told
    assert len(secret) < 7 or secret.removeprefix("whsec_") not in told
    assert "whsec_" + secret.removeprefix("whsec_")[:8] not in told or len(secret) < 7


def test_random_bytes_of_the_least_size_are_taken() -> None:
    for _ in range(50):
        Verifier(encoded(secrets.token_bytes(24)))


def test_the_tolerance_is_that_of_the_library() -> None:
    """At 299 s the library takes what is taken here; at 301 s both refuse."""
    taken = signed("{}", age=TOLERANCE - 1)
    verifier = Verifier(SECRET)
    assert verifier.verify(b"{}", read_signature(taken, float(taken["webhook-timestamp"]))) == "{}"


def test_the_specifications_example_is_verified_by_its_formula() -> None:
    """HMAC-SHA256 over ``id.timestamp.body``, computed here without the library."""
    import hashlib
    import hmac
    import time

    body, stamp = '{"a": "é"}', str(int(time.time()))
    key = bytes(range(32))
    digest = hmac.new(key, f"msg_1.{stamp}.{body}".encode(), hashlib.sha256).digest()
    headers = {
        "webhook-id": "msg_1",
        "webhook-timestamp": stamp,
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }
    assert Verifier(encoded(key)).verify(body.encode(), read_signature(headers, time.time())) == body
