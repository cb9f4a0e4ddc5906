"""No dead key: where a shipped description says something else, a plan, a fingerprint or the calls change."""

from __future__ import annotations

import functools
import hashlib
import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel, ValidationError

from pipeline.catalog import CATALOG
from pipeline.core.errors import ConfigError
from pipeline.plan.placement import placement
from pipeline.resolve import Resolver
from pipeline.resolve.bases import Bases
from pipeline.resolve.sources import Sources
from schemas import bias
from schemas.adapters import OTHERS
from schemas.artifacts import StageCall
from schemas.base import Reference, Schema, canonical_digest
from schemas.base_model import BaseModelRef
from schemas.placement import HardwareSpec
from schemas.register import RegisterArtifact
from schemas.resolved import ResolvedRun
from schemas.run import BaseModelSpec, RunSpec
from schemas.train import TrainSpec
from tests.support.registered import OneVersion
from tests.test_flow import World

PROJECT = Path(__file__).resolve().parent.parent
SHIPPED = sorted(
    [
        *(PROJECT / "examples" / "real_data").glob("*.yaml"),
        PROJECT / "examples" / "banking77-qwen3.yaml",
        *(PROJECT / "local_runner").rglob("demo/*.yaml"),
    ]
)
"""Descriptions that between them say something of every key."""

FILLINGS: dict[str, Any] = {
    "base_model.revision": "abc",
    "base_model.init": {"tokenizer": {"vocab_size": 300}},
    "data.prompt_template": "{{ text }}?",
    "data.labels": ["a", "b"],
    "evaluate.baselines.endpoint": {"base_url": "http://127.0.0.1:1/v1", "model": "m"},
    "evaluate.retention": [{"name": "own", "data": {"path": "own.jsonl"}}],
    "evaluate.measures": ["perplexity"],
    "evaluate.target": {"accuracy": 0.123},
    "evaluate.harness": [{"name": "arc", "task": "arc_easy"}],
    "train.retention": {"method": "replay", "share": 0.3},
    "train.lora.target_modules": ["q_proj"],
    "train.lora.modules_to_save": ["embed_tokens"],
    "train.lora.rank_pattern": {"q_proj": 4},
    "train.lora.alpha_pattern": {"q_proj": 4},
    "train.dpo.loss_weights": [0.5],
    "train.rewards": ["exact_match"],
    "train.rloo.reward_clip_range": [0.0, 0.5],
    "train.ia3.target_modules": ["k_proj", "down_proj"],
    "train.ia3.feedforward_modules": [],
    "train.vera.target_modules": ["q_proj"],
    "train.loha.target_modules": ["q_proj"],
    "train.lokr.target_modules": ["q_proj"],
    "train.oft.target_modules": ["q_proj"],
    "train.boft.target_modules": ["q_proj"],
    "train.ln_tuning.target_modules": ["norm"],
    "train.loha.rank_pattern": {"q_proj": 4},
    "train.loha.alpha_pattern": {"q_proj": 4},
    "train.lokr.rank_pattern": {"q_proj": 4},
    "train.lokr.alpha_pattern": {"q_proj": 4},
    "variants": ["merged"],
    "serve": {},
    "serve.variant": "adapter",
    "evaluate.judge": {"base_url": "http://127.0.0.1:1/v1", "model": "j", "labels": "people.jsonl"},
    "gate.minimum_win_rate": 0.4,
    "evaluate.bias": [{"kind": "bbq", "path": "bbq.jsonl"}],
    "gate.bias": {"bbq.ambiguous_bias": 0.1},
    "preflight.ignore": ["rows_too_long"],
    "preflight.languages": ["en"],
    "preflight.benchmarks": ["items.jsonl"],
    "gate.protected_metrics": ["macro_f1"],
    "gate.protected_slices": ["clean"],
}
"""Other values for keys that are null, empty or free-form."""

ASKS_NO_BASE: dict[str, Any] = {
    "evaluate.baselines.base": True,
    "evaluate.baselines.few_shot": 3,
    "evaluate.baselines.instruction": None,
}

REFUSED_WITH_INIT = ("base_model.revision", "base_model.trust_remote_code", "evaluate.harness", *ASKS_NO_BASE)
"""Keys of which a base without weights reads none: another value is an error."""

TOGETHER: dict[str, dict[str, Any]] = {
    "gate.minimum_win_rate": {"evaluate.judge": FILLINGS["evaluate.judge"]},
    "gate.bias": {"evaluate.bias": FILLINGS["evaluate.bias"]},
    "train.completion_only_loss": {"train.assistant_only_loss": False},
    "train.assistant_only_loss": {"train.completion_only_loss": False},
    "train.retention": {"evaluate.retention": FILLINGS["evaluate.retention"], "evaluate.retention_waived": None},
    "evaluate.retention": {"evaluate.retention_waived": None},
    "evaluate.retention_waived": {"evaluate.retention": None, "train.retention": []},
    "base_model.init": {"base_model.name": None, "train.adapter": "full", "train.retention": [], **ASKS_NO_BASE},
    "train.adapter": {"serve.variant": None, "base_model.init": None, "base_model.name": "hone:tiny"},
    "base_model.name": {"base_model.init": None},
    "train.kto.precompute_ref_log_probs": {"train.kto.loss_type": "apo_zero_unpaired"},
    "train.gkd.teacher": {"train.method": "gkd", "train.packing": False},
    "train.seq_kd.teacher": {"train.method": "seq_kd", "train.packing": False},
    "train.seq_kd.num_generations": {
        "train.method": "seq_kd",
        "train.seq_kd.teacher": "a-model",
        "train.rewards": ["exact_match"],
        "train.packing": False,
    },
    "train.rewards": {"train.method": "grpo", "train.completion_only_loss": True},
    "train.grpo.importance_sampling_level": {"train.grpo.loss_type": "grpo"},
}
"""Keys that can only change with others."""

for _kind in OTHERS:
    for _name in type(getattr(TrainSpec(), _kind)).model_fields:
        TOGETHER[f"train.{_kind}.{_name}"] = {
            "train.adapter": _kind,
            "train.retention": [],
            "serve": False,
            "base_model.init": None,
            "base_model.name": "hone:tiny",
        }


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every key that can be set, down to plain values and lists."""
    for key, item in value.items():
        name = f"{path}{key}"
        if isinstance(item, dict) and item and name not in ("base_model.init.config", "evaluate.target"):
            yield from leaves(item, f"{name}.")
        else:
            yield name, item


def others(path: str, value: Any, field: Any) -> Iterator[Any]:
    """Yield other values that the key might take."""
    if path in FILLINGS:
        yield FILLINGS[path]
    yield from re.findall(r"'([\w./-]+)'", str(field))
    if isinstance(value, bool):
        yield not value
    elif isinstance(value, int):
        yield from (value + 1, value * 2, value - 1)
    elif isinstance(value, float):
        yield from (value / 2, value / 2 + 0.01)
    elif isinstance(value, list):
        yield from (value[:-1], [*value, *value[:1]], [7])
    elif isinstance(value, dict):
        yield from ({}, {"exact_match": 0.123}, {"hidden_size": 32})
    yield from ("other", 3, 0.25, True, False)


def annotation_at(path: str) -> Any:
    """Return the annotation of a key, as text that shows its literals."""
    models: list[type[BaseModel]] = [RunSpec]
    found: Any = None
    for part in path.split("."):
        fields = [model.model_fields[part] for model in models if part in model.model_fields]
        found = fields[0].annotation if fields else None
        models = list(_models(found))
    return found


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in getattr(annotation, "__args__", ()):
        yield from _models(argument)


def assign(values: dict[str, Any], path: str, value: Any) -> None:
    *sections, last = path.split(".")
    for part in sections:
        if not isinstance(values.get(part), dict):
            values[part] = {}
        values = values[part]
    values[last] = value


class AnywhereSources(Sources):
    """Resolves every name to a digest of the name: what differs in words differs in the run."""

    def source(self, text: str, key: str, revision: str | None = None) -> Reference:
        words = text if revision is None else f"{text}@{revision}"
        return Reference(location=text, digest=hashlib.sha256(words.encode()).hexdigest())


class AnywhereBases(Bases):
    """As `AnywhereSources`."""

    def resolve(self, spec: BaseModelSpec, key: str = "base_model") -> tuple[BaseModelRef, None]:
        if spec.init is not None:
            return BaseModelRef(name="init", init=self._init(spec)), None
        digest = hashlib.sha256(f"{spec.name}@{spec.revision}".encode()).hexdigest()
        weights = Reference(location=str(spec.name), digest=digest)
        return BaseModelRef(name=str(spec.name), weights=weights, trust_remote_code=spec.trust_remote_code), None


class Anywhere(Resolver):
    """Resolves by names alone."""

    @property
    def sources(self) -> Sources:
        return AnywhereSources(self.folder, self.folder / "digests.json")

    @property
    def bases(self) -> Bases:
        return AnywhereBases(self.sources, self.store, self.registry, self.runs, self.embedded)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("keys") / "workspace")


@pytest.fixture(scope="module")
def as_shipped(world: World) -> Callable[[Path], str]:
    """Return a function that gives the `trace` of a shipped description."""
    return functools.cache(lambda path: trace(world, read(path), PROJECT))


def resolve(world: World, spec: RunSpec, folder: Path) -> ResolvedRun:
    resolver = Anywhere(
        folder=folder,
        store=world.store,
        registry=lambda: OneVersion(world.made["register"]),
        runs=None,  # type: ignore[arg-type]
        embedded={},
    )
    return resolver.resolve(spec).model_copy(update={"champion": resolver.champion(spec)})


def trace(world: World, spec: RunSpec, folder: Path) -> str:
    """Return a digest of every call that the run would make, with its config and the names of its inputs."""
    calls = world.play(resolve(world, spec, folder))
    configs = [[call.id, config_of(call), sorted(call.inputs)] for call in calls]
    return canonical_digest(configs)


def config_of(call: StageCall) -> Schema:
    """Return what a call is told; without the digest of the whole description, which would hide a key nobody reads."""
    config = CATALOG[call.stage].config.model_validate(call.config)
    return config.model_copy(update={"spec_digest": "0" * 64}) if call.stage == "register" else config


ONLY_SHOWN_WITH_INIT = frozenset({"description"})
"""Without a base to instruct this is what cards and reports say of the task; `tests/report` holds that they do."""


@functools.cache
def read(path: Path) -> RunSpec:
    """Return a shipped description; one that replays what its base's lineage names gets a retention task of its own."""
    values = yaml.safe_load(path.read_text())
    if "retention" in values.get("train", {}) and "retention" not in values.get("evaluate", {}):
        values.setdefault("evaluate", {})["retention"] = [{"name": "kept", "data": {"path": "kept.jsonl"}}]
    return RunSpec.model_validate(values)


def cases() -> Iterator[Any]:
    """Yield every key of every description; one that an earlier description has, too, is a slow case."""
    seen: set[str] = set()
    for path in SHIPPED:
        for key, _ in leaves(read(path).model_dump(mode="json")):
            if not key.startswith(UNREAD):
                yield pytest.param(path, key, marks=[pytest.mark.slow] if key in seen else [], id=f"{path.stem}-{key}")
                seen.add(key)


UNREAD = ("hardware.", "train.distributed", "promote")
"""Hardware, how processes share a training and what becomes of a version are no part of a run.

tests/train/test_sharing.py has the second, tests/control the third.
"""

PROBES: dict[str, dict[str, tuple[Any, Any]]] = {
    "bbq": {"path": ("a.jsonl", "b.jsonl"), "answer_by": ("generation", "likelihood")},
    "pairs": {"path": ("a.csv", "b.csv")},
    "counterfactual": {"words": ([["he", "she"]], [["his", "her"]])},
    "refusal": {
        "harmful": ("a.jsonl", "b.jsonl"),
        "harmless": ("c.jsonl", "d.jsonl"),
        "patterns": ([], ["no"]),
        "classifier": (None, {"path": "folder", "label": "refusal"}),
    },
    "toxicity": {
        "prompts": ("a.jsonl", "b.jsonl"),
        "classifier.path": ("folder", "other"),
        "classifier.label": ("toxic", "rude"),
        "classifier.threshold": (0.5, 0.7),
    },
}
"""Each kind of probe with two values of each of its keys."""

PROBE_KEYS = [
    (kind, key, other)
    for kind, keys in PROBES.items()
    for key, (_, other) in {**keys, "name": ("", "mine"), "max_items": (None, 5)}.items()
]


@pytest.mark.parametrize(("kind", "key", "other"), PROBE_KEYS)
def test_each_key_of_a_probe_changes_the_run(kind: str, key: str, other: Any, world: World, tmp_path: Path) -> None:
    spec = read(PROJECT / "local_runner" / "demo" / "triage.yaml").model_dump(mode="json")
    probe: dict[str, Any] = {"kind": kind}
    for name, (value, _) in PROBES[kind].items():
        assign(probe, name, value)
    assign(spec, "evaluate.bias", [probe])
    before = trace(world, RunSpec.model_validate(spec), tmp_path)
    assign(probe, key, other)
    assert trace(world, RunSpec.model_validate(spec), tmp_path) != before


def test_no_key_of_a_probe_is_forgotten() -> None:
    for kind in ("Bbq", "Pairs", "Counterfactual", "Refusal", "Toxicity"):
        model = getattr(bias, f"{kind}Probe")
        assert set(model.model_fields) == {
            "kind",
            "name",
            "max_items",
            *(key.split(".")[0] for key in PROBES[kind.lower()]),
        }


HARDWARE: dict[str, Any] = {"gpu": "B200:8", "cpu": 3, "memory": 5120, "timeout": 3601, "nodes": 2}
"""Another value for each key of a kind of work."""


@pytest.mark.parametrize(("path", "key"), list(cases()))
def test_saying_something_else_changes_the_run(
    path: Path, key: str, as_shipped: Callable[[Path], str], world: World, tmp_path: Path
) -> None:
    spec = read(path)
    full = spec.model_dump(mode="json")
    before = as_shipped(path)
    value = dict(leaves(full))[key]
    tried = []
    for other in others(key, value, annotation_at(key)):
        if other == value and type(other) is type(value):
            continue
        changed = spec.model_dump(mode="json")
        for also, setting in TOGETHER.get(key, {}).items():
            assign(changed, also, setting)
        assign(changed, key, other)
        try:
            after = trace(world, RunSpec.model_validate(changed), tmp_path)
        except (ValidationError, ConfigError):
            continue
        if after != before:
            return
        tried.append(other)
    if key == "serve.variant" and not spec.variants:
        return  # the adapter, said or not
    from_nothing = spec.base_model.init is not None
    if from_nothing and key in ONLY_SHOWN_WITH_INIT:
        return
    of_files = key == "data.revision" and Path(spec.data.path).suffix  # files have none
    refused = of_files or (from_nothing and key in REFUSED_WITH_INIT)
    if tried or not refused:
        pytest.fail(f"{key}: none of {tried} changes anything" if tried else f"{key}: no other value is valid")


@pytest.mark.parametrize(
    "key", [key for key, _ in leaves({"hardware": HardwareSpec().model_dump(mode="json")})], ids=lambda key: key
)
def test_other_hardware_changes_where_calls_run_and_nothing_else(key: str, world: World, tmp_path: Path) -> None:
    spec = read(PROJECT / "local_runner" / "demo" / "triage.yaml")
    changed = spec.model_dump(mode="json")
    assign(changed, key, HARDWARE[key.rsplit(".", 1)[-1]])
    other = RunSpec.model_validate(changed)
    assert trace(world, other, tmp_path) == trace(world, spec, tmp_path)
    assert resolve(world, other, tmp_path).digest() == resolve(world, spec, tmp_path).digest()
    plan = world.made["plan"].artifact
    moved = {
        call.stage
        for call in world.play(resolve(world, spec, tmp_path))
        if placement(call, plan, spec.hardware, "cuda") != placement(call, plan, other.hardware, "cuda")
    }
    assert moved == {key.split(".")[1]}


def ways_to(model: type[BaseModel], field: str) -> list[str]:
    """Return the field's name, and those of the model's properties that give it out."""
    properties = [(name, value) for name, value in vars(model).items() if isinstance(value, property)]
    through = [name for name, value in properties if re.search(rf"\bself\.{field}\b", inspect.getsource(value.fget))]
    return [field, *through]


def fields_of(model: type[BaseModel], seen: set[type[BaseModel]]) -> Iterator[tuple[type[BaseModel], str]]:
    if model in seen:
        return
    seen.add(model)
    for name, field in model.model_fields.items():
        yield model, name
        for inner in _models(field.annotation):
            yield from fields_of(inner, seen)


READERS = {"register": "registry", "judge": "evaluate", "bias": "evaluate"}
"""The rooms of stages that have another name than their stage."""

SHARED = ("render", "core", "backends", "execute.py")
"""Rooms that read stage configs handed to them."""

HANDED_ON = (
    "FsdpConfig",
    "ZeroOptimization",
    "Offload",
    *(type(getattr(TrainSpec(), kind)).__name__ for kind in OTHERS),
)
"""Blocks that are handed on to a library whole, under its own names.

tests/train/test_sharing.py and tests/plan/test_adapter_size.py have what it takes.
"""


def test_every_field_of_a_stage_config_is_read_by_its_stage() -> None:
    """Fields are looked for in the stage's own room and in those that are handed its config, not anywhere."""
    pipeline = PROJECT / "pipeline"
    handed = [path for name in SHARED for path in (pipeline / name).rglob("*.py") or [pipeline / name]]
    read: dict[str, bool] = {}
    for entry in CATALOG.values():
        room = [*(pipeline / READERS.get(entry.name, entry.name)).rglob("*.py"), *handed]
        text = "\n".join(path.read_text() for path in room)
        for model, field in fields_of(entry.config, {RegisterArtifact}):
            key, ways = f"{model.__name__}.{field}", "|".join(ways_to(model, field))
            read[key] = read.get(key, False) or bool(re.search(rf"\.({ways})\b|[\"']({ways})[\"']", text))
    known = {*HANDED_ON, *OTHERS}  # an adapter's section is taken by its name
    missing = sorted(key for key, found in read.items() if not found and known.isdisjoint(key.split(".")))
    assert missing == []
