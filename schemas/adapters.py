"""The table of adapters: how each is asked for, whether vLLM serves it, and where it has been proven."""

from __future__ import annotations

from schemas.base import Schema
from schemas.train import AdapterKind, LoraSettings


class Adapter(Schema):
    """One adapter.

    Attributes:
        title: what it is called in a sentence.
        source: where it is described.
        kind: its `train.adapter`.
        options: what sets it apart, as keys of `train.lora`.
        vllm: whether vLLM serves it as an adapter.
        proven: the tests that train it on a CPU.
    """

    title: str
    source: str
    kind: AdapterKind = "lora"
    options: dict[str, bool | str] = {}
    vllm: bool = True
    proven: str = "tests/train/test_methods.py"

    def settings(self, r: int) -> LoraSettings:
        """Return the adapter's settings at rank ``r``."""
        return LoraSettings.model_validate({"r": r, "lora_alpha": 2 * r, **self.options})


ADAPTERS: dict[str, Adapter] = {
    "LoRA": Adapter(title="low-rank adaptation", source="Hu et al. 2021, arXiv:2106.09685"),
    "QLoRA": Adapter(title="LoRA on a base in 4 bit", source="Dettmers et al. 2023, arXiv:2305.14314", kind="qlora"),
    "DoRA": Adapter(
        title="weight-decomposed LoRA",
        source="Liu et al. 2024, arXiv:2402.09353",
        options={"use_dora": True},
        vllm=False,
    ),
    "rsLoRA": Adapter(
        title="rank-stabilized LoRA", source="Kalajdzievski 2023, arXiv:2312.03732", options={"use_rslora": True}
    ),
    "PiSSA": Adapter(
        title="LoRA begun at the principal singular vectors",
        source="Meng et al. 2024, arXiv:2404.02948",
        options={"init_lora_weights": "pissa"},
    ),
    "OLoRA": Adapter(
        title="LoRA begun at an orthonormal basis",
        source="Büyükakyüz 2024, arXiv:2406.01775",
        options={"init_lora_weights": "olora"},
    ),
}
"""Every adapter by name."""
