from __future__ import annotations

from typing import Any, get_args

import pytest
from pydantic import ValidationError

from pipeline.core.errors import ConfigError
from pipeline.plan.doubts import doubts
from pipeline.plan.draft import Request, draw_up
from pipeline.plan.fitting import Load, smallest
from pipeline.plan.known_models import KNOWN
from pipeline.plan.placement import orchestration, placement, serving, stage_placements
from pipeline.plan.prices import GIB, dollars_per_second, gpu_named
from pipeline.plan.profile import Lengths
from schemas.artifacts import StageCall
from schemas.base import ArtifactRef, StageName
from schemas.evaluate import GenerationConfig
from schemas.optimize import PRESETS, Variant
from schemas.placement import GPU_TYPES, HardwareSpec, TrainHardware, WorkHardware, split_gpu
from schemas.plan import Constraints, PlanArtifact
from schemas.run import RunSpec
from schemas.schemes import Scheme
from schemas.serve import EngineOptions
from schemas.train import TrainSpec

LLAMA, QWEN, LARGE = "meta-llama/Llama-3.1-8B", "Qwen/Qwen3-32B", "meta-llama/Llama-3.3-70B"
ANY = HardwareSpec()


def plan(
    name: str,
    *,
    variants: dict[str, Scheme] | None = None,
    served: str | None = None,
    test_rows: int = 2000,
    **train: Any,
) -> PlanArtifact:
    """Return a plan for rows of at most 460 tokens: with a tenth of room and in steps of 64 they train at 512."""
    architecture = KNOWN[name]
    return draw_up(
        Request(
            task="generation",
            architecture=architecture,
            from_scratch=False,
            train=TrainSpec.model_validate({"gradient_checkpointing": True, **train}),
            lengths=Lengths(500, 200.0, 400.0, 450.0, 460, "tokenizer", 20),
            rows=10_000,
            train_rows=7000,
            test_rows=test_rows,
            evaluations=3,
            variants=variants or {},
            constraints=Constraints(),
            target=None,
            baseline=None,
            alpha=0.05,
            power=0.8,
            served=served,
        )
    )


def ref(stage: StageName) -> ArtifactRef:
    return ArtifactRef(stage=stage, fingerprint="a" * 64)


def evaluate(call_id: str, subject: dict[str, Any], model: StageName | None = None, **generation: Any) -> StageCall:
    config = {"subject": subject, "metrics": [{"name": "exact_match"}], "generation": generation}
    inputs = {"data": ref("data"), **({"model": ref(model)} if model is not None else {})}
    return StageCall(id=call_id, stage="evaluate", config=config, inputs=inputs)


def optimize(preset: str) -> StageCall:
    variant = Variant.model_validate(preset).model_dump(mode="json")
    config = {"variant": variant, "base": {"name": "b", "weights": {"location": "b", "digest": "c"}}}
    return StageCall(id=f"optimize.{preset}", stage="optimize", config=config)


def serve(**options: Any) -> StageCall:
    base = {"name": "b", "weights": {"location": "b", "digest": "c"}}
    config = {"options": options, "base": base, "served_model_name": "m"}
    return StageCall(id="serve", stage="serve", config=config)


def plain(stage: StageName) -> StageCall:
    return StageCall(id=stage, stage=stage, config={})


BASE = evaluate("evaluate.baseline-base", {"kind": "base"})
FEW_SHOT = evaluate("evaluate.baseline-few-shot", {"kind": "base", "few_shot": 3})
W4A16: dict[str, Scheme] = {"merged": "merged", "w4a16": "W4A16"}


def test_8b_by_hand() -> None:
    # 8,030,261,248 parameters in bfloat16: 16,060,522,496 bytes. A token's cache: 2 * 32 layers * 8 heads * 128 * 2 =
    # 131,072 bytes. 32 rows of 512 + 128 tokens: 20,480 tokens, 2,684,354,560 bytes. With 2 GiB: 20.9e9 bytes; 90% of
    # an L4's 22 GiB are 21.3e9.
    made = plan(LLAMA, variants=W4A16, served="w4a16")
    assert placement(BASE, made, ANY, "cuda").gpus == ("L4", "A10")
    # Three examples of 512 tokens more in each row: 69,632 tokens, 9,126,805,504 bytes, 27.3e9 in all; 90% of an L40S's
    # 44.5 GiB are 43.0e9, of an A100-40GB's 39.4 GiB 38.1e9.
    assert placement(FEW_SHOT, made, ANY, "cuda").gpus == ("L40S", "A100-40GB", "A100-80GB")
    # GPTQ: 2 copies of 128 rows * 512 tokens * 4096 * 2 bytes = 1,073,741,824, 3 matrices of 14,336^2 * 4 bytes =
    # 2,466,250,752: beside the weights and 2 GiB 21.7e9, more than an L4's 21.3e9.
    assert placement(optimize("w4a16"), made, ANY, "cuda").gpu == "L40S"
    assert placement(optimize("fp8_dynamic"), made, ANY, "cuda").gpu == "L4"  # nothing is calibrated: 18.2e9
    # Linear layers: 32 * (2 * 4096^2 + 2 * 4096 * 1024 + 3 * 4096 * 14,336) = 6,979,321,856 weights of 4.25 bits are
    # 3,707,764,736 bytes; 1,050,939,392 others of 2 bytes: 5,809,643,520 bytes.
    assert made.inference is not None
    assert made.inference.form_bytes["w4a16"] == 5_809_643_520
    assert placement(serve(max_model_len=4096), made, ANY, "cuda").gpu == "L4"  # 5.8e9 + 2.7e9 + 2.1e9
    # vLLM is to hold the whole context: 131,072 tokens are 17.2e9 bytes, 25.1e9 in all.
    assert placement(serve(), made, ANY, "cuda").gpu == "L40S"
    # Merging on CPUs: 4 GiB and 1.1 * 6 bytes * 8,030,261,248 = 49.4 GiB.
    merge = placement(optimize("merged"), made, ANY, "cuda")
    assert (merge.gpu, merge.count, merge.memory, merge.cpu) == (None, 0, 54 * 1024, 8)


def test_32b_by_hand() -> None:
    # 32,762,123,264 parameters: 65.5e9 bytes; a token: 2 * 64 * 8 * 128 * 2 = 262,144 bytes, 20,480 of them 5.4e9; with
    # 2 GiB 73.0e9. 90% of 79.2 GiB are 76.5e9. Up to twice the price: H100 and H200.
    made = plan(QWEN)
    assert placement(BASE, made, ANY, "cuda").gpus == ("A100-80GB", "H100", "H200")
    # 69,632 tokens: 18.3e9, 85.9e9 in all: more than 76.5e9, less than 90% of 139 GiB, 134e9.
    assert placement(FEW_SHOT, made, ANY, "cuda").gpu == "H200"
    # 4 GiB and 1.1 * 6 * 32,762,123,264 bytes = 201.4 GiB.
    assert placement(optimize("merged"), made, ANY, "cuda").memory == 206 * 1024


def test_70b_by_hand() -> None:
    # 70,553,706,496 parameters: 141.1e9 bytes; a token: 2 * 80 * 8 * 128 * 2 = 327,680 bytes, 20,480 of them 6.7e9;
    # with 2 GiB 150.0e9: more than an H200's 134e9, less than 90% of a B200's 178 GiB, 172e9.
    made = plan(LARGE, variants=W4A16, served="w4a16", adapter="qlora")
    assert placement(BASE, made, ANY, "cuda").gpus == ("B200",)
    # Linear layers: 80 * (2 * 8192^2 + 2 * 8192 * 1024 + 3 * 8192 * 28,672) = 68,451,041,280 weights: 36,364,615,680
    # bytes; 2,102,665,216 others: 40,569,946,112 bytes. With 6.7e9 and 2.1e9: 49.4e9.
    assert made.inference is not None
    assert made.inference.form_bytes["w4a16"] == 40_569_946_112
    assert placement(serve(max_model_len=4096), made, ANY, "cuda").gpu == "A100-80GB"
    variant = evaluate("evaluate.variant-w4a16", {"kind": "model"}, "optimize", backend="vllm")
    assert placement(variant, made, ANY, "cuda").gpu == "A100-80GB"
    # 4 GiB and 433.7 GiB: more than a container has, and that is said.
    assert placement(optimize("merged"), made, ANY, "cuda").memory == 336 * 1024
    (doubt,) = doubts(made, ANY)
    assert "merging takes about 434 GiB" in doubt


def test_two_gpus_share_what_one_does_not_hold() -> None:
    # gpt-oss-120b: 116,829,156,672 parameters, 233.7e9 bytes: more than any one. On two: 116.8e9, half of the cache of
    # 20,480 tokens * 2 * 36 * 8 * 64 * 2 bytes, and 2 GiB: 119.7e9 on each, less than an H200's 134e9.
    found = placement(BASE, plan("openai/gpt-oss-120b"), ANY, "cuda")
    assert (found.gpu, found.count, found.cpu, found.memory) == ("H200:2", 2, 8, 64 * 1024)


def test_a_model_is_divided_by_what_divides_its_heads() -> None:
    assert Load(0, 0, heads=24, kv_heads=8).counts == [1, 2, 4, 8]
    assert Load(0, 0, heads=12, kv_heads=4).counts == [1, 2, 4]
    assert Load(0, 0, heads=4, kv_heads=1).counts == [1, 2, 4]
    assert Load(0, 0, heads=14, kv_heads=2).counts == [1, 2]
    # A key-value head is on every GPU whole: 8 GPUs hold four copies of the two heads' cache.
    assert Load(80, 80, heads=16, kv_heads=2).bytes_on_each(8) == 10 + 40 + 2 * GIB
    assert smallest(Load(10**13, 0, heads=64, kv_heads=8)) == ()
    # 100e9 bytes: three GPUs are no choice, and with three heads nothing is divided.
    assert smallest(Load(3 * 10**11, 0, heads=3, kv_heads=3)) == ()


def test_what_fits_nowhere_is_refused_unless_gpus_are_named() -> None:
    call = evaluate("evaluate.baseline-base", {"kind": "base"}, batch_size=100_000)
    with pytest.raises(ConfigError, match=r"hardware\.evaluate: no GPU type holds .*B200:8"):
        placement(call, plan(LARGE), ANY, "cuda")
    named = HardwareSpec(evaluate=WorkHardware(gpu=("B200:8",)))
    assert placement(call, plan(LARGE), named, "cuda").gpu == "B200:8"


@pytest.mark.parametrize(("name", "adapter"), [(LLAMA, "lora"), (QWEN, "lora"), (LARGE, "qlora"), (LLAMA, "full")])
def test_training_takes_the_plans_choice(name: str, adapter: str) -> None:
    made = plan(name, adapter=adapter)
    found = placement(plain("train"), made, ANY, "cuda")
    chosen = next(option for option in made.hardware if option.gpu == made.recommended_gpu)
    assert split_gpu(found.gpus[0]) == (chosen.gpu, chosen.count)
    assert found.timeout == 86_400
    for gpu in found.fallbacks:
        kind, count = split_gpu(gpu)
        option = next(option for option in made.hardware if option.gpu == kind)
        assert option.fits and count == chosen.count and option.dollars <= 2 * chosen.dollars
    # 8B parameters and more: never on a small type, however cheap.
    assert all(gpu_named(split_gpu(gpu)[0]).for_large for gpu in found.gpus)


def test_a_small_base_is_trained_where_that_is_cheapest() -> None:
    made = plan("Qwen/Qwen3-0.6B", max_steps=20, test_rows=100)
    assert placement(plain("train"), made, ANY, "cuda").gpu == "L4"
    cheapest = min((option for option in made.hardware if option.fits), key=lambda option: option.dollars)
    assert cheapest.gpu == "L4"


def test_a_whole_model_is_gathered_in_the_hosts_memory() -> None:
    # 1.1 * 4 bytes * 8,030,261,248 = 32.9 GiB, a little more than the 32 GiB of one GPU's share.
    one = HardwareSpec(train=TrainHardware(gpu=("B200",)))
    assert placement(plain("train"), plan(LLAMA, adapter="full"), one, "cuda").memory == 33 * 1024
    assert placement(plain("train"), plan(LLAMA), one, "cuda").memory == 32 * 1024
    # The first of two gathers Adam's moments: 1.1 * 8 * 8,030,261,248 bytes = 65.8 GiB, more than 2 * 32.
    two = HardwareSpec(train=TrainHardware(gpu=("H100:2",)))
    assert placement(plain("train"), plan(LLAMA, adapter="full"), two, "cuda").memory == 66 * 1024
    # Several processes load the base: 1.1 * 141.1e9 bytes = 144.6 GiB, more than 4 * 32.
    four = HardwareSpec(train=TrainHardware(gpu=("H100:4",)))
    assert placement(plain("train"), plan(LARGE, adapter="qlora"), four, "cuda").memory == 145 * 1024


def test_what_was_asked_for_goes_first() -> None:
    asked = HardwareSpec.model_validate(
        {
            "train": {"gpu": ["H100:2", "A100-80GB:2"], "timeout": 7200},
            "evaluate": "L40S",
            "optimize": {"cpu": 16, "memory": 65536},
            "serve": "cpu",
        }
    )
    made = plan(LLAMA, variants=W4A16, served="w4a16")
    train = placement(plain("train"), made, asked, "cuda")
    assert (train.gpus, train.count, train.timeout) == (("H100:2", "A100-80GB:2"), 2, 7200)
    assert placement(BASE, made, asked, "cuda").gpus == ("L40S",)
    quantizer = placement(optimize("w4a16"), made, asked, "cuda")
    assert (quantizer.gpu, quantizer.cpu, quantizer.memory) == ("L40S", 16, 65536)
    assert placement(serve(), made, asked, "cuda").gpu is None
    assert placement(plain("data"), made, asked, "cuda") == placement(plain("data"), made, ANY, "cuda")


def test_a_cluster_takes_whole_hosts() -> None:
    made = plan(LLAMA)
    found = placement(plain("train"), made, HardwareSpec(train=TrainHardware(nodes=2)), "cuda")
    kind = str(made.recommended_gpu)
    assert (found.gpu, found.nodes, found.count) == (f"{kind}:8", 2, 8)
    # Two hosts: 8 GPUs, 32 cores and 256 GiB each, at the table's prices; the dearest of the choices counts.
    dearest = max(gpu_named(split_gpu(gpu)[0]).dollars_per_second for gpu in found.gpus)
    assert found.dollars_per_second == pytest.approx(2 * (8 * dearest + 32 * 0.0000131 + 256 * 0.00000222), rel=1e-12)


def test_prices_by_hand() -> None:
    # An L4 with 4 cores and 32 GiB; its fallback, an A10, is the dearer.
    found = placement(BASE, plan(LLAMA), ANY, "cuda")
    assert found.dollars_per_second == pytest.approx(0.000306 + 4 * 0.0000131 + 32 * 0.00000222, rel=1e-12)
    assert dollars_per_second("H100", 2, 8, 64, nodes=2) == pytest.approx(
        2 * (2 * 0.001097 + 8 * 0.0000131 + 64 * 0.00000222), rel=1e-12
    )
    assert dollars_per_second(None, 0, 1, 2) == pytest.approx(0.0000131 + 2 * 0.00000222, rel=1e-12)
    for name in GPU_TYPES:
        assert dollars_per_second(name, 1, 0, 0) > 0


@pytest.mark.parametrize("known", [True, False])
def test_without_gpus_every_call_has_cores_and_memory(known: bool) -> None:
    made = plan(LLAMA, variants=W4A16, served="w4a16") if known else None
    asked = HardwareSpec.model_validate({"train": "H100:2", "evaluate": "L4", "optimize": "L4", "serve": "L4"})
    calls = [plain(stage) for stage in ("plan", "data", "train", "register")]
    calls += [BASE, FEW_SHOT, optimize("merged"), optimize("w4a16"), serve()]
    for call in calls:
        found = placement(call, made, asked, "cpu")
        assert (found.gpu, found.fallbacks, found.count) == (None, (), 0), call.id
        assert found.cpu >= 1 and found.memory >= 4096 and found.timeout <= 86_400, call.id
    # A model of 8B parameters in float32 is 30 GiB.
    if known:
        assert placement(BASE, made, ANY, "cpu").memory > 30 * 1024


def test_before_there_is_a_plan_calls_have_usual_gpus() -> None:
    assert placement(plain("train"), None, ANY, "cuda").gpu == "H100"
    assert placement(BASE, None, ANY, "cuda").gpu == "L40S"
    assert placement(optimize("w4a16"), None, ANY, "cuda").gpu == "L40S"
    assert placement(serve(), None, ANY, "cuda").gpu == "L40S"
    # A plan of an older version says nothing of inference.
    old = plan(LLAMA).model_copy(update={"inference": None})
    assert placement(BASE, old, ANY, "cuda").gpu == "L40S"


def test_what_loads_no_model_needs_no_gpu() -> None:
    made = plan(LLAMA)
    endpoint = {"kind": "endpoint", "base_url": "http://127.0.0.1:1/v1", "model": "m"}
    for call in (evaluate("evaluate.baseline-tfidf", {"kind": "tfidf"}), evaluate("evaluate.endpoint", endpoint)):
        assert (
            placement(call, made, HardwareSpec(evaluate=WorkHardware(gpu=("L4",), memory=200_000)), "cuda").gpu is None
        )
    for stage in ("plan", "data", "register"):
        assert placement(plain(stage), made, ANY, "cuda").gpu is None  # type: ignore[arg-type]
    assert (orchestration().gpu, orchestration().timeout) == (None, 86_400)


def test_the_data_stage_grows_with_its_text() -> None:
    # 8 GiB and 12 copies of 4 bytes * 10,000 rows * 200 tokens, 92 MiB: 9 GiB.
    made = plan(LLAMA)
    assert placement(plain("data"), made, ANY, "cuda").memory == 9 * 1024
    large = made.model_copy(update={"profile": made.profile.model_copy(update={"rows": 1_000_000})})
    # 12 * 4 * 1e6 * 200 = 9.6e9 bytes: 8.9 GiB more than 8.
    assert placement(plain("data"), large, ANY, "cuda").memory == 17 * 1024


def test_every_form_is_found_by_its_call() -> None:
    made = plan(LARGE, variants=W4A16, served="w4a16")
    assert made.inference is not None
    assert set(made.inference.form_bytes) == {"base", "adapter", "merged", "w4a16"}
    # The adapter in float32 beside the base.
    assert made.inference.form_bytes["adapter"] == 2 * made.parameters + 4 * made.trainable_parameters
    trained = placement(evaluate("evaluate.seed-0", {"kind": "model"}, "train"), made, ANY, "cuda")
    assert trained.gpu == "B200"
    kept = evaluate("evaluate.retention-own-after", {"kind": "model"}, "optimize")
    assert placement(kept, made, ANY, "cuda").gpu == "A100-80GB"  # the served form
    champion = evaluate("evaluate.baseline-champion", {"kind": "model"}, "optimize")
    assert placement(champion, made, ANY, "cuda").gpu == "B200"  # of unknown size: the largest
    full = plan(LLAMA, adapter="full").inference
    assert full is not None and full.form_bytes["model"] == 4 * 8_030_261_248  # as it was trained


def test_every_preset_has_a_size() -> None:
    schemes = {name: Variant.model_validate(name).scheme for name in PRESETS}
    made = plan(LLAMA, variants=schemes)
    assert made.inference is not None
    for name, scheme in schemes.items():
        assert made.inference.form_bytes[name] <= made.inference.form_bytes["base"], scheme
    assert set(schemes.values()) == set(get_args(Scheme))


def test_stage_placements_hold_the_most_demanding_call() -> None:
    spec = RunSpec.model_validate(
        {
            "name": "run",
            "task": "generation",
            "base_model": LARGE,
            "data": {"path": "rows.jsonl"},
            "variants": ["merged", "w4a16"],
            "serve": {"variant": "w4a16", "options": {"max_model_len": 4096}},
            "hardware": {"train": "H100:4"},
        }
    )
    made = plan(LARGE, variants=W4A16, served="w4a16", adapter="qlora")
    found = stage_placements(spec, made, "cuda")
    assert found["train"].gpu == "H100:4"
    assert found["evaluate"] == placement(FEW_SHOT, made, spec.hardware, "cuda")
    assert found["optimize"] == placement(optimize("w4a16"), made, spec.hardware, "cuda")
    assert found["serve"] == placement(serve(max_model_len=4096), made, spec.hardware, "cuda")
    assert found["serve"] == serving(
        EngineOptions(max_model_len=4096), GenerationConfig(), made, spec.hardware.serve, "cuda"
    )
    assert {stage for stage, one in found.items() if one.gpu is None} == {"plan", "data", "judge", "register"}


@pytest.mark.parametrize(
    ("hardware", "says"),
    [
        ({"train": "T4"}, "hardware.train T4: training takes"),
        ({"train": "A100-40GB:1"}, "by the plan's estimate training needs"),
        ({"train": "cpu"}, "hardware.train is a CPU"),
        ({"evaluate": "L4"}, "hardware.evaluate L4: 134 GiB on each, without any cache"),
        ({"serve": "H100:3"}, "64 attention heads are not divided by 3 GPUs"),
    ],
)
def test_too_little_is_doubted_and_not_refused(hardware: dict[str, Any], says: str) -> None:
    made = plan(LARGE)
    assert doubts(made, HardwareSpec()) == []
    (doubt,) = doubts(made, HardwareSpec.model_validate(hardware))
    assert says in doubt
    assert doubts(made, HardwareSpec.model_validate({"train": "B200:2", "evaluate": "B200", "serve": "H200:2"})) == []


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("h100", ("H100",)),
        ("H100:1", ("H100",)),
        ("a100-80gb:4", ("A100-80GB:4",)),
        (["H100!", "H200:1"], ("H100!", "H200")),
        ("CPU", ("cpu",)),
        ({"gpu": "B200+:8"}, ("B200+:8",)),
        ({"name": "L4", "timeout": 60}, ("L4",)),
    ],
)
def test_gpus_are_written_as_modal_writes_them(written: Any, meant: tuple[str, ...]) -> None:
    read = WorkHardware.model_validate(written)
    assert read.gpu == meant
    assert WorkHardware.model_validate_json(read.model_dump_json()) == read


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ("H1000", "unknown GPU type 'H1000'; did you mean H100"),
        ("A100-70GB", "did you mean A100-"),
        ("H100:9", "one container has 1 to 8 H100; write H100:8"),
        ("A10:8", "1 to 4 A10; write A10:4"),
        ("H100:0", "1 to 8 H100"),
        ("H100:", "1 to 8 H100"),
        ("H100:two", "1 to 8 H100"),
        ("H100:-1", "1 to 8 H100"),
        ([], "write a GPU"),
        ([1], "write a GPU"),
        (["cpu", "L4"], "cpu stands alone"),
        (4, "write a GPU"),
        ({"timeout": 86_401}, "less than or equal to 86400"),
        ({"timeout": 0}, "greater than or equal to 1"),
        ({"cpu": 65}, "less than or equal to 64"),
        ({"cpu": 0.1}, "greater than or equal to 0.125"),
        ({"memory": 64}, "greater than or equal to 128"),
        ({"memory": 344_065}, "less than or equal to 344064"),
        ({"gpus": "L4"}, "Extra inputs"),
    ],
)
def test_what_modal_does_not_have_is_refused(written: Any, says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        WorkHardware.model_validate(written)


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ({"gpu": "H100", "nodes": 2}, "write H100:8"),
        ({"gpu": ["H100:8", "A10:4"], "nodes": 2}, "A10 makes no cluster"),
        ({"gpu": "cpu", "nodes": 2}, "a cluster has GPUs"),
        ({"nodes": 33}, "less than or equal to 32"),
        ({"nodes": 0}, "greater than or equal to 1"),
    ],
)
def test_clusters_that_modal_does_not_make_are_refused(written: Any, says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        TrainHardware.model_validate(written)
    with pytest.raises(ValidationError, match="Extra inputs"):
        WorkHardware.model_validate({"nodes": 2})
