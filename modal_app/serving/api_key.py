"""The endpoint's key: where it comes from, and which keys are too weak to be one."""

from __future__ import annotations

import itertools
import math
import os

import modal

from modal_app.settings import SETTINGS
from pipeline.core.errors import ConfigError

KEY = "HONE_API_KEY"
SECRET = f"{SETTINGS.app}-endpoint"

LEAST_CHARACTERS = 24
LEAST_BITS = 64.0
"""Guesses that nobody can make against a server that answers hundreds in a second."""

PLACEHOLDERS = ("password", "changeme", "placeholder", "example")
"""Words of keys that were meant to be replaced."""

_FIX = f"modal secret create {SECRET} {KEY}=$(openssl rand -hex 32) --force"


def secret() -> modal.Secret:
    """Return the Secret that holds the key; Modal refuses to deploy without it, or where it has no such key."""
    return modal.Secret.from_name(SECRET, required_keys=[KEY])


def key_of_container() -> str:
    """Return the key of this container.

    Raises:
        ConfigError: it is weak.
    """
    return checked(os.environ.get(KEY, ""))


def checked(key: str) -> str:
    """Return ``key`` if nobody can guess it.

    Raises:
        ConfigError: it is weak; the message says why, and does not show it.
    """
    problem = weakness(key)
    if problem is not None:
        raise ConfigError(f"the endpoint's key is weak: {problem}", where=KEY, fix=_FIX)
    return key


def weakness(key: str) -> str | None:
    """Return what is wrong with a key; None where nothing is.

    >>> weakness("0123456789abcdef0123456789abcdef")
    'it repeats itself or is a sequence'
    """
    if len(key) < LEAST_CHARACTERS:
        return f"it has {len(key)} characters, and {LEAST_CHARACTERS} are the least"
    if not all("!" <= character <= "~" for character in key):
        return "it has other characters than ASCII letters, digits and signs"
    if any(word in key.lower() for word in PLACEHOLDERS):
        return "it looks like a placeholder"
    if bits(key) < LEAST_BITS:
        return "it repeats itself or is a sequence"
    return None


def bits(key: str) -> float:
    """Estimate the bits of a key: those of a choice among its own characters, for each one that comes as a surprise.

    A character is none where it follows its predecessor as it did before (``abcabc``), or is as far from it as that
    one was from its own (``1234``, ``aaaa``).
    """
    seen: set[str] = set()
    surprises, step = 0, None
    for before, after in itertools.pairwise(key):
        distance = ord(after) - ord(before)
        surprises += before + after not in seen and distance != step
        seen.add(before + after)
        step = distance
    return surprises * math.log2(max(2, len(set(key))))
