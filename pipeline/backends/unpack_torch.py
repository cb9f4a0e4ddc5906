"""Reading four-bit checkpoints as they are written: packed words of GPTQ and AWQ back to plain weights.

The two layouts, of a layer with I inputs, O outputs and G groups of inputs (eight four-bit numbers in an int32, the
lowest bits first):

- GPTQ: ``qweight`` [I/8, O] holds eight inputs a word, ``qzeros`` [G, O/8] eight outputs a word, each one too small;
  ``scales`` [G, O]; ``g_idx`` [I] is the group of each input.
- AWQ ("gemm"): ``qweight`` [I, O/8] and ``qzeros`` [G, O/8] hold eight outputs a word, in the order 0 2 4 6 1 3 5 7.

It shares no code with the libraries that pack, so that what it reads is what the files say.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from pipeline.core.errors import IntegrityError

if TYPE_CHECKING:
    import torch

Layout = Literal["gptq", "awq"]

_NUMBERS = 8
"""Four-bit numbers in a word."""

_AWQ_ORDER = (0, 2, 4, 6, 1, 3, 5, 7)
"""The output that each place of an AWQ word holds."""

_PACKED = ("qweight", "qzeros", "scales", "g_idx")


def unpack(state: Mapping[str, torch.Tensor], layout: Layout, group_size: int) -> dict[str, torch.Tensor]:
    """Return the state dict of the plain model that a packed one stands for, in float32.

    Args:
        state: every tensor of the checkpoint.
        layout: how its words are packed.
        group_size: inputs that share one scale.

    Raises:
        IntegrityError: a packed layer lacks one of its tensors, or their shapes do not belong together.
    """
    layers = sorted(name.removesuffix(".qweight") for name in state if name.endswith(".qweight"))
    packed = {f"{layer}.{part}" for layer in layers for part in _PACKED}
    plain = {name: tensor.float() for name, tensor in state.items() if name not in packed}
    for layer in layers:
        try:
            plain[f"{layer}.weight"] = _layer(state, layer, layout, group_size)
        except (KeyError, RuntimeError, IndexError) as error:
            raise IntegrityError(
                f"a packed layer does not unpack: {error}",
                where=layer,
                fix="report this: the library that wrote the variant packs in another way",
            ) from error
    return plain


def _layer(state: Mapping[str, torch.Tensor], layer: str, layout: Layout, group_size: int) -> torch.Tensor:
    """Return a weight [O, I]: (number - zero) * scale."""
    import torch

    words, zero_words = state[f"{layer}.qweight"], state[f"{layer}.qzeros"]
    scales = state[f"{layer}.scales"].float()
    if layout == "gptq":
        numbers = _numbers(words.t()).t()
        zeros = (_numbers(zero_words) + 1) & 15
        groups = state[f"{layer}.g_idx"].long()
    else:
        numbers, zeros = _in_order(_numbers(words)), _in_order(_numbers(zero_words))
        groups = torch.arange(numbers.shape[0]) // group_size
    weight: torch.Tensor = (numbers - zeros[groups]).float() * scales[groups]
    return weight.t().contiguous()


def _numbers(words: torch.Tensor) -> torch.Tensor:
    """Return the numbers of int32 words [R, C] as [R, 8 C], in the order of their places."""
    import torch

    shifts = torch.arange(0, 4 * _NUMBERS, 4, dtype=torch.int32)
    unpacked: Any = (words.unsqueeze(-1) >> shifts) & 15
    return unpacked.reshape(words.shape[0], -1)


def _in_order(numbers: torch.Tensor) -> torch.Tensor:
    """Put the outputs of AWQ words [R, O] in order."""
    places = [_AWQ_ORDER.index(output) for output in range(_NUMBERS)]
    return numbers.reshape(numbers.shape[0], -1, _NUMBERS)[:, :, places].reshape(numbers.shape)
