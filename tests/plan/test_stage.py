from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.core.context import CallContext
from pipeline.core.digests import DigestCache
from pipeline.core.errors import ConfigError, DataError, ModelError
from pipeline.core.workspace import content_digest, list_files
from pipeline.plan.base import describe
from pipeline.plan.quantizers import check_quantizers
from pipeline.plan.stage import run
from schemas.adapters import OTHERS
from schemas.base import Reference
from schemas.base_model import BaseModelRef, ModelInit, TokenizerSpec
from schemas.data import Columns, DataFiles, DataOptions, SplitOptions
from schemas.events import Event
from schemas.lora import LoraSpec
from schemas.plan import Constraints, GateWishes, PlanArtifact, PlanConfig, PlanInputs
from schemas.retention import Replay
from schemas.schemes import VariantBackend
from schemas.train import TrainSpec
from tests.support.stored import workspace
from tests.support.tiny_model import write_tiny_base


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> BaseModelRef:
    folder = write_tiny_base(tmp_path_factory.mktemp("base"))
    return BaseModelRef(name="tiny", weights=Reference(location=str(folder), digest=DigestCache(None).digest(folder)))


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "rows.jsonl"
    lines = [{"text": f"please refund order number {number}", "label": "refund"} for number in range(1000)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def config(base: BaseModelRef, rows: Path, **changes: object) -> PlanConfig:
    values: dict[str, object] = {
        "task": "classification",
        "base": base,
        "files": DataFiles(train=Reference(location=str(rows), digest="d")),
        "data": DataOptions(),
        "train": TrainSpec(),
        "variants": {"merged": "merged"},
        "evaluations": 3,
        "constraints": Constraints(),
        "target": {"accuracy": 0.8},
        "primary_metric": "accuracy",
        "alpha": 0.05,
        **changes,
    }
    return PlanConfig.model_validate(values)


def plan(directory: Path, settings: PlanConfig, events: list[Event] | None = None) -> PlanArtifact:
    context = CallContext(sink=events.append) if events is not None else CallContext()
    return run(settings, PlanInputs(), context, workspace(directory))


def test_a_plan_by_the_base_and_its_tokenizer(tmp_path: Path, base: BaseModelRef, rows: Path) -> None:
    artifact = plan(tmp_path / "a", config(base, rows))
    # Embedding 384 * 64 (tied); a layer 4 * 64*64 + 3 * 64*128 + 2 * 64 = 41,088, twice; a last norm of 64.
    assert artifact.parameters == 384 * 64 + 2 * 41_088 + 64
    # r 8, there being less than 1000 rows: a layer 4 * 8 * 128 + 3 * 8 * 192 = 8704, twice.
    assert artifact.trainable_parameters == 2 * 8704
    assert (artifact.profile.rows, artifact.profile.sampled, artifact.profile.tokens_by) == (1000, 500, "tokenizer")
    # 700 training rows, 4 epochs, 8 per step: 2800 / 8.
    assert artifact.decisions.num_train_epochs == 4
    assert (artifact.decisions.per_device_train_batch_size, artifact.steps) == (8, 350)
    assert artifact.training_tokens == round(2800 * artifact.profile.mean_tokens)
    assert artifact.power.test_rows == 200
    assert artifact.feasible
    assert artifact.recommended_gpu is not None
    assert artifact.servable_by_vllm
    assert all(reasoned.reason for reasoned in artifact.reasons.values())
    written = json.loads((tmp_path / "a/output/plan.json").read_text())
    assert written == artifact.model_dump(mode="json")
    plan(tmp_path / "b", config(base, rows))
    digests = [content_digest(list_files(tmp_path / name / "output")) for name in "ab"]
    assert digests[0] == digests[1]


@pytest.mark.slow
def test_every_wish_changes_the_plan(tmp_path: Path, base: BaseModelRef, rows: Path) -> None:
    usual = plan(tmp_path / "usual", config(base, rows))
    changes: list[dict[str, object]] = [
        {"task": "generation", "train": TrainSpec(seeds=(0, 1))},
        {"data": DataOptions(max_rows=500)},
        {"data": DataOptions(system="you are a helpful assistant that answers in JSON")},
        {"data": DataOptions(split=SplitOptions(test=0.4))},
        {"files": DataFiles(train=Reference(location=str(rows)), test=Reference(location=str(rows)))},
        {"train": TrainSpec(retention=(Replay(method="replay", share=0.5),))},
        {"train": TrainSpec(packing=True)},
        {"train": TrainSpec(max_steps=3)},
        {"train": TrainSpec(method="dpo"), "data": DataOptions(columns=Columns(chosen="text", rejected="label"))},
        {"max_items": 20},
        {"train": TrainSpec(gradient_checkpointing=True)},
        {"train": TrainSpec(bf16=False)},
        {"train": TrainSpec(adapter="full")},
        {"train": TrainSpec(lora=LoraSpec(use_dora=True))},
        {"variants": {}},
        {"served": "merged"},
        {"evaluations": 30},
        {"constraints": Constraints(max_cost=0.001)},
        {"target": {"accuracy": 0.55}},
        {"primary_metric": "macro_f1"},
        {"alpha": 0.01},
        {"power": 0.95},
        {"gate": GateWishes(minimum_gain=0.2)},
        {"gate": GateWishes(require_target=False)},
        {"variants": {"small": "W4A16"}, "gate": GateWishes(margins={"small": 0.005})},
    ]
    for number, change in enumerate(changes):
        assert plan(tmp_path / str(number), config(base, rows, **change)) != usual, change


def test_warnings_are_events_and_part_of_the_plan(tmp_path: Path, base: BaseModelRef, rows: Path) -> None:
    events: list[Event] = []
    settings = config(
        base,
        rows,
        train=TrainSpec(lora=LoraSpec(use_dora=True)),
        target={"accuracy": 0.51},
        constraints=Constraints(max_hours=0.001),
    )
    artifact = plan(tmp_path / "a", settings, events)
    said = [event.message for event in events if event.kind == "warning"]
    assert said == list(artifact.warnings)
    text = " ".join(said)
    assert "constraints.max_hours allows" in text
    assert "the adapter cannot be served by vLLM" in text
    assert "serve the merged variant" in text
    assert "the gain to the target needs about" in text
    assert not artifact.feasible
    assert not artifact.servable_by_vllm


@pytest.mark.slow
@pytest.mark.parametrize("kind", OTHERS)
def test_an_adapter_that_is_no_lora_has_no_rank_and_is_served_merged(
    tmp_path: Path, base: BaseModelRef, rows: Path, kind: str
) -> None:
    artifact = plan(tmp_path / "a", config(base, rows, train=TrainSpec.model_validate({"adapter": kind})))
    assert "lora_r" not in artifact.reasons
    assert 0 < artifact.trainable_parameters < artifact.parameters / 2
    assert not artifact.servable_by_vllm
    assert artifact.unservable[0].startswith("vLLM does not serve")


def test_a_base_without_weights_is_planned_from_its_config(tmp_path: Path, rows: Path) -> None:
    sizes = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 128}
    init = ModelInit(config={**sizes, "tie_word_embeddings": True}, tokenizer=TokenizerSpec(vocab_size=512))
    settings = config(BaseModelRef(name="llama", init=init), rows, train=TrainSpec(adapter="full"))
    artifact = plan(tmp_path / "a", settings)
    assert artifact.parameters == artifact.trainable_parameters == 512 * 64 + 2 * 41_088 + 64
    assert artifact.profile.tokens_by == "estimate"
    assert artifact.decisions.lora_r is None
    assert "lora_r" not in artifact.reasons


def test_a_known_base_out_of_reach_is_planned_from_the_table(
    tmp_path: Path, rows: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    weights = Reference(location="Qwen/Qwen3-8B", digest="f" * 40)
    artifact = plan(tmp_path / "a", config(BaseModelRef(name="Qwen/Qwen3-8B", weights=weights), rows))
    assert artifact.parameters == 8_190_735_360
    assert any("the sizes of Qwen/Qwen3-8B are those of" in warning for warning in artifact.warnings)
    assert any("tokens are estimated from characters" in warning for warning in artifact.warnings)
    unknown = BaseModelRef(name="nobody/nothing", weights=Reference(location="nobody/nothing", digest="f" * 40))
    with pytest.raises(ModelError, match="nobody/nothing"):
        plan(tmp_path / "b", config(unknown, rows))


def test_bad_input_is_named(tmp_path: Path, base: BaseModelRef, rows: Path) -> None:
    (tmp_path / "empty.jsonl").write_text("")
    with pytest.raises(DataError, match=r"empty\.jsonl: the file is empty"):
        plan(tmp_path / "a", config(base, tmp_path / "empty.jsonl"))
    with pytest.raises(ConfigError, match=r"base_model\.init\.config.*hiden_size.*hidden_size"):
        init = ModelInit(config={"hiden_size": 64}, tokenizer=TokenizerSpec())
        plan(tmp_path / "b", config(BaseModelRef(name="llama", init=init), rows))
    with pytest.raises(ModelError, match="no model config can be loaded"):
        folder = BaseModelRef(name="x", weights=Reference(location=str(tmp_path)))
        plan(tmp_path / "c", config(folder, rows))


@pytest.mark.parametrize(
    ("train", "says"),
    [
        ({"max_length": 4}, r"train\.max_length: no row fits into 4 tokens: the shortest of 500 has about"),
        ({"max_length": 100_000}, r"train\.max_length: 100000 tokens are more than the \d+ that the base takes"),
        (
            {"lora": {"target_modules": ["nope_proj"]}},
            r"train\.lora\.target_modules: the base has no module 'nope_proj'",
        ),
        ({"lora": {"target_modules": ["q_proj", "k_prj"]}}, r"no module 'k_prj'.*did you mean k_proj\?"),
        ({"lora": {"target_modules": r".*\.nope"}}, "nothing would be trained"),
        ({"lora": {"target_modules": []}}, "no module is named"),
        (
            {"adapter": "vera", "vera": {"target_modules": ["k_prj"]}},
            r"train\.vera\.target_modules.*no module 'k_prj'.*did you mean k_proj\?",
        ),
    ],
)
def test_settings_that_cannot_be_carried_out_are_refused(
    tmp_path: Path, base: BaseModelRef, rows: Path, train: dict[str, object], says: str
) -> None:
    with pytest.raises(ConfigError, match=says):
        plan(tmp_path / "a", config(base, rows, train=TrainSpec.model_validate(train)))


def test_target_modules_that_the_base_has_are_taken(tmp_path: Path, base: BaseModelRef, rows: Path) -> None:
    for number, modules in enumerate((["q_proj", "lm_head"], r".*\.(q|k)_proj", ["self_attn.q_proj"])):
        lora = LoraSpec.model_validate({"target_modules": modules})
        assert plan(tmp_path / str(number), config(base, rows, train=TrainSpec(lora=lora))).trainable_parameters > 0


@pytest.mark.parametrize(("backend", "refused"), [("auto_gptq", "qwen3"), ("autoawq", "phi")])
def test_a_quantizer_that_does_not_know_the_base_is_refused_before_training(
    tmp_path: Path, base: BaseModelRef, rows: Path, backend: VariantBackend, refused: str
) -> None:
    assert plan(tmp_path / "a", config(base, rows, quantizers=(backend,)))
    architecture = replace(describe(base).architecture, model_type=refused)
    with pytest.raises(ConfigError, match=f"{backend} does not know the architecture {refused}; it knows .*llama") as e:
        check_quantizers([backend], architecture)
    assert "w4a16" in (e.value.fix or "")
    check_quantizers([backend], replace(architecture, model_type=""))  # what is not known is not refused


def test_preferences_are_not_learned_from_labels(tmp_path: Path, base: BaseModelRef, rows: Path) -> None:
    with pytest.raises(DataError, match=r"train\.method dpo learns from pairs, and there is no column 'chosen'"):
        plan(tmp_path / "a", config(base, rows, train=TrainSpec(method="dpo")))


def test_preferences_may_have_openais_names(tmp_path: Path, base: BaseModelRef) -> None:
    """The same turns are as long under either names: 3 turns (prompt, chosen, rejected) of the same text."""

    def longest(folder: str, prompt: str, chosen: str, rejected: str, wrap: bool) -> int:
        turns = [[{"role": role, "content": "order " * 9}] for role in ("user", "assistant", "assistant")]
        rows = [{prompt: {"messages": turns[0]} if wrap else turns[0], chosen: turns[1], rejected: turns[2]}] * 30
        path = tmp_path / f"{folder}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        made = plan(tmp_path / folder, config(base, path, task="generation", train=TrainSpec(method="dpo")))
        return made.profile.max_tokens

    usual = longest("trl", "prompt", "chosen", "rejected", wrap=False)
    assert longest("openai", "input", "preferred_output", "non_preferred_output", wrap=True) == usual


def test_the_longest_of_all_rows_fits(tmp_path: Path, base: BaseModelRef) -> None:
    path = tmp_path / "rows.jsonl"
    texts = [f"order {number}" for number in range(1200)]
    texts[601] = "order " * 12  # between two sampled rows
    path.write_text("".join(json.dumps({"text": text, "label": "a"}) + "\n" for text in texts))
    artifact = plan(tmp_path / "a", config(base, path, train=TrainSpec(max_length=24)))
    assert artifact.profile.max_tokens >= artifact.profile.p95_tokens + 7
    assert not any("train.max_length" in warning for warning in artifact.warnings)
    short = plan(tmp_path / "b", config(base, path, train=TrainSpec(max_length=12)))
    assert any("is longer than train.max_length 12" in warning for warning in short.warnings)


def test_too_few_test_rows_for_the_whole_gate_are_a_warning(tmp_path: Path, base: BaseModelRef, rows: Path) -> None:
    few = plan(tmp_path / "few", config(base, rows, target={"accuracy": 0.55}))
    assert few.power.gate is not None and few.power.gate.rows_for_gain is not None
    said = f"the gain to the target needs about {few.power.gate.rows_for_gain} test rows to be promoted with 80% power"
    assert f"{said}; there are 200" in few.warnings
    never = GateWishes(minimum_gain=0.05)
    assert any(
        warning.startswith("not even 1,000,000 test rows have the gain to the target promoted with 80% power: lower")
        for warning in plan(tmp_path / "never", config(base, rows, target={"accuracy": 0.55}, gate=never)).warnings
    )
    enough = plan(tmp_path / "enough", config(base, rows, target={"accuracy": 0.9}))
    assert not any("test rows" in warning for warning in enough.warnings)


def test_only_the_evaluated_items_have_power(tmp_path: Path, base: BaseModelRef, rows: Path) -> None:
    assert plan(tmp_path / "a", config(base, rows, max_items=50)).power.test_rows == 50
    assert plan(tmp_path / "b", config(base, rows, max_items=5000)).power.test_rows == 200


def test_the_process_on_this_machine_holds_the_libraries(tmp_path: Path, base: BaseModelRef, rows: Path) -> None:
    artifact = plan(tmp_path / "a", config(base, rows))
    assert artifact.local_memory_bytes > 500 << 20 > artifact.memory.total


def test_unreadable_rows_are_left_to_the_data_stage_and_noted(tmp_path: Path, base: BaseModelRef) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text("no json\n" * 300)
    artifact = plan(tmp_path / "a", config(base, path))
    assert "none of the 300 rows" in artifact.warnings[0]
    assert artifact.profile.sampled == 0


def test_a_reward_model_cannot_be_served_as_chat(tmp_path: Path, base: BaseModelRef) -> None:
    pairs = tmp_path / "pairs.jsonl"
    row = json.dumps({"prompt": "is it late?", "chosen": "yes", "rejected": "no"})
    pairs.write_text(f"{row}\n" * 200)
    artifact = plan(tmp_path / "a", config(base, pairs, train=TrainSpec(method="reward"), variants={}, target={}))
    assert not artifact.servable_by_vllm
    assert "cannot be served as chat" in artifact.unservable[0]
    assert any("rewards the answers of another model" in warning for warning in artifact.warnings)
    preferring = plan(tmp_path / "b", config(base, pairs, train=TrainSpec(method="dpo"), variants={}, target={}))
    # its output is new, so it does not learn as slowly as what starts from a model that answers
    assert artifact.decisions.learning_rate > preferring.decisions.learning_rate


@pytest.mark.parametrize(("method", "told"), [("gkd", "loaded beside the model"), ("seq_kd", "gives 1,400 answers")])
def test_a_teacher_is_no_part_of_the_estimates(
    tmp_path: Path, base: BaseModelRef, rows: Path, method: str, told: str
) -> None:
    given = {"method": method, "rewards": ["exact_match"] if method == "seq_kd" else []}
    options = {"teacher": "org/other", **({"num_generations": 2} if method == "seq_kd" else {})}
    train = TrainSpec.model_validate({**given, method: options})
    # 700 of 1000 rows are trained on
    artifact = plan(tmp_path / "a", config(base, rows, train=train))
    assert any(told in warning for warning in artifact.warnings)
