"""Packed words of GPTQ and AWQ, on layers small enough to be packed by hand."""

from __future__ import annotations

import pytest
import torch

from pipeline.backends.unpack_torch import unpack
from pipeline.core.errors import IntegrityError


def _word(*numbers: int) -> int:
    """Pack eight four-bit numbers, the first in the lowest bits, as a signed 32-bit word."""
    word = sum(number << (4 * place) for place, number in enumerate(numbers))
    return word - (1 << 32) if word >= 1 << 31 else word


def test_gptq_words_hold_eight_inputs_and_zeros_one_too_small() -> None:
    """Eight inputs, eight outputs, one group.

    Output o has the numbers o .. o+7, the zero 8 (stored 7) and the scale (o + 1) / 4: its weight for input i is
    (o + i - 8) * (o + 1) / 4.
    """
    words = [_word(*(output + place for place in range(8))) for output in range(8)]
    state = {
        "layer.qweight": torch.tensor([words], dtype=torch.int32),
        "layer.qzeros": torch.tensor([[_word(*[7] * 8)]], dtype=torch.int32),
        "layer.scales": torch.tensor([[(output + 1) / 4 for output in range(8)]], dtype=torch.float16),
        "layer.g_idx": torch.zeros(8, dtype=torch.int32),
        "norm.weight": torch.tensor([0.5], dtype=torch.float16),
    }
    found = unpack(state, "gptq", 8)
    assert set(found) == {"layer.weight", "norm.weight"}
    expected = [[(output + place - 8) * (output + 1) / 4 for place in range(8)] for output in range(8)]
    assert found["layer.weight"].tolist() == expected
    assert found["norm.weight"].dtype == torch.float32


def test_awq_words_hold_eight_outputs_in_their_own_order() -> None:
    """Two inputs, a group each, eight outputs in the places 0 2 4 6 1 3 5 7.

    Output o has the number o for both inputs. Zeros: 0 for the first, 15 - o for the second group; scales 1 and 0.5.
    So its weights are o and (o - (15 - o)) / 2 = o - 7.5.
    """
    order = (0, 2, 4, 6, 1, 3, 5, 7)
    numbers = _word(*order)
    state = {
        "layer.qweight": torch.tensor([[numbers], [numbers]], dtype=torch.int32),
        "layer.qzeros": torch.tensor([[0], [_word(*(15 - output for output in order))]], dtype=torch.int32),
        "layer.scales": torch.tensor([[1.0] * 8, [0.5] * 8], dtype=torch.float16),
    }
    expected = [[float(output), output - 7.5] for output in range(8)]
    assert unpack(state, "awq", 1)["layer.weight"].tolist() == expected


def test_a_layer_that_lacks_a_tensor_is_named() -> None:
    state = {"layer.qweight": torch.zeros(1, 8, dtype=torch.int32)}
    with pytest.raises(IntegrityError) as caught:
        unpack(state, "gptq", 8)
    assert caught.value.where == "layer"
