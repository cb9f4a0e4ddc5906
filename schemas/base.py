"""The base of all contracts: frozen models, references to outside things, and what a fingerprint leaves out."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue

StageName = Literal["plan", "data", "train", "evaluate", "optimize", "bias", "judge", "serve", "register"]

Split = Literal["train", "validation", "test"]

Device = Literal["cpu", "cuda"]
"""What an environment's packages are built for."""

DIGEST_PATTERN = r"^[0-9a-f]{64}$"
Digest = Annotated[str, Field(pattern=DIGEST_PATTERN)]
"""A sha256 in lower-case hexadecimal."""

Slug = Annotated[str, Field(pattern=r"^[a-z0-9](\.?[a-z0-9_-])*$", max_length=63)]
"""A name that may stand in a path, a URL and a registry: no dot at its end, nor two in a row."""

Seed = Annotated[int, Field(ge=0, lt=2**32)]
"""What every library takes for a seed."""


@dataclass(frozen=True)
class NotFingerprinted:
    """Marks a field that says where or how, not what: it never changes a fingerprint."""


class Schema(BaseModel):
    """A frozen value: unknown keys and numbers that JSON has not are errors, two equal values are interchangeable."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_default=True, protected_namespaces=(), allow_inf_nan=False
    )


class Reference(Schema):
    """A file, folder, Hub revision or user code outside the workspace.

    ``digest`` identifies the content (sha256 of the bytes, or a Hub commit) and is what a fingerprint sees;
    ``location`` is where this machine finds it. A reference without a digest is unresolved and cannot be fingerprinted.
    """

    location: Annotated[str, NotFingerprinted()]
    digest: str | None = None


class ArtifactRef(Schema):
    """The identity of one finished artifact: ``<root>/artifacts/<stage>/<fingerprint>/``."""

    stage: StageName
    fingerprint: Digest

    def __str__(self) -> str:
        return f"{self.stage}/{self.fingerprint[:12]}"


def _relative(path: str) -> str:
    parts = path.split("/")
    if path.startswith("/") or "\\" in path or "\0" in path or any(part in ("", ".", "..") for part in parts):
        raise ValueError(f"{path!r} is not a plain relative path")
    return path


RelativePath = Annotated[str, AfterValidator(_relative)]
"""A path inside an artifact: ``/``-separated, never absolute, never upward."""


def canonical(value: Any) -> JsonValue:
    """Return ``value`` as JSON data without the fields marked `NotFingerprinted`.

    Models become objects with sorted keys, so that equal meaning gives equal bytes.

    Raises:
        ValueError: a `Reference` without a digest is inside ``value``.
    """
    if isinstance(value, Reference) and value.digest is None:
        raise ValueError(f"reference {value.location!r} was not resolved to a digest")
    if isinstance(value, BaseModel):
        fields = type(value).model_fields
        kept = (
            name for name in sorted(fields) if not any(isinstance(m, NotFingerprinted) for m in fields[name].metadata)
        )
        return {name: canonical(getattr(value, name)) for name in kept}
    if isinstance(value, dict):
        return {str(key): canonical(value[key]) for key in sorted(value, key=str)}
    if isinstance(value, (list, tuple)):
        return [canonical(item) for item in value]
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    raise ValueError(f"{type(value).__name__} has no canonical form")


def canonical_as_stored(value: Any, stored: JsonValue) -> JsonValue:
    """Return `canonical` of those fields of ``value`` that ``stored`` has, whatever fields came since.

    Args:
        value: what was read.
        stored: what it was read from: a field that it does not have was not there yet.
    """
    if isinstance(value, BaseModel) and isinstance(stored, dict):
        fields = type(value).model_fields
        kept = (
            name
            for name in sorted(stored)
            if name in fields and not any(isinstance(m, NotFingerprinted) for m in fields[name].metadata)
        )
        return {name: canonical_as_stored(getattr(value, name), stored[name]) for name in kept}
    if isinstance(value, dict) and isinstance(stored, dict):
        inner = {str(key): each for key, each in value.items()}
        return {key: canonical_as_stored(inner.get(key), stored[key]) for key in sorted(stored)}
    if isinstance(value, (list, tuple)) and isinstance(stored, list):
        return [canonical_as_stored(*pair) for pair in zip(value, stored, strict=True)]
    return canonical(value)


def canonical_digest(value: Any) -> str:
    """Return the sha256 (hexadecimal) of the canonical JSON of ``value``."""
    text = json.dumps(canonical(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
