from __future__ import annotations

import pytest

from pipeline.core.errors import ModelError
from pipeline.plan.adapter import lora_parameters, not_servable
from pipeline.plan.architecture import EXACT_TYPES, Architecture, from_config
from pipeline.plan.known_models import KNOWN, find_known, require_known
from schemas.lora import LoraSettings

TINY = Architecture("llama", 1, 8, 2, 1, 4, 16, 100, tied=False, context=64)
"""One layer, 8 wide, 2 heads of 4 and one key-value head, 16 in the feed-forward layer, 100 tokens."""

LORA = LoraSettings(r=2, lora_alpha=4)


def test_a_tiny_llama_counted_by_hand() -> None:
    # Embedding 100*8 = 800 and output the same; q 8*8, k 8*4, v 8*4, o 8*8 = 192; gate, up, down 3*8*16 = 384;
    # two norms of 8; a last norm of 8: 800 + 800 + 192 + 384 + 16 + 8 = 2200.
    assert TINY.parameters == 2200
    # The look-up multiplies nothing: 2200 - 800.
    assert TINY.active_parameters == 1400
    tied = Architecture("llama", 1, 8, 2, 1, 4, 16, 100, tied=True, context=64)
    assert (tied.parameters, tied.active_parameters) == (1400, 1400)


def test_qwen3_8b_counted_by_hand() -> None:
    # 151,936 * 4096 = 622,329,856, twice; a layer: q and o 4096*4096 each, k and v 4096*1024 each = 41,943,040;
    # 3 * 4096 * 12,288 = 150,994,944; norms 2*4096 + 2*128 = 8448: 192,946,432, times 36 = 6,946,071,552; a last norm.
    # 1,244,659,712 + 6,946,071,552 + 4096 = 8,190,735,360: the published 8.19B.
    assert KNOWN["Qwen/Qwen3-8B"].parameters == 8_190_735_360


@pytest.mark.parametrize(
    ("name", "billions"),
    [
        ("Qwen/Qwen3-0.6B", 0.596),
        ("Qwen/Qwen3-1.7B", 1.72),
        ("Qwen/Qwen3-4B", 4.02),
        ("Qwen/Qwen3-4B-Instruct-2507", 4.02),
        ("Qwen/Qwen3-8B", 8.19),
        ("Qwen/Qwen3-14B", 14.8),
        ("Qwen/Qwen3-32B", 32.8),
        ("meta-llama/Meta-Llama-3-8B", 8.03),
        ("meta-llama/Meta-Llama-3-70B", 70.6),
        ("meta-llama/Llama-3.1-8B", 8.03),
        ("meta-llama/Llama-3.1-70B", 70.6),
        ("meta-llama/Llama-3.3-70B", 70.6),
        ("meta-llama/Llama-3.2-1B", 1.24),
        ("meta-llama/Llama-3.2-3B", 3.21),
        ("mistralai/Mistral-7B-v0.3", 7.25),
        ("mistralai/Mistral-Nemo-Base-2407", 12.2),
        ("mistralai/Mistral-Small-24B-Base-2501", 23.6),
        ("google/gemma-2-2b", 2.61),
        ("google/gemma-2-9b", 9.24),
        ("google/gemma-2-27b", 27.2),
        ("google/gemma-3-1b", 1.00),
        ("google/gemma-3-4b", 3.88),
        ("google/gemma-3-12b", 11.8),
        ("google/gemma-3-27b", 27.0),
        ("openai/gpt-oss-20b", 20.9),
        ("openai/gpt-oss-120b", 117),
    ],
)
def test_known_models_have_their_published_sizes(name: str, billions: float) -> None:
    assert KNOWN[name].parameters / 1e9 == pytest.approx(billions, rel=0.005)


def test_every_known_model_has_a_published_size() -> None:
    marks = [mark for mark in test_known_models_have_their_published_sizes.pytestmark if mark.name == "parametrize"]
    assert sorted(name for name, _ in marks[0].args[1]) == sorted(KNOWN)


def test_the_text_parts_of_gemma_3_are_exact() -> None:
    # Published for a vocabulary of 262,144; config.json embeds 64 tokens more, for images.
    for name, published in (
        ("google/gemma-3-1b", 999_885_952),
        ("google/gemma-3-4b", 3_880_099_328 + 64 * 2560),
        ("google/gemma-3-12b", 11_765_788_416 + 64 * 3840),
        ("google/gemma-3-27b", 27_009_002_240 + 64 * 5376),
    ):
        assert KNOWN[name].parameters == published, name


def test_active_parameters_of_a_mixture_are_the_published_ones() -> None:
    # OpenAI states 3.6B and 5.1B active parameters.
    assert KNOWN["openai/gpt-oss-20b"].active_parameters / 1e9 == pytest.approx(3.6, rel=0.02)
    assert KNOWN["openai/gpt-oss-120b"].active_parameters / 1e9 == pytest.approx(5.1, rel=0.02)


@pytest.mark.slow
def test_every_exact_family_counts_as_transformers_does() -> None:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    sizes = {
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 32,
        "intermediate_size": 96,
        "vocab_size": 300,
    }
    mixture = {"num_local_experts": 4, "num_experts_per_tok": 2}
    for model_type in sorted(EXACT_TYPES):
        for tied in (False, True):
            extra = mixture if model_type in ("mixtral", "gpt_oss") else {}
            config = AutoConfig.for_model(model_type, **sizes, **extra, tie_word_embeddings=tied)
            with torch.device("meta"):
                model = AutoModelForCausalLM.from_config(config)
            model.tie_weights()
            counted = sum(parameter.numel() for parameter in model.parameters())
            assert from_config(config.to_dict(), "here").parameters == counted, (model_type, tied)


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"target_modules": ("q_proj", "v_proj")},
        {"target_modules": r".*self_attn\.[ko]_proj"},
        {"use_dora": True},
        {"rank_pattern": {"q_proj": 16, r"layers\.1\.mlp\.down_proj": 2}},
        {"modules_to_save": ("lm_head",)},
        {"bias": "all"},
        {"bias": "lora_only", "target_modules": ("q_proj",)},
    ],
)
@pytest.mark.parametrize("model_type", ["llama", "qwen2", "qwen3"])
def test_trainable_parameters_are_those_of_peft(model_type: str, options: dict[str, object]) -> None:
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.for_model(
        model_type,
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        intermediate_size=96,
        vocab_size=300,
        tie_word_embeddings=False,
    )
    lora = LoraSettings.model_validate({"r": 8, "lora_alpha": 16, **options})
    values = lora.model_dump()
    values["target_modules"] = (
        lora.target_modules if isinstance(lora.target_modules, str) else list(lora.target_modules)
    )
    values["modules_to_save"] = list(lora.modules_to_save) if lora.modules_to_save else None
    with torch.device("cpu"):
        model = get_peft_model(AutoModelForCausalLM.from_config(config), LoraConfig(task_type="CAUSAL_LM", **values))
    trained = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    assert lora_parameters(from_config(config.to_dict(), "here"), lora) == trained


def test_a_lora_counted_by_hand() -> None:
    # r (inputs + outputs): q 2*16, k 2*12, v 2*12, o 2*16 = 112; gate, up, down 2*24 each = 144.
    assert lora_parameters(TINY, LORA) == 256
    assert lora_parameters(TINY, LORA.model_copy(update={"target_modules": ("q_proj", "v_proj")})) == 56
    # DoRA adds the outputs of each layer: 8 + 4 + 4 + 8 + 16 + 16 + 8 = 64.
    assert lora_parameters(TINY, LORA.model_copy(update={"use_dora": True})) == 320


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"use_dora": True}, "DoRA"),
        ({"bias": "all"}, "biases"),
        ({"modules_to_save": ("lm_head",)}, "modules_to_save"),
        ({"init_lora_weights": "pissa", "r": 257}, "not 257, which pissa stores as 514"),
        ({"r": 1024}, "ranks up to 512"),
        ({"rank_pattern": {"q_proj": 1024}}, "not 1024"),
    ],
)
def test_what_vllm_does_not_serve(options: dict[str, object], reason: str) -> None:
    (found,) = not_servable(LoraSettings.model_validate({"r": 8, "lora_alpha": 16, **options}))
    assert reason in found


def test_what_vllm_serves() -> None:
    assert not_servable(LORA) == []
    assert not_servable(LORA.model_copy(update={"use_rslora": True, "rank_pattern": {"q_proj": 64}})) == []
    assert not_servable(LORA.model_copy(update={"init_lora_weights": "olora", "r": 256})) == []


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("llama-3-70b", "meta-llama/Meta-Llama-3-70B"),
        ("meta-llama/Meta-Llama-3-8B-Instruct", "meta-llama/Meta-Llama-3-8B"),
        ("qwen3-0.6b-base", "Qwen/Qwen3-0.6B"),
        ("google/gemma-3-1b-it", "google/gemma-3-1b"),
        ("unsloth/gpt-oss-20b", "openai/gpt-oss-20b"),
        ("Qwen/Qwen3-4B-Instruct-2507", "Qwen/Qwen3-4B-Instruct-2507"),
        ("unsloth/Qwen3-4B-Instruct-2507", "Qwen/Qwen3-4B-Instruct-2507"),
        ("Qwen/Qwen3-4B-Base", "Qwen/Qwen3-4B"),
        ("meta-llama/Llama-3.3-70B-Instruct", "meta-llama/Llama-3.3-70B"),
        ("mistralai/Mistral-7B-Instruct-v0.3", "mistralai/Mistral-7B-v0.3"),
        ("mistralai/Mistral-Nemo-Instruct-2407", "mistralai/Mistral-Nemo-Base-2407"),
        ("mistralai/Mistral-Small-24B-Instruct-2501", "mistralai/Mistral-Small-24B-Base-2501"),
        ("google/gemma-3-12b-pt", "google/gemma-3-12b"),
    ],
)
def test_names_of_siblings_find_their_architecture(name: str, found: str) -> None:
    assert find_known(name) == (found, KNOWN[found])


def test_an_unknown_base_is_answered_with_the_nearest() -> None:
    with pytest.raises(ModelError, match=r"did you mean .*Qwen/Qwen3-8B"):
        require_known("qwen3-7b", "base_model")
    assert find_known("my-own-model") is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hidden_size": None}, "has no hidden_size"),
        ({"num_hidden_layers": 0}, "num_hidden_layers: 0"),
        ({"vocab_size": "many"}, "vocab_size: 'many'"),
        ({"hidden_size": 65}, "not a multiple"),
    ],
)
def test_a_config_without_sizes_is_refused(change: dict[str, object], message: str) -> None:
    config = {
        "model_type": "llama",
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 96,
        "vocab_size": 300,
    }
    with pytest.raises(ModelError, match=message):
        from_config({**config, **change}, "folder")
