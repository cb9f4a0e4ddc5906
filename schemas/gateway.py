"""The gateway: which engines serve which versions, and what is kept of answers."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints, field_validator, model_validator

from schemas.base import Digest, Schema, Slug
from schemas.rollout import RolloutPolicy

VersionName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9](\.?[a-z0-9_-])*@[0-9]{1,9}$", max_length=80)]
"""A registered version: ``support-triage@3``."""

VariableName = Annotated[str, StringConstraints(pattern=r"^[A-Z][A-Z0-9_]*$", max_length=80)]


class EngineAddress(Schema):
    """An OpenAI-compatible engine. ``api_key_env`` names the environment variable with the key that it asks for."""

    base_url: Annotated[str, StringConstraints(pattern=r"^https?://[^/?#@\s]+(/[^?#\s]*)?$", max_length=500)]
    api_key_env: VariableName | None = None

    @field_validator("base_url")
    @classmethod
    def _without_a_slash(cls, url: str) -> str:
        return url.rstrip("/")


class AdapterFiles(Schema):
    """An adapter that engines load at run time, as vLLM does with ``VLLM_ALLOW_RUNTIME_LORA_UPDATING``.

    ``path``: its folder, which this process and every engine see there. ``digest``: its content, as the sha256 over the
    sorted lines ``path sha256``; null takes what is there at the start.
    """

    path: Annotated[str, StringConstraints(pattern=r"^/", max_length=1000)]
    digest: Digest | None = None


class ServedVersion(Schema):
    """A version and what it is called by each engine that serves it: the model's name there.

    Of an ``adapter`` this is how its name begins: its content's digest follows, so a name never means other weights.
    """

    engines: Annotated[dict[str, Annotated[str, StringConstraints(min_length=1, max_length=480)]], Field(min_length=1)]
    adapter: AdapterFiles | None = None


class ServedModel(Schema):
    """A name that clients ask. ``champion`` null is the registry's; ``candidate`` begins a rollout by ``policy``."""

    champion: VersionName | None = None
    candidate: VersionName | None = None
    policy: RolloutPolicy = RolloutPolicy()


class CaptureOptions(Schema):
    """What is kept of an answer besides its id, version, times and length.

    ``text``: what was asked and answered, of the share ``sample``, with personal data redacted. ``retention_days``:
    after so many days an answer is forgotten.
    """

    text: bool = False
    sample: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0
    retention_days: Annotated[int, Field(ge=1, le=3650)] = 30


class GatewayConfig(Schema):
    """Everything that a gateway is told at its start."""

    engines: Annotated[dict[Slug, EngineAddress], Field(min_length=1)]
    versions: Annotated[dict[VersionName, ServedVersion], Field(min_length=1)]
    models: Annotated[dict[Slug, ServedModel], Field(min_length=1)]
    capture: CaptureOptions = CaptureOptions()

    @model_validator(mode="after")
    def _names_lead_somewhere(self) -> GatewayConfig:
        for version, served in self.versions.items():
            for engine in served.engines:
                if engine not in self.engines:
                    raise ValueError(f"versions.{version}: no engine is called {engine}")
        for name, model in self.models.items():
            for version in filter(None, (model.champion, model.candidate)):
                if version.partition("@")[0] != name:
                    raise ValueError(f"models.{name}: {version} is no version of it")
                if version not in self.versions:
                    raise ValueError(f"models.{name}: nothing under versions says where {version} is served")
            if model.candidate is not None and model.candidate == model.champion:
                raise ValueError(f"models.{name}: the candidate is the champion")
        return self
