"""From a request in OpenAI's shape to a run description: what it says, and nothing that leads out of the service.

A description may name files, addresses, code and secrets of the machine that it runs on. Whoever sends one over the
network has no business there: files are named by their ids, and everything else of the kind is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic import JsonValue

from pipeline.core.errors import ConfigError
from pipeline.core.spec import validate_spec
from pipeline.embedded import EMBEDDED
from pipeline.service.api.errors import Refusal
from schemas.fine_tuning import DpoHyperparameters, JobRequest, Method
from schemas.run import RunSpec

SECTIONS: Final = (
    "name", "task", "description", "data", "preflight", "train", "evaluate", "variants", "serve", "gate",
    "constraints", "hardware",
)  # fmt: skip
"""Keys of a run description that ``spec`` may have; the base is ``model``."""

DEFAULT_TASK: Final = "generation"

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)
_VERSION = re.compile(r"[a-z0-9][a-z0-9._-]*@(champion|candidate|[0-9]{1,9})", re.ASCII)
_NOT_IN_A_SLUG = re.compile(r"[^a-z0-9_-]+")
_NAME_LENGTH = 40

Located = Callable[[str, str], str]
"""From a file's id and the key that names it to where its rows lie; raises a Refusal where there is none."""


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
    values = _own_keys(request.spec or {})
    given = dict(values.get("data", {}))
    if "test_path" in given:
        given["test_path"] = located(str(given["test_path"]), "spec.data.test_path")
    data = {**given, "path": located(request.training_file, "training_file")}
    if request.validation_file is not None:
        data["validation_path"] = located(request.validation_file, "validation_file")
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
    _locate_named(described, located)
    try:
        spec = validate_spec(described, "spec")
    except ConfigError as error:
        raise Refusal.of(error, param="spec") from None
    _refuse_outside(spec)
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
    elif model in EMBEDDED or _VERSION.fullmatch(model) or _HUB_ID.fullmatch(model):
        return model
    known = ", ".join(sorted(EMBEDDED))
    message = (
        f"The model '{model[:100]}' cannot be fine-tuned here: name {known}, a model of the Hub (org/name), "
        "a registered version (name@champion), or the fine_tuned_model of a job"
    )
    raise Refusal(404, message, param="model", code="model_not_found")


def _locate_named(described: dict[str, Any], located: Located) -> None:
    """Put the places of files for the ids that the other sections name."""
    preflight = described.get("preflight", {})
    if isinstance(preflight.get("benchmarks"), list):
        benchmarks = [located(str(name), "spec.preflight.benchmarks") for name in preflight["benchmarks"]]
        described["preflight"] = {**preflight, "benchmarks": benchmarks}
    retention = described.get("evaluate", {}).get("retention")
    if isinstance(retention, list):
        tasks = [_located_task(task, located) for task in retention]
        described["evaluate"] = {**described["evaluate"], "retention": tasks}


def _located_task(task: Any, located: Located) -> Any:
    data = task.get("data") if isinstance(task, dict) else None
    if not isinstance(data, dict):
        return task  # the description's own validation says what is wrong with it
    key = "spec.evaluate.retention.data"
    paths = {
        name: located(str(data[name]), f"{key}.{name}")
        for name in ("path", "validation_path", "test_path")
        if data.get(name) is not None
    }
    return {**task, "data": {**data, **paths, "revision": None}}


def _refuse_outside(spec: RunSpec) -> None:
    """Refuse what leads out of the service.

    Raises:
        Refusal: the description names code, addresses, secrets or files of the machine.
    """
    for key, what in _outside(spec):
        raise Refusal(400, f"spec.{key}: {what} may not be named here", param=f"spec.{key}")


def _outside(spec: RunSpec) -> Iterator[tuple[str, str]]:
    evaluate = spec.evaluate
    for metric in (*evaluate.metrics, *(task.metric for task in evaluate.retention or ())):
        if ":" in metric.name or metric.code is not None:
            yield "evaluate.metrics", "code"
    if evaluate.baselines.endpoint is not None:
        yield "evaluate.baselines.endpoint", "an address"
    if evaluate.judge is not None:
        yield "evaluate.judge", "an address"
    for task in evaluate.harness:
        if task.allow_code or not task.task.replace("_", "").replace("-", "").isalnum():
            yield "evaluate.harness", "a file"
