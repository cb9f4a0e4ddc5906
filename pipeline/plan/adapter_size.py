"""How many parameters an adapter that is no LoRA trains, counted exactly from the base's architecture."""

from __future__ import annotations

from pipeline.plan.adapter import adapts, rank_of
from pipeline.plan.architecture import Architecture, Linear
from schemas.adapter_options import (
    AdapterOptions,
    BoftOptions,
    Ia3Options,
    LnTuningOptions,
    LohaOptions,
    LokrOptions,
    OftOptions,
    VeraOptions,
)


def other_parameters(architecture: Architecture, options: AdapterOptions) -> int:
    """Return the trained parameters, layer by layer; norms for LN tuning, linear layers for all others."""
    if isinstance(options, LnTuningOptions):
        return sum(size for name, size in architecture.norms() if adapts(options.target_modules, name))
    adapted = (linear for linear in architecture.linears() if adapts(options.target_modules, linear.name))
    return sum(_of_layer(linear, options) for linear in adapted)


def _of_layer(linear: Linear, options: AdapterOptions) -> int:
    inputs, outputs = linear.inputs, linear.outputs
    match options:
        case Ia3Options():
            return inputs if any(linear.name.endswith(name) for name in options.feedforward_modules) else outputs
        case VeraOptions():
            return options.r + outputs
        case LokrOptions():
            return _kronecker(linear, options)
        case LohaOptions():
            return 2 * rank_of(linear.name, options.r, options.rank_pattern) * (inputs + outputs)
        case OftOptions():
            block = _nearest_divisor(inputs, options.oft_block_size)
            blocks = 1 if options.block_share else inputs // block
            return blocks * block * (block - 1) // 2
        case BoftOptions():
            return inputs * options.boft_block_size + outputs
        case LnTuningOptions():
            return 0


def _kronecker(linear: Linear, options: LokrOptions) -> int:
    """Count W1 (x) W2, of which W2, and W1 where both are to be, is a product of rank r where that is smaller.

    After ``peft/tuners/lokr/layer.py``.
    """
    rank = rank_of(linear.name, options.r, options.rank_pattern)
    first_in, second_in = factors(linear.inputs, options.decompose_factor)
    first_out, second_out = factors(linear.outputs, options.decompose_factor)
    split = options.decompose_both and rank < max(first_out, first_in) / 2
    first = rank * (first_out + first_in) if split else first_out * first_in
    whole = rank >= max(second_out, second_in) / 2
    return first + (second_out * second_in if whole else rank * (second_out + second_in))


def factors(size: int, factor: int) -> tuple[int, int]:
    """Return two factors of ``size``: ``factor`` and the other where it divides it, else as near as that allows.

    Else the smaller comes first and is no larger than ``factor``; -1 sets no bound, which gives what is nearest to a
    square.
    """
    if factor > 0 and size % factor == 0:
        return factor, size // factor
    bound = size if factor == -1 else factor
    small = max(low for low in range(1, int(size**0.5) + 1) if size % low == 0 and low <= bound)
    return small, size // small


def _nearest_divisor(size: int, wanted: int) -> int:
    """Return the divisor of ``size`` nearest to ``wanted``, the smaller of two: what PEFT adjusts a block to."""
    if wanted >= size:
        return size
    return min((one for one in range(1, size + 1) if size % one == 0), key=lambda one: (abs(one - wanted), one))
