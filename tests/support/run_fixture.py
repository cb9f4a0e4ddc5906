"""A small but complete workspace of one run, made of real manifests without running a stage.

The numbers, on 20 test items of the metric exact_match: the base is right on items 0-3 (4/20), the tuned model on items
1-18 (18/20); so tuning fixed 15 items (4-18) and broke one (0). Intervals are Wilson's for these counts.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.core.digests import DigestCache
from pipeline.core.workspace import Store, artifact_digest, list_files, write_record
from pipeline.execute import load
from schemas.artifacts import Artifact, Cost, Manifest
from schemas.base import ArtifactRef, Reference, StageName, canonical_digest
from schemas.base_model import BaseModelRef
from schemas.data import DataArtifact, DataFiles, DropCount, Example, Message
from schemas.errors import ErrorRecord
from schemas.evaluate import (
    BaseSubject,
    Confusion,
    EvaluateArtifact,
    MetricSpec,
    ModelSubject,
    Reliability,
    Score,
    Subject,
    WeakSlice,
)
from schemas.optimize import OptimizeArtifact, Variant
from schemas.plan import (
    DataProfile,
    HardwareOption,
    MemoryEstimate,
    PlanArtifact,
    PowerEstimate,
    Reasoned,
    TrainingDecisions,
)
from schemas.register import Comparison, Condition, Decision, Lineage, RegisterArtifact, SeedSpread
from schemas.render import RenderReport
from schemas.resolved import ResolvedJudge, ResolvedRetention, ResolvedRun, RunFile
from schemas.run import RunSpec
from schemas.serve import LaunchDescription, ServeArtifact
from schemas.train import TrainArtifact

ITEMS = 20
BASE_RIGHT = frozenset(range(4))
TUNED_RIGHT = frozenset(range(1, 19))
W4A16_RIGHT = frozenset(range(1, 18))

WILSON = {4: (0.0807, 0.4160), 15: (0.5313, 0.8881), 17: (0.6396, 0.9476), 18: (0.6990, 0.9721), 16: (0.5840, 0.9193)}
"""Wilson's 95% interval of k of 20."""

HOSTILE = '<script>alert("x")</script> | a\nb \x00 \u202etfel'
"""What a model may answer: markup, a table's bar, a line break, a control character, a direction override."""

_DIGEST = "ab" * 32


@dataclass
class RunFixture:
    """Writes one run into ``root``; `build` writes all of it, or up to and including one call.

    ``hub``: base and data come from the Hub. ``replaced``: files of a call's artifact instead of the made-up ones.
    """

    root: Path
    promoted: bool = True
    hub: bool = False
    replaced: dict[str, dict[str, bytes]] = field(default_factory=dict)
    spec: dict[str, Any] = field(default_factory=dict)
    calls: dict[str, dict[str, Any]] = field(default_factory=dict)
    refs: dict[str, ArtifactRef] = field(default_factory=dict)
    contents: dict[str, str] = field(default_factory=dict)

    @property
    def base_folder(self) -> Path:
        return self.root.parent / "tiny-base"

    def base(self) -> BaseModelRef:
        if self.hub:
            return BaseModelRef(name="org/tiny", weights=Reference(location="org/tiny", digest="c" * 40))
        if not self.base_folder.exists():
            write_base(self.base_folder)
        digest = DigestCache(None).digest(self.base_folder)
        return BaseModelRef(name="tiny-base", weights=Reference(location=str(self.base_folder), digest=digest))

    def resolved(self) -> ResolvedRun:
        spec = {
            "name": "triage",
            "task": "extraction",
            "description": "Support messages to a record & a label",
            "base_model": "tiny-base",
            "data": {"path": "/home/someone/private/messages.jsonl"},
            "train": {"learning_rate": 0.005},
            "evaluate": {"target": {"exact_match": 0.8}, "metrics": ["exact_match"]},
            "variants": ["merged", "w4a16"],
            "constraints": {"max_cost": 5},
            **self.spec,
        }
        return ResolvedRun(
            spec=RunSpec.model_validate(spec),
            base=self.base(),
            data=DataFiles(train=self._train_file()),
            metrics=(MetricSpec(name="exact_match"),),
            retention=(
                ResolvedRetention(
                    name="commands",
                    metric=MetricSpec(name="exact_match"),
                    margin=0.2,
                    files=DataFiles(train=Reference(location="commands.jsonl", digest=_DIGEST)),
                ),
            ),
            retention_waived=None,
            judge=ResolvedJudge() if spec["evaluate"].get("judge") is not None else None,
        )

    def _train_file(self) -> Reference:
        if self.hub:
            return Reference(location="org/messages", digest="d" * 40)
        return Reference(location="/home/someone/private/messages.jsonl", digest=_DIGEST)

    def build(self, until: str = "register", failed: str | None = None) -> str:
        """Write the run; calls after ``until`` are left out, and ``failed`` is recorded as failed. Return its id."""
        if not self.base_folder.exists():
            write_base(self.base_folder)
        for call_id in _ORDER:
            if call_id == failed:
                error = ErrorRecord(code="data", message="row 7 is no JSON", where="messages.jsonl:7", fix="repair it")
                self.calls[call_id] = _call_entry(_stage(call_id), None, "failed", None, error)
            else:
                getattr(self, "_" + call_id.replace(".", "_").replace("-", "_"))(call_id)
            if until == call_id:
                break
        return self._write_run()

    def _write_run(self) -> str:
        resolved = self.resolved()
        file = RunFile(
            **{name: getattr(resolved, name) for name in ResolvedRun.model_fields},
            run=resolved.run_id(),
            spec_digest=resolved.digest(),
            created_at="2026-11-23T10:00:00+00:00",
        )
        folder = self.root / "runs" / file.run
        write_record(folder / "run.json", file.model_dump(mode="json"))
        # the order of calls is their history, so keys are not sorted
        (folder / "calls.json").write_text(json.dumps(self.calls, indent=2))
        return file.run

    def finish(
        self,
        call_id: str,
        artifact: Artifact,
        files: Mapping[str, bytes],
        *,
        config: Mapping[str, Any] | None = None,
        cost: tuple[float, float, int] = (1.0, 2.0, 100_000_000),
    ) -> ArtifactRef:
        stage = _stage(call_id)
        files = self.replaced.get(call_id, files)
        ref = ArtifactRef(stage=stage, fingerprint=canonical_digest([call_id, sorted(files)]))
        folder = Store(self.root).directory(ref)
        for relative, content in files.items():
            path = folder / relative
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        write_record(folder / "config.json", dict(config or {}))
        write_record(folder / "inputs.json", {})
        listed = list_files(folder)
        spent = Cost(cpu_seconds=cost[0], wall_seconds=cost[1], peak_memory_bytes=cost[2])
        manifest = Manifest(
            stage=stage,
            fingerprint=ref.fingerprint,
            content_digest=artifact_digest(listed, artifact),
            stage_version="1",
            code_version="0.1.0",
            environment="serve-vllm" if stage == "serve" else "main",
            environment_digest=_DIGEST,
            created_at="2026-11-23T10:00:00+00:00",
            files=listed,
            artifact=artifact.model_dump(mode="json"),
            cost=spent,
        )
        (folder / "manifest.json").write_text(manifest.model_dump_json(indent=2))
        self.calls[call_id] = _call_entry(stage, ref, "cached" if call_id == "plan" else "done", spent, None)
        self.refs[call_id] = ref
        self.contents[ref.fingerprint] = manifest.content_digest
        return ref

    def remake(self, call_id: str, relative: str) -> None:
        """Give a call's artifact another file ``relative``, whole and under the same fingerprint."""
        store, ref = Store(self.root), self.refs[call_id]
        (store.directory(ref) / relative).write_bytes(b"made again")
        self.describe(call_id, load(store, ref).artifact)

    def describe(self, call_id: str, artifact: Artifact) -> None:
        """Give a call's artifact another description, whole and under the same fingerprint."""
        store, ref = Store(self.root), self.refs[call_id]
        files, manifest = list_files(store.directory(ref)), store.manifest(ref)
        assert manifest is not None
        described, digest = artifact.model_dump(mode="json"), artifact_digest(files, artifact)
        manifest = manifest.model_copy(update={"files": files, "artifact": described, "content_digest": digest})
        (store.directory(ref) / "manifest.json").write_text(manifest.model_dump_json(indent=2))

    def _plan(self, call_id: str) -> None:
        artifact = PlanArtifact(
            decisions=TrainingDecisions(
                method="sft",
                lora_r=16,
                lora_alpha=32,
                learning_rate=0.005,
                num_train_epochs=2,
                per_device_train_batch_size=8,
                gradient_accumulation_steps=1,
                max_length=256,
            ),
            reasons={
                "lora_r": Reasoned(value=16, chosen_by="plan", reason="usual for a small task"),
                "learning_rate": Reasoned(value=0.005, chosen_by="spec", reason="given"),
            },
            profile=DataProfile(
                rows=120, sampled=120, mean_tokens=40, p95_tokens=80, max_tokens=90, tokens_by="estimate"
            ),
            parameters=1_000_000,
            trainable_parameters=50_000,
            training_tokens=4_000,
            steps=20,
            memory=MemoryEstimate(
                weights=4_000_000,
                gradients=200_000,
                optimizer=400_000,
                activations=5_000_000,
                logits=400_000,
                total=10_000_000,
            ),
            hardware=(
                HardwareOption(gpu="T4", count=1, memory_bytes=16_000_000_000, fits=True, seconds=90, dollars=0.0148),
            ),
            recommended_gpu="T4",
            prices_dated="2026-10-04",
            local_cpu_seconds=25.0,
            local_memory_bytes=10_000_000,
            servable_by_vllm=True,
            power=PowerEstimate(
                test_rows=20,
                power=0.8,
                alpha=0.05,
                assumed_baseline=0.5,
                minimum_detectable_gain=0.31,
                rows_for_target=40,
            ),
            warnings=(),
            feasible=True,
        )
        self.finish(call_id, artifact, {"plan.json": b"{}\n"}, cost=(0.5, 0.5, 90_000_000))

    def _data(self, call_id: str) -> None:
        rows = {"train": 80, "validation": 10, "test": ITEMS}
        dropped = (
            DropCount(reason="exact duplicate", count=6, examples=(4, 9)),
            DropCount(reason="near duplicate", count=4, examples=(17,)),
        )
        artifact = DataArtifact(
            kind="conversation",
            read=120,
            rows=rows,
            dropped=dropped,
            labels=None,
            personal_data={"email": 3, "phone": 0},
            leaked={"test": 2},
            near_train_test_rows=5,
            clusters=105,
            encoding={"messages.jsonl": "utf-8"},
            source_digest=_DIGEST,
            template_digest=_DIGEST,
            files={split: f"{split}.jsonl" for split in rows},
        )
        example = Example(
            id="t0",
            row=1,
            messages=(
                Message(role="user", content="First test message"),
                Message(role="assistant", content="answer 0"),
            ),
            cluster=0,
        )
        self.finish(call_id, artifact, {"test.jsonl": example.model_dump_json(exclude_none=True).encode() + b"\n"})

    def _data_retention_commands(self, call_id: str) -> None:
        self._data(call_id)

    def _evaluate_baseline_base(self, call_id: str) -> None:
        self._evaluate(call_id, BaseSubject(instruction="Make a record"), BASE_RIGHT)

    def _evaluate_baseline_few_shot(self, call_id: str) -> None:
        self._evaluate(call_id, BaseSubject(few_shot=3), frozenset(range(3)) | {19})

    def _evaluate_retention_commands_before(self, call_id: str) -> None:
        self._evaluate(call_id, BaseSubject(), frozenset(range(16)))

    def _evaluate_retention_commands_after(self, call_id: str) -> None:
        self._evaluate(call_id, ModelSubject(), frozenset(range(15)))

    def _evaluate_seed_0(self, call_id: str) -> None:
        self._evaluate(call_id, ModelSubject(), TUNED_RIGHT)

    def _evaluate_variant_merged(self, call_id: str) -> None:
        self._evaluate(call_id, ModelSubject(), TUNED_RIGHT)

    def _evaluate_variant_w4a16(self, call_id: str) -> None:
        self._evaluate(call_id, ModelSubject(), W4A16_RIGHT)

    def _evaluate(self, call_id: str, subject: Subject, right: frozenset[int]) -> None:
        artifact = EvaluateArtifact(
            name=call_id,
            subject=subject,
            split="test",
            n=ITEMS,
            data_digest=_DIGEST,
            scores={"exact_match": score(len(right))},
            slices={
                "clean": {"exact_match": Score(value=0.8, low=0.5, high=0.9, n=15, method="wilson")},
                "near_train": {"exact_match": Score(value=1.0, low=0.57, high=1.0, n=5, method="wilson")},
            },
            confusions=(Confusion(expected="billing", predicted=HOSTILE, count=2, field="intent"),),
            truncated=1,
            prompt_tokens=400,
            completion_tokens=100,
            engine="transformers",
            weak=(WeakSlice(name="near_train", n=5, difference=-0.2, low=-0.35, high=-0.05, p_value=0.012),),
            measures={
                "perplexity": Score(value=2.5, low=2.25, high=3.0, n=ITEMS, method="bootstrap"),
                "calibration_error": Score(value=0.125, low=0.05, high=0.3, n=ITEMS, method="bootstrap"),
            },
            reliability=(
                Reliability(n=10, confidence=0.4, score=0.6),
                Reliability(n=10, confidence=0.9, score=0.85),
            ),
        )
        self.finish(call_id, artifact, {"items.parquet": items_parquet(right)}, cost=(3.0, 4.0, 700_000_000))

    def _train_seed_0(self, call_id: str) -> None:
        artifact = TrainArtifact(
            kind="adapter",
            base=self.base(),
            method="sft",
            seed=0,
            parameters=1_000_000,
            trainable_parameters=50_000,
            steps=20,
            epochs=2,
            rendered=RenderReport(
                rows=82,
                kept=80,
                dropped_long=2,
                truncated=0,
                tokens=3200,
                trained_tokens=800,
                longest=90,
                median_length=40,
                p95_length=80,
                template_digest=_DIGEST,
            ),
            replay_rows={"commands": 16},
            train_loss=0.4,
            eval_loss=0.5,
            best_step=20,
            stopped_early=False,
            micro_batch=8,
            accumulation=1,
            dtype="float32",
            template_digest=_DIGEST,
            tokenizer_digest=_DIGEST,
        )
        log = [
            {"step": 10, "loss": 2.0, "learning_rate": 0.005},
            {"step": 20, "loss": 0.4},
            {"step": 20, "eval_loss": 0.5},
        ]
        files = {
            "log.jsonl": "".join(json.dumps(line) + "\n" for line in log).encode(),
            "model/adapter_config.json": json.dumps({"base_model_name_or_path": "tiny-base", "r": 16}).encode(),
            "model/adapter_model.safetensors": safetensors_bytes(),
            "model/README.md": b"made by a library\n",
            "model/tokenizer.json": b"{}",
            "model/chat_template.jinja": b"{{ messages }}",
        }
        config = {"learning_rate": 0.005, "num_train_epochs": 2.0, "lora": {"r": 16, "lora_alpha": 32}, "seed": 0}
        self.finish(call_id, artifact, files, config=config, cost=(30.0, 20.0, 900_000_000))

    def _optimize_merged(self, call_id: str) -> None:
        self._optimize(call_id, "merged", 4_000_000, 4.0)

    def _optimize_w4a16(self, call_id: str) -> None:
        self._optimize(call_id, "w4a16", 1_000_000, 0.6)

    def _optimize(self, call_id: str, variant: str, size: int, per_weight: float) -> None:
        artifact = OptimizeArtifact(
            variant=Variant.model_validate(variant),
            size_bytes=size,
            parent_size_bytes=4_000_000,
            weight_bytes_per_parameter=per_weight,
            logit_difference=0.0 if variant == "merged" else 0.02,
            reloaded=True,
            tied_embeddings=True,
            calibration_rows=0,
            vllm_dtype="float32",
            template_digest=_DIGEST,
        )
        files = {
            "model/config.json": b'{"model_type": "llama"}',
            "model/model.safetensors": safetensors_bytes(),
            "model/tokenizer.json": b"{}",
        }
        self.finish(call_id, artifact, files)

    def _serve(self, call_id: str) -> None:
        launch = LaunchDescription(
            engine="vllm",
            engine_version="0.32.0",
            module="vllm.entrypoints.openai.api_server",
            arguments=("--model", "{model}", "--host", "{host}", "--port", "{port}"),
            environment={"HF_HUB_OFFLINE": "1"},
            served_model_name="triage",
            adapter=False,
            smoke_request={
                "model": "triage",
                "messages": [{"role": "user", "content": "Where is my order?"}],
                "max_tokens": 16,
                "temperature": 0,
            },
        )
        artifact = ServeArtifact(
            engine="vllm",
            engine_version="0.32.0",
            prompts=20,
            prompt_mismatches=0,
            answer_mismatches=1,
            smoke_prompt="Where is my order?",
            smoke_answer=HOSTILE,
            ready_seconds=28.0,
        )
        config = {"options": {"max_model_len": 512}, "engine": "vllm"}
        files = {"launch.json": launch.model_dump_json(indent=2).encode(), "parity.jsonl": b""}
        self.finish(call_id, artifact, files, config=config, cost=(40.0, 60.0, 2_900_000_000))

    def _register(self, call_id: str) -> None:
        gain = comparison("seed-0", "base", TUNED_RIGHT, BASE_RIGHT)
        few_shot = comparison("seed-0", "few-shot", TUNED_RIGHT, frozenset(range(3)) | {19})
        conditions = (
            Condition(
                name="gain",
                estimate=0.7,
                low=0.45,
                high=0.9,
                threshold=0.0,
                n=ITEMS,
                passed=True,
                text="A significant gain.",
            ),
            Condition(
                name="target.exact_match",
                estimate=0.9,
                low=0.699,
                high=0.9721,
                threshold=0.8,
                n=ITEMS,
                passed=True,
                text="exact_match is 90.0%, above the target of 80.0%.",
            ),
            Condition(
                name="retention.commands",
                estimate=-0.05,
                low=-0.15 if self.promoted else -0.35,
                threshold=-0.2,
                n=ITEMS,
                passed=self.promoted,
                text=f"The base's own task commands lost {'little' if self.promoted else 'too much'}.",
            ),
            Condition(
                name="parity.prompts", estimate=0, threshold=0, n=20, passed=True, text="0 of 20 prompts differ."
            ),
        )
        names = {
            "model.seed-0": "evaluate.seed-0",
            "baseline.base": "evaluate.baseline-base",
            "variant.merged": "evaluate.variant-merged",
            "variant.w4a16": "evaluate.variant-w4a16",
        }
        artifact = RegisterArtifact(
            name="triage",
            base=self.base(),
            metric=MetricSpec(name="exact_match"),
            target={"exact_match": 0.8},
            shipped="seed-0",
            served_variant="merged",
            decision=Decision(
                verdict="promoted" if self.promoted else "refused",
                better_than_baseline=True,
                target_reached=True,
                best_baseline="base",
                conditions=conditions,
            ),
            baseline_comparisons=(gain, few_shot),
            variant_comparisons=(comparison("w4a16", "merged", W4A16_RIGHT, TUNED_RIGHT),),
            retention_comparisons=(
                comparison("seed-0", "base", frozenset(range(15)), frozenset(range(16)), task="commands"),
            ),
            protected_comparisons=(),
            seeds=SeedSpread(values={"seed-0": 0.9}, mean=0.9, standard_deviation=None, low=None, high=None),
            lineage=Lineage(
                data=self.refs["data"],
                data_source_digest=_DIGEST,
                template_digest=_DIGEST,
                models={"seed-0": self.refs["train.seed-0"]},
                variants={name: self.refs[f"optimize.{name}"] for name in ("merged", "w4a16")},
                evaluations={name: self.refs[call] for name, call in names.items()},
                serve=self.refs["serve"],
                contents=dict(self.contents),
                spec_digest=self.resolved().digest(),
            ),
        )
        config = {"description": "Support messages to a record & a label", "retention_waived": None}
        self.finish(call_id, artifact, {"decision.json": b"{}\n"}, config=config)


_ORDER = (
    "plan",
    "data",
    "data.retention-commands",
    "evaluate.baseline-base",
    "evaluate.baseline-few-shot",
    "evaluate.retention-commands-before",
    "train.seed-0",
    "evaluate.seed-0",
    "evaluate.retention-commands-after",
    "optimize.merged",
    "evaluate.variant-merged",
    "optimize.w4a16",
    "evaluate.variant-w4a16",
    "serve",
    "register",
)


def _stage(call_id: str) -> StageName:
    return call_id.split(".", maxsplit=1)[0]  # type: ignore[return-value]


def _call_entry(
    stage: str, ref: ArtifactRef | None, status: str, cost: Cost | None, error: ErrorRecord | None
) -> dict[str, Any]:
    return {
        "stage": stage,
        "fingerprint": ref.fingerprint if ref is not None else None,
        "status": status,
        "cost": cost.model_dump() if cost is not None else None,
        "error": error.model_dump() if error is not None else None,
    }


def score(right: int) -> Score:
    """Return the score of ``right`` of 20 items."""
    low, high = WILSON[right]
    return Score(value=right / ITEMS, low=low, high=high, n=ITEMS, method="wilson")


def comparison(
    candidate: str, reference: str, right: frozenset[int], other: frozenset[int], task: str | None = None
) -> Comparison:
    """Return the comparison of two sets of right answers; the interval is only a plausible one."""
    difference = (len(right) - len(other)) / ITEMS
    return Comparison(
        candidate=candidate,
        reference=reference,
        metric="exact_match",
        n=ITEMS,
        candidate_value=len(right) / ITEMS,
        reference_value=len(other) / ITEMS,
        difference=difference,
        low=difference - 0.25,
        high=difference + 0.2,
        p_value=0.0005 if difference > 0.5 else 0.6,
        test="exact McNemar",
        interval="paired bootstrap",
        only_candidate=len(right - other),
        only_reference=len(other - right),
        task=task,
    )


def items_parquet(right: frozenset[int]) -> bytes:
    """Return ``items.parquet`` of 20 items; a wrong answer is hostile."""
    import pyarrow as pa
    from pyarrow import parquet

    rows = [
        {
            "id": f"t{index}",
            "cluster": index,
            "near_train": index < 5,
            "slices": ["near_train" if index < 5 else "clean"],
            "prompt": f"message {index}",
            "reference": f"answer {index}",
            **dict.fromkeys(("prediction", "answer"), f"answer {index}" if index in right else HOSTILE),
            "finish_reason": "stop",
            "prompt_tokens": 20,
            "completion_tokens": 5,
            "score.exact_match": float(index in right),
        }
        for index in range(ITEMS)
    ]
    sink = pa.BufferOutputStream()
    parquet.write_table(pa.Table.from_pylist(rows), sink)
    return bytes(sink.getvalue().to_pybytes())


def safetensors_bytes() -> bytes:
    """Return a safetensors file with one number in it."""
    header = json.dumps({"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    return struct.pack("<Q", len(header)) + header + struct.pack("<f", 1.0)


def write_base(folder: Path) -> None:
    """Write a base model's folder: safetensors, and a pickle that must never be copied."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text('{"model_type": "llama"}')
    (folder / "model.safetensors").write_bytes(safetensors_bytes())
    (folder / "pytorch_model.bin").write_bytes(b"a pickle")
    (folder / "tokenizer.json").write_text("{}")
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\n# tiny base\n")


def flip(path: Path) -> None:
    """Change the lowest bit of a file's last byte."""
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
