"""The table of adapters: how each is asked for, what it fits, whether vLLM serves it, and where it has been proven.

Plan, validation and trainers follow it: a new adapter of PEFT's is its options and a line here, and a line in
`pipeline/plan/adapter_size.py` that counts what it trains.
"""

from __future__ import annotations

from typing import Any, Literal

from schemas.base import Schema

AdapterName = Literal["lora", "qlora", "ia3", "vera", "loha", "lokr", "oft", "boft", "ln_tuning", "full"]
"""The values of ``train.adapter``; all but the first two and the last have a section of their name."""

LORAS: tuple[AdapterName, ...] = ("lora", "qlora")
"""What takes its options from ``train.lora``."""


class Adapter(Schema):
    """One adapter.

    Attributes:
        title: what it is called in a sentence.
        source: where it is described.
        kind: its ``train.adapter``.
        config: PEFT's config class, which takes its options under the same names.
        options: what sets it apart, as keys of its section.
        data: what it reads before training begins; nothing, or a pass over training rows.
        merges: whether it can be merged into the base.
        vllm: whether vLLM serves it as an adapter.
        quantized: whether it can be trained on a base in 4 bits here.
        stored: how it is written: as itself, or as plain LoRA.
        proven: the tests that train it on a CPU.
    """

    title: str
    source: str
    kind: AdapterName = "lora"
    config: str = "LoraConfig"
    options: dict[str, bool | str] = {}
    data: Literal["none", "a pass over training rows"] = "none"
    merges: bool = True
    vllm: bool = True
    quantized: bool = False
    stored: Literal["as itself", "as plain LoRA"] = "as itself"
    proven: str = "tests/train/test_methods.py"

    def describes(self, kind: str, options: dict[str, Any]) -> bool:
        """Whether an adapter of this kind with these options is one of these."""
        mine = kind == self.kind or (kind == "qlora" and self.kind == "lora")
        return mine and all(options.get(key) == value for key, value in self.options.items())


def _other(kind: AdapterName, config: str, title: str, source: str) -> Adapter:
    return Adapter(
        title=title, source=source, kind=kind, config=config, vllm=False, proven="tests/train/test_adapters.py"
    )


ADAPTERS: dict[str, Adapter] = {
    "LoRA": Adapter(title="low-rank adaptation", source="Hu et al. 2021, arXiv:2106.09685", quantized=True),
    "QLoRA": Adapter(
        title="LoRA on a base in 4 bit", source="Dettmers et al. 2023, arXiv:2305.14314", kind="qlora", quantized=True
    ),
    "DoRA": Adapter(
        title="weight-decomposed LoRA",
        source="Liu et al. 2024, arXiv:2402.09353",
        options={"use_dora": True},
        vllm=False,
        quantized=True,
    ),
    "rsLoRA": Adapter(
        title="rank-stabilized LoRA",
        source="Kalajdzievski 2023, arXiv:2312.03732",
        options={"use_rslora": True},
        quantized=True,
    ),
    "PiSSA": Adapter(
        title="LoRA begun at the principal singular vectors",
        source="Meng et al. 2024, arXiv:2404.02948",
        options={"init_lora_weights": "pissa"},
        stored="as plain LoRA",
    ),
    "OLoRA": Adapter(
        title="LoRA begun at an orthonormal basis",
        source="Büyükakyüz 2024, arXiv:2406.01775",
        options={"init_lora_weights": "olora"},
        stored="as plain LoRA",
    ),
    "IA3": _other("ia3", "IA3Config", "learned scales of activations", "Liu et al. 2022, arXiv:2205.05638"),
    "VeRA": _other(
        "vera", "VeraConfig", "learned scales of shared random matrices", "Kopiczko et al. 2023, arXiv:2310.11454"
    ),
    "LoHa": _other(
        "loha", "LoHaConfig", "Hadamard product of two low-rank updates", "Hyeon-Woo et al. 2021, arXiv:2108.06098"
    ),
    "LoKr": _other("lokr", "LoKrConfig", "Kronecker product update", "Yeh et al. 2023, arXiv:2309.14859"),
    "OFT": _other("oft", "OFTConfig", "orthogonal rotation of inputs in blocks", "Qiu et al. 2023, arXiv:2306.07280"),
    "BOFT": _other("boft", "BOFTConfig", "butterfly orthogonal rotation", "Liu et al. 2023, arXiv:2311.06243"),
    "LN tuning": _other(
        "ln_tuning", "LNTuningConfig", "training of the norms alone", "Zhao et al. 2023, arXiv:2312.11420"
    ),
}
"""Every adapter by name."""

OTHERS: dict[AdapterName, Adapter] = {
    adapter.kind: adapter for adapter in ADAPTERS.values() if adapter.kind not in LORAS
}
"""The adapters that are no LoRA, by their ``train.adapter``."""


def named(kind: str, options: dict[str, Any]) -> dict[str, Adapter]:
    """Return the lines that describe an adapter with these options; several where it is several at once."""
    return {name: adapter for name, adapter in ADAPTERS.items() if adapter.describes(kind, options)}
