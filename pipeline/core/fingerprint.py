"""Fingerprints: the identity of a stage call, from what it does and what it is given.

sha256 of the canonical config (every outside reference as its content digest), the inputs' content digests, the stage
version and the digest of the environment file. Paths, clocks and hardware are not in it.
"""

from __future__ import annotations

from pipeline.core.errors import ConfigError
from schemas.artifacts import Inputs, Stored
from schemas.base import Schema, canonical, canonical_digest


def input_digests(inputs: Inputs) -> dict[str, object]:
    """Return the content digests of all inputs: by field, and by name inside a mapping."""
    digests: dict[str, object] = {}
    for name in type(inputs).model_fields:
        value = getattr(inputs, name)
        if isinstance(value, Stored):
            digests[name] = value.content_digest
        elif isinstance(value, dict):
            digests[name] = {key: item.content_digest for key, item in value.items()}
    return digests


def fingerprint(*, stage: str, config: Schema, inputs: Inputs, stage_version: str, environment_digest: str) -> str:
    """Return the fingerprint (sha256, hexadecimal) of a stage call.

    Raises:
        ConfigError: the config holds a reference that was not resolved.
    """
    try:
        described = canonical(config)
    except ValueError as error:
        raise ConfigError(str(error), where=stage, fix="resolve the run description first") from error
    return canonical_digest(
        {
            "stage": stage,
            "config": described,
            "inputs": input_digests(inputs),
            "stage_version": stage_version,
            "environment": environment_digest,
        }
    )
