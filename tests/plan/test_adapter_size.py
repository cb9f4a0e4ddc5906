"""What an adapter that is no LoRA trains, counted from the config alone, is what PEFT makes trainable."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.plan.adapter_size import factors, other_parameters
from pipeline.plan.architecture import from_config
from schemas.train import TrainSpec

SIZES: dict[str, Any] = {
    "vocab_size": 64,
    "hidden_size": 48,
    "intermediate_size": 80,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 12,
    "tie_word_embeddings": True,
}

CASES: list[tuple[str, dict[str, Any]]] = [
    ("ia3", {}),
    ("ia3", {"target_modules": "all-linear", "feedforward_modules": ["up_proj"]}),
    ("vera", {}),
    ("vera", {"r": 5, "target_modules": ["v_proj"]}),
    ("loha", {"r": 3, "rank_pattern": {"v_proj": 2}}),
    ("lokr", {}),
    ("lokr", {"r": 2}),
    ("lokr", {"r": 1, "decompose_both": True}),
    ("lokr", {"r": 2, "decompose_factor": 4, "rank_pattern": {"v_proj": 1}}),
    ("oft", {}),  # 32 divides neither 48 nor 80
    ("oft", {"oft_block_size": 4, "block_share": True}),
    ("boft", {}),
    ("boft", {"boft_block_size": 8, "target_modules": r".*\.mlp\..*_proj"}),
    ("ln_tuning", {}),
    ("ln_tuning", {"target_modules": ["input_layernorm"]}),
]


@pytest.mark.parametrize("model_type", ["llama", "qwen3"])
@pytest.mark.parametrize(("kind", "options"), CASES, ids=str)
def test_the_count_is_that_of_peft(kind: str, options: dict[str, Any], model_type: str) -> None:
    from peft import get_peft_model
    from transformers import AutoConfig, AutoModelForCausalLM

    from pipeline.backends.remarks_peft import without_known_remarks
    from pipeline.backends.training.adapters import adapter_config
    from pipeline.backends.training.base_model import count_parameters
    from schemas.base import Reference
    from schemas.base_model import BaseModelRef
    from tests.support.training import train_config

    settings = AutoConfig.for_model(model_type, **SIZES)
    model = AutoModelForCausalLM.from_config(settings)
    base = BaseModelRef(name="base", weights=Reference(location="base", digest="0" * 64))
    config = train_config(base, adapter=kind, **{kind: options})
    with without_known_remarks():
        adapted = get_peft_model(model, adapter_config(config, model))
    assert config.other is not None
    counted = other_parameters(from_config(settings.to_dict(), "base"), config.other)
    assert counted == count_parameters(adapted, only_trainable=True)


@given(st.integers(1, 3000), st.sampled_from([-1, 1, 2, 3, 4, 7, 16, 64]))
def test_factors_are_those_of_peft(size: int, factor: int) -> None:
    from peft.tuners.lokr.layer import factorization

    assert factors(size, factor) == factorization(size, factor)


def test_options_of_another_adapter_are_refused() -> None:
    with pytest.raises(ValueError, match="these are options of adapter: ia3, and adapter is lora"):
        TrainSpec.model_validate({"ia3": {"target_modules": ["q_proj"], "feedforward_modules": []}})


def test_a_feedforward_module_that_is_no_target_is_refused() -> None:
    with pytest.raises(ValueError, match="down_proj is not among target_modules"):
        TrainSpec.model_validate({"adapter": "ia3", "ia3": {"target_modules": ["q_proj"]}})
