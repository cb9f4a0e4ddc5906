from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.catalog import CATALOG
from pipeline.flow import next_calls, served_variant, shipped_seed
from pipeline.report.progress import expected_calls
from pipeline.report.record import KINDS, RunRecord
from schemas.artifacts import StageCall, Stored
from schemas.base import Reference, canonical_digest
from schemas.base_model import BaseModelRef, ModelInit, TokenizerSpec
from schemas.evaluate import HarnessConfig, MetricSpec
from schemas.optimize import Variant
from schemas.plan import GatePower
from schemas.resolved import Champion, ResolvedProbe, ResolvedRetention, ResolvedRun, RunFile
from tests.support.run_fixture import RunFixture


class World:
    """The fixture's artifacts by call id, to be handed to the flow as if calls had been made."""

    def __init__(self, root: Path, **spec: Any) -> None:
        fixture = RunFixture(root, spec=spec)
        record = RunRecord.load(root, fixture.build())
        self.store = record.store
        self.run: ResolvedRun = fixture.resolved()
        self.file: RunFile = record.file
        self.made: dict[str, Stored[Any]] = {}
        for call_id, call, found in record.artifacts():
            assert found is not None
            kind: Any = Stored[KINDS[call.stage]]  # type: ignore[misc]
            self.made[call_id] = kind(
                ref=found.ref, content_digest=found.manifest.content_digest, path=found.path, artifact=found.artifact
            )

    def after(self, *call_ids: str) -> dict[str, Stored[Any]]:
        return {call_id: self.made[call_id] for call_id in call_ids}

    def play(self, run: ResolvedRun | None = None) -> list[StageCall]:
        """Make the first call again and again, as a runner with one worker does, and return all in order."""
        finished: dict[str, Stored[Any]] = {}
        made: list[StageCall] = []
        while calls := next_calls(run or self.run, finished):
            assert len(made) < 50, "the flow does not end"
            made.append(calls[0])
            like = calls[0].id if calls[0].id in self.made else _like(calls[0].id)
            finished[calls[0].id] = self.made[like]
        return made


def _like(call_id: str) -> str:
    if call_id.startswith("train.seed-"):
        return "train.seed-0"
    if call_id.startswith("evaluate."):
        return "evaluate.seed-0"
    if call_id.startswith(("judge.", "bias.")):
        return "evaluate.seed-0"  # what a judgement or a probe holds makes no difference to the flow
    return "data.retention-commands" if call_id.startswith("data.") else "optimize.merged"


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "workspace")


def ids(calls: list[StageCall]) -> list[str]:
    return [call.id for call in calls]


def test_the_plan_is_the_first_and_only_call(world: World) -> None:
    assert ids(next_calls(world.run, {})) == ["plan"]


def test_the_main_job_in_order(world: World) -> None:
    assert ids(world.play()) == [
        "plan",
        "data",
        "data.retention-commands",
        "evaluate.baseline-base",
        "evaluate.baseline-few-shot",
        "evaluate.retention-commands-before",
        "train.seed-0",
        "evaluate.seed-0",
        "optimize.merged",
        "optimize.w4a16",
        "evaluate.variant-merged",
        "evaluate.variant-w4a16",
        "evaluate.retention-commands-after",
        "serve",
        "register",
    ]


def test_a_reward_model_ranks_pairs_and_is_neither_quantized_nor_served(tmp_path: Path) -> None:
    scoring = {"train": {"method": "reward"}, "serve": False, "variants": [], "evaluate": {}}
    world = World(tmp_path / "w", **scoring)
    world.run = world.run.model_copy(update={"retention": ()})
    calls = world.play()
    assert ids(calls) == ["plan", "data", "evaluate.baseline-base", "train.seed-0", "evaluate.seed-0", "register"]
    asked = [call.config for call in calls if call.stage == "evaluate"]
    assert all(config["ranks"] for config in asked)
    assert asked[0]["subject"]["instruction"] is None
    assert "there is nothing to forget" in str(calls[-1].config["retention_waived"])
    file = world.file.model_copy(update={"spec": world.run.spec, "retention": ()})
    assert sorted(expected_calls(file)) == sorted(ids(calls))


def test_the_report_expects_the_calls_that_the_flow_makes(world: World) -> None:
    assert sorted(expected_calls(world.file)) == sorted(ids(world.play()))


def test_what_does_not_wait_for_each_other_can_run_at_once(world: World) -> None:
    ready = ids(next_calls(world.run, world.after("plan", "data", "data.retention-commands")))
    assert ready == [
        "evaluate.baseline-base",
        "evaluate.baseline-few-shot",
        "evaluate.retention-commands-before",
        "train.seed-0",
    ]


def test_the_flow_is_pure(world: World) -> None:
    finished = world.after("plan", "data", "train.seed-0")
    assert next_calls(world.run, finished) == next_calls(world.run, dict(reversed(finished.items())))


def test_every_call_is_json_and_fits_its_stage(world: World) -> None:
    for call in world.play():
        again = StageCall.model_validate_json(call.model_dump_json())
        assert again == call
        CATALOG[call.stage].config.model_validate(again.config)
        fields = CATALOG[call.stage].inputs.model_fields
        assert set(call.inputs) <= set(fields)
        assert {name for name, field in fields.items() if field.is_required()} <= set(call.inputs)


def test_replay_waits_for_its_data_and_gets_it(tmp_path: Path) -> None:
    """The run's own data waits, too: it tells which rows it holds out that are replayed."""
    world = World(tmp_path / "w", train={"retention": {"method": "replay", "share": 0.3}})
    assert ids(next_calls(world.run, world.after("plan"))) == ["data.retention-commands"]
    calls = {call.id: call for call in world.play()}
    replayed = {"commands": world.made["data.retention-commands"].ref}
    assert calls["train.seed-0"].inputs["replay"] == calls["data"].inputs["trained"] == replayed


def test_the_data_are_compared_with_what_the_base_learned_as_a_version(world: World) -> None:
    trained = {"triage@1": world.made["data.retention-commands"].ref}
    (call, *_) = next_calls(world.run.model_copy(update={"trained": trained}), world.after("plan"))
    assert (call.id, call.inputs) == ("data", {"trained": trained})


def test_several_seeds_fan_out_and_the_lowest_validation_loss_goes_on(tmp_path: Path) -> None:
    world = World(tmp_path / "w", train={"seeds": [3, 1, 2]})
    calls = ids(world.play())
    assert [call for call in calls if call.startswith("train")] == ["train.seed-3", "train.seed-1", "train.seed-2"]
    assert calls.count("optimize.merged") == 1
    trained = world.made["train.seed-0"]
    finished = {
        f"train.seed-{seed}": trained.model_copy(
            update={"artifact": trained.artifact.model_copy(update={"eval_loss": loss})}
        )
        for seed, loss in ((3, 0.5), (1, 0.25), (2, None))
    }
    assert shipped_seed(world.run, finished) == 1
    assert shipped_seed(world.run, {key: value for key, value in finished.items() if key != "train.seed-2"}) is None


def test_quantized_variants_are_made_from_the_merged_model_even_where_it_is_not_shipped(tmp_path: Path) -> None:
    world = World(tmp_path / "w", variants=["w4a16"], serve={"variant": "w4a16"})
    calls = {call.id: call for call in world.play()}
    assert calls["optimize.merged"].inputs["parent"] == world.made["train.seed-0"].ref
    assert calls["optimize.w4a16"].inputs["parent"] == world.made["optimize.merged"].ref
    assert "evaluate.variant-merged" not in calls
    assert calls["serve"].inputs["model"] == world.made["optimize.w4a16"].ref
    assert set(calls["register"].inputs["variants"]) == {"w4a16"}  # the merge was a means, it is not shipped


def test_what_only_vllm_loads_is_evaluated_by_vllm_in_a_dtype_of_its_own(tmp_path: Path) -> None:
    spec = {
        "variants": ["merged", "awq-4bit"],
        "serve": {"variant": "awq-4bit"},
        "evaluate": {"generation": {"dtype": "float32", "max_new_tokens": 7}, "target": {}},
    }
    world = World(tmp_path / "w", **spec)
    merged = world.made["optimize.merged"]
    packed = merged.artifact.model_copy(update={"variant": Variant.model_validate("awq-4bit")})
    world.made["optimize.awq-4bit"] = merged.model_copy(update={"artifact": packed})
    (plan,) = next_calls(world.run, {})
    assert plan.config["quantizers"] == ["autoawq"]
    asked = {call.id: call.config["generation"] for call in world.play() if call.stage == "evaluate"}
    by_vllm = {call_id for call_id, generation in asked.items() if generation["backend"] == "vllm"}
    assert by_vllm == {"evaluate.variant-awq-4bit", "evaluate.retention-commands-after"}
    assert asked["evaluate.variant-awq-4bit"]["dtype"] == "auto"
    assert {generation["max_new_tokens"] for generation in asked.values()} == {7}


def test_a_champion_that_only_vllm_loads_is_asked_by_vllm(world: World) -> None:
    champion = Champion(version=2, model=world.made["optimize.w4a16"].ref, base=world.run.base, only_vllm=True)
    calls = {call.id: call for call in world.play(world.run.model_copy(update={"champion": champion}))}
    assert calls["evaluate.baseline-champion"].config["generation"]["backend"] == "vllm"
    assert calls["evaluate.seed-0"].config["generation"]["backend"] == "transformers"


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({}, "merged"),
        ({"variants": []}, "adapter"),
        ({"variants": [], "train": {"adapter": "full"}}, "model"),
        ({"serve": {"variant": "w4a16"}}, "w4a16"),
        ({"serve": {"variant": "adapter"}}, "adapter"),
    ],
)
def test_what_is_served(tmp_path: Path, spec: dict[str, Any], expected: str) -> None:
    assert served_variant(World(tmp_path / "w", **spec).run) == expected


def preflight_told(world: World, **plan: Any) -> dict[str, Any]:
    """Return what the data stage is told for its preflight where the plan has other values."""
    made = world.made["plan"]
    artifact = made.artifact.model_copy(update=plan)
    calls = next_calls(world.run, {"plan": made.model_copy(update={"artifact": artifact})})
    preflight: dict[str, Any] = next(call for call in calls if call.id == "data").config["preflight"]
    return preflight


def test_an_adapter_that_vllm_does_not_serve_is_told_where_vllm_is_to_serve_it(tmp_path: Path) -> None:
    why = ("vLLM does not serve DoRA (lora.use_dora)",)
    for name, spec, expected in (
        ("a", {"variants": []}, [*why]),
        ("b", {"variants": ["merged"]}, []),
        ("c", {"variants": [], "serve": {"engine": "transformers"}}, []),
        ("d", {"variants": [], "serve": False}, []),
    ):
        world = World(tmp_path / name, **spec)  # type: ignore[arg-type]
        assert list(preflight_told(world, unservable=why)["unservable"]) == expected


def test_the_preflight_is_told_how_many_test_rows_the_gain_needs(world: World) -> None:
    power = world.made["plan"].artifact.power
    alone = power.model_copy(update={"gate": None, "rows_for_target": 321})
    assert preflight_told(world, power=alone)["rows_for_gain"] == 321
    gate = GatePower(trials=100, changed=0.1, promoted=0.5, rows_for_gain=654, least_score=0.9)
    assert preflight_told(world, power=power.model_copy(update={"gate": gate}))["rows_for_gain"] == 654


def test_what_is_ignored_reaches_the_data_and_the_training(tmp_path: Path) -> None:
    world = World(tmp_path / "w", preflight={"ignore": ["joined_prompt"], "languages": ["en"]})
    calls = {call.id: call.config for call in world.play()}
    assert list(calls["data"]["preflight"]["ignore"]) == ["joined_prompt"]
    assert list(calls["data"]["preflight"]["languages"]) == ["en"]
    assert list(calls["train.seed-0"]["ignore"]) == ["joined_prompt"]


def test_without_serving_the_version_is_registered_all_the_same(tmp_path: Path) -> None:
    calls = ids(World(tmp_path / "w", serve=False).play())
    assert "serve" not in calls
    assert calls[-1] == "register"


def test_a_champion_and_a_reference_for_classification_are_baselines_too(tmp_path: Path) -> None:
    world = World(tmp_path / "w", task="classification")
    champion = Champion(version=2, model=world.made["optimize.merged"].ref, base=world.run.base)
    run = world.run.model_copy(update={"champion": champion})
    calls = {call.id: call for call in world.play(run)}
    assert calls["evaluate.baseline-champion"].inputs["model"] == champion.model
    assert "evaluate.baseline-tfidf" in calls
    assert set(calls["register"].inputs["baselines"]) == {"base", "few-shot", "champion", "tfidf"}


ENDPOINT = {"base_url": "http://127.0.0.1:1/v1", "model": "m"}


def told(world: World) -> dict[str, str | None]:
    """Return the instruction of each baseline."""
    calls = {call.id: call.config["subject"] for call in world.play() if call.id.startswith("evaluate.baseline")}
    return {name.removeprefix("evaluate.baseline-"): subject.get("instruction") for name, subject in calls.items()}


def test_baselines_are_told_what_the_run_is_for(tmp_path: Path) -> None:
    world = World(tmp_path / "w", evaluate={"metrics": ["exact_match"], "baselines": {"endpoint": ENDPOINT}})
    described = "Support messages to a record & a label"
    assert told(world) == dict.fromkeys(("base", "few-shot", "endpoint"), described)

    data = world.made["data"]
    world.made["data"] = data.model_copy(update={"artifact": data.artifact.model_copy(update={"labels": ("a", "b")})})
    assert told(world) == dict.fromkeys(("base", "few-shot", "endpoint"), f"{described}\nAnswer with one of: a, b")


def test_an_instruction_of_the_users_is_given_as_it_is(tmp_path: Path) -> None:
    baselines = {"instruction": "Ours.", "few_shot": 0, "endpoint": {**ENDPOINT, "instruction": "Theirs."}}
    world = World(tmp_path / "w", evaluate={"metrics": ["exact_match"], "baselines": baselines})
    assert told(world) == {"base": "Ours.", "endpoint": "Theirs."}


def test_the_runs_template_is_offered_to_bases_only(tmp_path: Path) -> None:
    world = World(tmp_path / "w", train={"chat_template": "{{ messages }}"})
    champion = Champion(version=2, model=world.made["optimize.merged"].ref, base=world.run.base)
    calls = world.play(world.run.model_copy(update={"champion": champion}))
    offered = {call.id for call in calls if call.stage == "evaluate" and call.config["chat_template"] is not None}
    assert offered == {
        "evaluate.baseline-base",
        "evaluate.baseline-few-shot",
        "evaluate.retention-commands-before",
    }
    assert next(call for call in calls if call.id == "train.seed-0").config["chat_template"] == "{{ messages }}"


def test_a_base_without_weights_has_no_baselines_and_nothing_to_forget(tmp_path: Path) -> None:
    world = World(tmp_path / "w", train={"adapter": "full"})
    run = world.run.model_copy(
        update={
            "base": BaseModelRef(name="llama", init=ModelInit(tokenizer=TokenizerSpec())),
            "retention": (),
        }
    )
    calls = {call.id: call for call in world.play(run)}
    assert not any(call_id.startswith(("evaluate.baseline", "evaluate.retention")) for call_id in calls)
    assert calls["register"].config["retention_waived"] == "the base had no weights: there was nothing to forget"
    assert calls["data"].config["render"] is None


def test_a_probe_asks_the_base_and_the_form_that_is_served(tmp_path: Path) -> None:
    bbq = {"kind": "bbq", "path": "bbq.jsonl"}
    evaluate = {"metrics": ["exact_match"], "bias": [bbq, {**bbq, "name": "age", "max_items": 3}], "seed": 9}
    world = World(tmp_path / "w", evaluate=evaluate, variants=["merged", "gptq-4bit"], serve={"variant": "merged"})
    file = Reference(location="bbq.jsonl", digest="ef" * 32)
    probes = tuple(ResolvedProbe(probe=probe, files={"path": file}) for probe in world.run.spec.evaluate.bias)
    run = world.run.model_copy(update={"bias": probes})
    calls = {call.id: call for call in world.play(run)}
    before, after = calls["bias.age-before"], calls["bias.age-after"]
    assert (before.config["subject"]["kind"], before.inputs) == ("base", {})
    assert (after.config["subject"]["kind"], after.inputs["model"]) == ("model", world.made["optimize.merged"].ref)
    assert before.config["probe"]["max_items"] == 3 and before.config["seed"] == 9
    assert before.config["files"]["path"]["digest"] == "ef" * 32
    assert set(calls["register"].inputs["bias"]) == {"bbq-before", "bbq-after", "age-before", "age-after"}
    ready = ids(next_calls(run, world.after("plan", "data", "data.retention-commands")))
    assert "bias.bbq-before" in ready and "bias.bbq-after" not in ready
    assert sorted(expected_calls(world.file.model_copy(update={"bias": probes}))) == sorted(calls)


def test_swaps_are_made_of_the_runs_own_items_and_the_base_is_told_of_the_task(tmp_path: Path) -> None:
    words = {"kind": "counterfactual", "words": [["he", "she"]]}
    world = World(tmp_path / "w", evaluate={"metrics": ["exact_match"], "bias": [words]})
    probes = tuple(ResolvedProbe(probe=probe, files={}) for probe in world.run.spec.evaluate.bias)
    run = world.run.model_copy(update={"bias": probes})
    assert "bias.counterfactual-before" not in ids(next_calls(run, world.after("plan")))
    calls = {call.id: call for call in world.play(run)}
    for moment in ("before", "after"):
        call = calls[f"bias.counterfactual-{moment}"]
        assert call.inputs["data"] == world.made["data"].ref
        assert call.config["metric"]["name"] == "exact_match"
    told = calls["bias.counterfactual-before"].config["subject"]
    assert told == calls["evaluate.baseline-base"].config["subject"]


JUDGE = {"base_url": "http://127.0.0.1:1/v1", "model": "judge-1"}


def judging(tmp_path: Path, **judge: Any) -> World:
    return World(
        tmp_path / "w",
        evaluate={"metrics": ["exact_match"], "judge": {**JUDGE, **judge}},
        variants=["merged"],
        serve={"variant": "merged"},
    )


def test_what_is_served_is_judged_against_the_best_baseline_and_the_champion(tmp_path: Path) -> None:
    """The base is right on 4 of 20 items, the few-shot base on 4 as well: of equals the first by name."""
    world = judging(tmp_path)
    champion = Champion(version=2, model=world.made["optimize.merged"].ref, base=world.run.base)
    calls = {call.id: call for call in world.play(world.run.model_copy(update={"champion": champion}))}
    best, other = calls["judge.best-baseline"], calls["judge.champion"]
    assert best.inputs["candidate"] == world.made["evaluate.variant-merged"].ref
    # In this world the champion answers as the tuned model does, so it is the best baseline: the same artifact twice.
    assert (best.config["baseline"], other.config["baseline"]) == ("champion", "champion")
    assert (best.config, best.inputs) == (other.config, other.inputs)
    assert set(calls["register"].inputs["judgements"]) == {"best-baseline", "champion"}
    alone = {call.id: call for call in world.play()}
    assert alone["judge.best-baseline"].config["baseline"] == "base"
    assert alone["judge.best-baseline"].config["related"] == ["tiny-base", "triage"]
    assert "judge.champion" not in alone


def test_the_judge_is_measured_before_the_model_is_there(tmp_path: Path) -> None:
    world = judging(tmp_path, max_items=7)
    labels = Reference(location="labels.jsonl", digest="ef" * 32)
    assert world.run.judge is not None
    run = world.run.model_copy(update={"judge": world.run.judge.model_copy(update={"labels": labels})})
    ready = {call.id: call for call in next_calls(run, world.after("plan", "data"))}
    call = ready["judge.labels"]
    assert call.inputs == {} and call.config["labels"]["digest"] == "ef" * 32 and call.config["max_items"] == 7
    file = world.file.model_copy(update={"judge": run.judge})
    assert {name for name in expected_calls(file) if name.startswith("judge.")} == {
        "judge.labels",
        "judge.best-baseline",
    }
    assert sorted(expected_calls(file)) == sorted(ids(world.play(run)))


def test_how_many_are_asked_at_once_changes_nothing(tmp_path: Path) -> None:
    def told(directory: Path, **judge: Any) -> str:
        call = next(call for call in judging(directory, **judge).play() if call.id == "judge.best-baseline")
        return canonical_digest(CATALOG["judge"].config.model_validate(call.config))

    usual = told(tmp_path / "a")
    assert told(tmp_path / "b", concurrency=2, timeout_seconds=9) == usual
    assert told(tmp_path / "c", criteria="Prefer the shorter.") != usual


def test_another_path_to_the_same_bytes_is_the_same_run(world: World) -> None:
    moved = world.run.model_copy(
        update={"data": world.run.data.model_copy(update={"train": Reference(location="/b", digest="ab" * 32)})}
    )
    assert moved.run_id() == world.run.run_id()
    champion = Champion(version=1, model=world.made["optimize.merged"].ref, base=world.run.base)
    assert world.run.model_copy(update={"champion": champion}).run_id() == world.run.run_id()
    edited = world.run.model_copy(
        update={"data": world.run.data.model_copy(update={"train": Reference(location="/b", digest="cd" * 32)})}
    )
    assert edited.run_id() != world.run.run_id()


def test_what_only_the_gate_reads_makes_nothing_again(tmp_path: Path) -> None:
    """A margin, a count of mismatches and a variant's name change the decision, not what is decided on."""

    def told(world: World) -> dict[str, str]:
        calls = {call.stage: call for call in world.play()}
        return {stage: canonical_digest(CATALOG[stage].config.model_validate(calls[stage].config)) for stage in calls}

    def spec(margin: float, mismatches: int, name: str) -> dict[str, Any]:
        variant = {"name": name, "backend": "merge", "scheme": "merged", "non_inferiority_margin": margin}
        return {"variants": [variant], "serve": {"parity": {"max_answer_mismatches": mismatches}}}

    before = told(World(tmp_path / "before", **spec(0.02, 1, "merged")))
    after = told(World(tmp_path / "after", **spec(0.05, 2, "whole")))
    assert {stage for stage in before if before[stage] != after[stage]} == {"plan", "register"}


def test_the_name_of_a_base_is_for_people(world: World) -> None:
    renamed = world.run.base.model_copy(update={"name": "elsewhere"})
    assert canonical_digest(renamed) == canonical_digest(world.run.base)
    margins = next(call for call in world.play() if call.id == "register").config["margins"]
    assert margins == {"merged": 0.02, "w4a16": 0.02}


def test_a_harness_task_is_measured_before_and_after_without_data_of_its_own(tmp_path: Path) -> None:
    """It hangs on no data artifact, so other training rows do not measure the base again; replay has no use of it."""
    world = World(tmp_path / "w", train={"retention": {"method": "replay", "share": 0.3}})
    arc = ResolvedRetention(
        name="arc", metric=MetricSpec(name="acc"), margin=None, harness=HarnessConfig(task="arc_easy", limit=100)
    )
    run = world.run.model_copy(update={"retention": (*world.run.retention, arc)})
    calls = {call.id: call for call in world.play(run)}
    before, after = calls["evaluate.retention-arc-before"], calls["evaluate.retention-arc-after"]
    assert (set(before.inputs), set(after.inputs)) == (set(), {"model"})
    assert [call.config["harness"]["task"] for call in (before, after)] == ["arc_easy", "arc_easy"]
    assert [call.config["subject"]["kind"] for call in (before, after)] == ["base", "model"]
    assert calls["register"].config["retention"][1] == {
        "name": "arc", "metric": before.config["metrics"][0], "margin": None
    }  # fmt: skip
    assert set(calls["train.seed-0"].inputs["replay"]) == {"commands"}
