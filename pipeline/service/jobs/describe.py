"""From a request in OpenAI's shape to a run description; `pipeline.service.jobs.confined` says what it may name."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic import JsonValue

from pipeline.core.errors import ConfigError
from pipeline.core.spec import validate_spec
from pipeline.embedded import EMBEDDED
from pipeline.service.api.errors import Refusal
from pipeline.service.jobs.confined import HUB_ID, Located, check_confined, locate_files
from schemas.fine_tuning import DpoHyperparameters, JobRequest, Method
from schemas.run import RunSpec

SECTIONS: Final = (
    "name", "task", "description", "data", "preflight", "train", "evaluate", "variants", "serve", "gate",
    "constraints", "hardware",
)  # fmt: skip
"""Keys of a run description that ``spec`` may have; the base is ``model``."""

DEFAULT_TASK: Final = "generation"

_VERSION = re.compile(r"[a-z0-9][a-z0-9._-]*@(champion|candidate|[0-9]{1,9})", re.ASCII)
_NOT_IN_A_SLUG = re.compile(r"[^a-z0-9_-]+")
_NAME_LENGTH = 40


@dataclass(frozen=True)
class Description:
    """A run description and what of the request does not fit into one."""

    spec: RunSpec
    seed: int
    learning_rate_multiplier: float | None


def describe(request: JobRequest, job: str, located: Located, tuned: Callable[[str], str | None]) -> Description:
    """Return what a request asks for.

    Args:
        request: the request.
        job: the job's id; a job without a suffix is a registered name of its own.
        located: finds files.
        tuned: from the name of a tuned model to its version (``name@3``), None where there is no such model.

    Raises:
        Refusal: it names something that is not there or may not be named, or says something that does not fit.
    """
    places: set[str] = set()

    def found(name: str, key: str) -> str:
        places.add(place := located(name, key))
        return place

    values = locate_files(_own_keys(request.spec or {}), found)
    data = {**values.get("data", {}), "path": found(request.training_file, "training_file")}
    if request.validation_file is not None:
        data["validation_path"] = found(request.validation_file, "validation_file")
    seed = request.seed or 0
    train = _joined(_trained(request.chosen, seed), values.get("train", {}), request.chosen)
    described = {
        "name": _registered_name(request, job),
        "task": DEFAULT_TASK,
        "serve": False,
        **values,
        "base_model": _base(request.model, tuned),
        "data": data,
        "train": train,
    }
    try:
        spec = validate_spec(described, "spec")
    except ConfigError as error:
        raise Refusal.of(error, param="spec") from None
    check_confined(spec, places)
    multiplier = request.chosen.hyperparameters.learning_rate_multiplier
    return Description(spec, seed, None if multiplier == "auto" else multiplier)


def tuned_name(request: JobRequest, organization: str, job: str) -> str:
    """Return the name of the model that a job makes: ``ft:base:organization:suffix:id``."""
    base = re.sub(r"[:@\s]+", "-", request.model.removeprefix("ft:"))
    return f"ft:{base}:{organization}:{_slug(request.suffix)}:{job.rpartition('-')[2][:8]}"


def _own_keys(spec: Mapping[str, JsonValue]) -> dict[str, Any]:
    """Return the sections of ``spec``, without keys that the request has places of its own for."""
    for key, value in spec.items():
        if key not in SECTIONS:
            raise Refusal(400, f"spec.{key}: not one of {', '.join(SECTIONS)}", param=f"spec.{key}")
        if key in ("data", "train", "evaluate", "preflight") and not isinstance(value, dict):
            raise Refusal(400, f"spec.{key}: an object is expected", param=f"spec.{key}")
    elsewhere = {"path": "training_file", "validation_path": "validation_file", "revision": "training_file"}
    data: Any = spec.get("data", {})
    for key, place in elsewhere.items():
        if key in data:
            raise Refusal(400, f"spec.data.{key}: say it in {place}", param=f"spec.data.{key}")
    train: Any = spec.get("train", {})
    for key, place in {"method": "method.type", "seeds": "seed"}.items():
        if key in train:
            raise Refusal(400, f"spec.train.{key}: say it in {place}", param=f"spec.train.{key}")
    return dict(spec)


def _trained(method: Method, seed: int) -> dict[str, Any]:
    chosen = method.hyperparameters
    train: dict[str, Any] = {"method": "sft" if method.type == "supervised" else "dpo", "seeds": [seed]}
    if chosen.n_epochs != "auto":
        train["num_train_epochs"] = chosen.n_epochs
    if chosen.batch_size != "auto":
        train |= {"per_device_train_batch_size": chosen.batch_size, "gradient_accumulation_steps": 1}
    if isinstance(chosen, DpoHyperparameters) and chosen.beta != "auto":
        train["dpo"] = {"beta": chosen.beta}
    return train


def _joined(chosen: dict[str, Any], own: dict[str, Any], method: Method) -> dict[str, Any]:
    """Return what both places say of training. Raises a Refusal where both say the same key."""
    twice = sorted(chosen.keys() & own.keys())
    if "learning_rate" in own and method.hyperparameters.learning_rate_multiplier != "auto":
        twice.append("learning_rate")
    if twice:
        key = f"spec.train.{twice[0]}"
        raise Refusal(400, f"{key}: a hyperparameter of method says this as well; keep one of the two", param=key)
    return {**chosen, **own}


def _registered_name(request: JobRequest, job: str) -> str:
    """Return the name under which versions are registered: those of one suffix follow each other."""
    return _slug(request.suffix) or f"ft-{job.rpartition('-')[2][:12]}"


def _slug(suffix: str | None) -> str:
    """Return a suffix as names may have it: ``Support Triage`` -> ``support-triage``."""
    return _NOT_IN_A_SLUG.sub("-", (suffix or "").lower()).strip("-_")[:_NAME_LENGTH].rstrip("-_")


def _base(model: str, tuned: Callable[[str], str | None]) -> str:
    if model.startswith("ft:"):
        version = tuned(model)
        if version is not None:
            return version
    elif model in EMBEDDED or _VERSION.fullmatch(model) or HUB_ID.fullmatch(model):
        return model
    known = ", ".join(sorted(EMBEDDED))
    message = (
        f"The model '{model[:100]}' cannot be fine-tuned here: name {known}, a model of the Hub (org/name), "
        "a registered version (name@champion), or the fine_tuned_model of a job"
    )
    raise Refusal(404, message, param="model", code="model_not_found")
