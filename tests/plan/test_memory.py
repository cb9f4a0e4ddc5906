from __future__ import annotations

import pytest

from pipeline.plan.architecture import Architecture, from_config
from pipeline.plan.known_models import KNOWN
from pipeline.plan.memory import Footprint, estimate_memory, layer_activation_bytes, needed
from pipeline.plan.prices import GIB

TINY = Architecture("llama", 1, 8, 2, 1, 4, 16, 100, tied=False, context=64)


def footprint(**changes: object) -> Footprint:
    values: dict[str, object] = {
        "architecture": TINY,
        "adapter": "full",
        "trainable": 2200,
        "length": 10,
        "batch": 2,
        "gradient_checkpointing": False,
        "bf16": False,
        **changes,
    }
    return Footprint(**values)  # type: ignore[arg-type]


def test_full_training_in_float32_by_hand() -> None:
    memory = estimate_memory(footprint())
    # 2200 parameters: weights and gradients 4 bytes each, AdamW's two moments 8.
    assert (memory.weights, memory.gradients, memory.optimizer) == (8800, 8800, 17_600)
    # 20 tokens; a layer saves two norms (4 + 4) * 8 * 2 = 128, attention 4 * (2*8 + 2*4 + 4 + 8) = 144,
    # feed-forward 4 * 4 * 16 = 256: 528 bytes per token.
    assert memory.activations == 20 * 528
    # Logits: 20 tokens * 100 * (4 as they come, 4 in float32, 4 gradient).
    assert memory.logits == 20 * 100 * 12
    assert memory.total == 8800 + 8800 + 17_600 + 10_560 + 24_000


def test_lora_in_bfloat16_by_hand() -> None:
    memory = estimate_memory(footprint(adapter="lora", trainable=256, bf16=True))
    # Frozen base 2 bytes; adapter 4 + 2 for its copy.
    assert memory.weights == 2 * 2200 + 6 * 256
    assert (memory.gradients, memory.optimizer) == (4 * 256, 8 * 256)
    assert memory.logits == 20 * 100 * (2 + 4 + 4)


def test_qlora_keeps_only_linear_layers_in_four_bits() -> None:
    memory = estimate_memory(footprint(adapter="qlora", trainable=0, bf16=True))
    # 576 parameters in linear layers at 4.127 / 8 bytes; the other 1624 and one unpacked layer of 128 at 2 bytes.
    assert memory.weights == int(576 * 4.127 / 8) + 2 * (2200 - 576 + 128)


def test_recomputation_keeps_one_layer_and_the_inputs_of_all() -> None:
    deep = Architecture("llama", 10, 8, 2, 1, 4, 16, 100, tied=False, context=64)
    memory = estimate_memory(footprint(architecture=deep, gradient_checkpointing=True))
    assert memory.activations == 20 * (10 * 4 * 8 + 528)


def test_sharding_divides_states_and_not_activations() -> None:
    one, four = estimate_memory(footprint()), estimate_memory(footprint(), gpus=4)
    assert (four.weights, four.gradients, four.optimizer) == (2200, 2200, 4400)
    assert (four.activations, four.logits) == (one.activations, one.logits)


def test_a_preference_holds_two_sequences_and_a_reference() -> None:
    plain, pair = estimate_memory(footprint()), estimate_memory(footprint(sequences=2, reference=True))
    assert pair.activations == 2 * plain.activations
    assert pair.weights == plain.weights + 4 * 2200


def test_qlora_of_70b_fits_one_80_gib_gpu_and_full_training_of_8b_does_not() -> None:
    large = KNOWN["meta-llama/Llama-3.3-70B"]
    small = KNOWN["meta-llama/Llama-3.1-8B"]
    qlora = footprint(
        architecture=large,
        adapter="qlora",
        trainable=200_000_000,
        length=2048,
        batch=1,
        bf16=True,
        gradient_checkpointing=True,
    )
    # Dettmers et al. (2023) train 65B on one 48 GB GPU.
    assert 38 * GIB < needed(estimate_memory(qlora)) < 60 * GIB
    full = footprint(
        architecture=small, trainable=small.parameters, length=2048, batch=1, bf16=True, gradient_checkpointing=True
    )
    assert needed(estimate_memory(full)) > 18 * small.parameters > 80e9


@pytest.mark.slow
@pytest.mark.parametrize("model_type", ["llama", "qwen3"])
@pytest.mark.parametrize("number_type", ["float32", "bfloat16"])
def test_activations_are_what_pytorch_saves(model_type: str, number_type: str) -> None:
    """Count every tensor that a real forward pass saves, and compare its growth per layer with the formula."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    def saved_per_token(layers: int) -> tuple[float, Architecture]:
        config = AutoConfig.for_model(
            model_type,
            hidden_size=128,
            num_hidden_layers=layers,
            num_attention_heads=4,
            num_key_value_heads=2,
            head_dim=32,
            intermediate_size=344,
            vocab_size=64,
        )
        model = AutoModelForCausalLM.from_config(config).to(getattr(torch, number_type))
        own = {t.untyped_storage().data_ptr() for t in [*model.parameters(), *model.buffers()]}
        saved: dict[int, torch.Tensor] = {}

        def keep(tensor: torch.Tensor) -> torch.Tensor:
            address = tensor.untyped_storage().data_ptr()
            if address not in own:
                saved[address] = tensor
            return tensor

        ids = torch.randint(0, 64, (4, 64))
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            model(input_ids=ids, labels=ids)
        total = sum(tensor.untyped_storage().nbytes() for tensor in saved.values())
        return total / ids.numel(), from_config(config.to_dict(), "here")

    few, architecture = saved_per_token(1)
    many, _ = saved_per_token(3)
    element = 4 if number_type == "float32" else 2
    assert (many - few) / 2 == pytest.approx(layer_activation_bytes(architecture, element), rel=0.05)
