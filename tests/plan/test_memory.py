from __future__ import annotations

from dataclasses import replace

import pytest

from pipeline.plan.adapter import lora_parameters
from pipeline.plan.architecture import Architecture, from_config
from pipeline.plan.known_models import KNOWN
from pipeline.plan.memory import MEMORY_ERROR, Footprint, estimate_memory, layer_activation_bytes, needed
from pipeline.plan.prices import GIB
from schemas.lora import LoraSettings
from schemas.train import AdapterKind

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
    # 20 tokens; a layer saves of two norms input and normalized, 2 * (4 + 4) * 8 = 128, their outputs 4 * 2 * 8 = 64,
    # of attention 4 * 4 * 8 = 128, of the feed-forward layer 4 * 4 * 16 = 256: 576 bytes per token.
    assert memory.activations == 20 * 576
    # The tile is all of the logits, 20 * 100 * 4, and its weights 100 * 8 * 4; hidden states are 20 * 8 * (4 + 3 * 4).
    assert memory.logits == 8000 + 3200 + 2560
    assert memory.total == 8800 + 8800 + 17_600 + 11_520 + 13_760


def test_full_training_in_bfloat16_copies_all_but_embeddings() -> None:
    # 2 * 100 * 8 = 1600 of the 2200 parameters are embeddings and output layer; 2 bytes for each of the others.
    assert estimate_memory(footprint(bf16=True)).weights == 4 * 2200 + 2 * 600
    assert estimate_memory(footprint(bf16=True, gradient_checkpointing=True)).weights == 4 * 2200


def test_lora_in_bfloat16_by_hand() -> None:
    memory = estimate_memory(footprint(adapter="lora", trainable=256, bf16=True))
    # Frozen base 2 bytes; adapter 4 + 2 for its copy.
    assert memory.weights == 2 * 2200 + 6 * 256
    assert (memory.gradients, memory.optimizer) == (4 * 256, 8 * 256)
    # Norms' inputs in float32 2 * 4 * 8 = 64, five casts of them 5 * 2 * 8 = 80, attention with the output layer's cast
    # 2 * 5 * 8 = 80, feed-forward 2 * 4 * 16 = 128.
    assert memory.activations == 20 * 352
    assert memory.logits == 2 * 100 * (20 + 8) + 20 * 8 * (4 + 3 * 2)


def test_logits_are_no_more_than_a_tile() -> None:
    base = KNOWN["Qwen/Qwen3-0.6B"]
    short, long = (
        estimate_memory(footprint(architecture=base, bf16=True, length=length, batch=1)) for length in (4096, 40_960)
    )
    # 4096 tokens * 32768 of the vocabulary in bfloat16, weights 32768 * 1024, hidden states 1024 * 10 bytes a token.
    assert short.logits == 2 * 32_768 * (4096 + 1024) + 4096 * 1024 * 10
    assert long.logits - short.logits == (40_960 - 4096) * 1024 * 10


def test_qlora_keeps_only_linear_layers_in_four_bits() -> None:
    memory = estimate_memory(footprint(adapter="qlora", trainable=0, bf16=True))
    # 576 parameters in linear layers at 4.127 / 8 bytes; the other 1624 and one unpacked layer of 128 at 2 bytes.
    assert memory.weights == int(576 * 4.127 / 8) + 2 * (2200 - 576 + 128)
    # As a LoRA, but the norms' outputs once each, 2 * 2 * 8 = 32, and attention 2 * 4 * 8 = 64.
    assert memory.activations == 20 * (64 + 32 + 64 + 128)


def test_recomputation_keeps_one_layer_and_the_inputs_of_all() -> None:
    deep = Architecture("llama", 10, 8, 2, 1, 4, 16, 100, tied=False, context=64)
    memory = estimate_memory(footprint(architecture=deep, gradient_checkpointing=True))
    assert memory.activations == 20 * (10 * 4 * 8 + 576)
    # In bfloat16, what runs through the layers is that too, unless their weights are in float32.
    lora = estimate_memory(footprint(architecture=deep, gradient_checkpointing=True, adapter="lora", bf16=True))
    assert lora.activations == 20 * (10 * 2 * 8 + 352)


MEASURED = (
    # docs/gpu.md: an H200, 2026-11-26; GiB of `torch.cuda.max_memory_allocated`; LoRA of rank 16 on all linear layers
    ("Qwen/Qwen3-0.6B", "lora", 8, 1024, False, 17.01),
    ("Qwen/Qwen3-0.6B", "lora", 8, 2048, True, 3.64),
    ("Qwen/Qwen3-0.6B", "qlora", 8, 1024, False, 14.16),
    ("Qwen/Qwen3-0.6B", "full", 8, 1024, False, 26.11),
    ("Qwen/Qwen3-0.6B", "full", 8, 2048, True, 10.47),
    ("Qwen/Qwen3-1.7B", "full", 4, 1024, False, 37.90),
    ("Qwen/Qwen3-4B", "lora", 4, 2048, True, 11.29),
    ("Qwen/Qwen3-4B", "qlora", 4, 1024, False, 23.86),
)


@pytest.mark.parametrize(("base", "adapter", "batch", "length", "checkpointing", "gib"), MEASURED)
def test_what_a_gpu_took_is_estimated(
    base: str, adapter: AdapterKind, batch: int, length: int, checkpointing: bool, gib: float
) -> None:
    model = KNOWN[base]
    trainable = model.parameters if adapter == "full" else lora_parameters(model, LoraSettings(r=16, lora_alpha=32))
    shape = footprint(architecture=model, adapter=adapter, trainable=trainable, batch=batch, length=length, bf16=True)
    estimate = estimate_memory(replace(shape, gradient_checkpointing=checkpointing))
    assert estimate.total == pytest.approx(gib * GIB, rel=MEMORY_ERROR)
    assert estimate.total > 0.97 * gib * GIB  # rather too much than a training that does not fit


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
@pytest.mark.parametrize("adapter", ["full", "lora"])
@pytest.mark.parametrize("bf16", [False, True])
def test_activations_are_what_pytorch_saves(model_type: str, adapter: AdapterKind, bf16: bool) -> None:
    """Count every tensor that a real forward pass over padded rows saves; compare its growth per layer."""
    few, architecture = saved_per_token(model_type, adapter, bf16, layers=1)
    many, _ = saved_per_token(model_type, adapter, bf16, layers=3)
    expected = layer_activation_bytes(architecture, adapter, bf16=bf16)
    assert (many - few) / 2 == pytest.approx(expected, rel=0.05)


def saved_per_token(model_type: str, adapter: AdapterKind, bf16: bool, *, layers: int) -> tuple[float, Architecture]:
    """Return the bytes saved for each token, without weights and casts of them, which have their shape."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.for_model(
        model_type,
        hidden_size=192,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=40,
        intermediate_size=448,
        vocab_size=64,
    )
    frozen = adapter == "lora" and bf16
    model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16 if frozen else torch.float32)
    if adapter == "lora":
        adapted = get_peft_model(model, LoraConfig(r=1, target_modules="all-linear", task_type="CAUSAL_LM"))
        for parameter in adapted.parameters():
            parameter.data = parameter.data.float() if parameter.requires_grad else parameter.data
    shapes = {tuple(parameter.shape) for parameter in model.parameters()}
    shapes |= {shape[::-1] for shape in shapes}
    saved: dict[int, torch.Tensor] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if tuple(tensor.shape) not in shapes:
            saved[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    ids = torch.randint(0, 64, (4, 64))
    mask = torch.ones_like(ids)
    mask[1:, 40:] = 0
    autocast = torch.autocast("cpu", torch.bfloat16, enabled=bf16)
    with autocast, torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        model.get_decoder()(input_ids=ids, attention_mask=mask, use_cache=False)
    total = sum(tensor.untyped_storage().nbytes() for tensor in saved.values())
    return total / ids.numel(), from_config(config.to_dict(), "here")
