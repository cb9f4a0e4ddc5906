"""Adapters whose initialization changes the base (PiSSA, OLoRA), written as plain LoRA that fits the base as it is.

Such an initialization splits W into W_res + A0 B0 and trains A, B on W_res. With respect to W the update is
A B - A0 B0 = [A; A0] [B, -B0]: a LoRA of twice the rank (Meng et al. 2024, PiSSA, appendix C). A server that loads the
adapter onto the unchanged base then computes what training did.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

WEIGHTS = "adapter_model.safetensors"
CONFIG = "adapter_config.json"


def to_plain_lora(initial: Path, trained: Path) -> None:
    """Rewrite the adapter in ``trained`` as plain LoRA of twice the rank, given the adapter as it was initialized."""
    import torch
    from safetensors.torch import load_file, save_file

    settings = json.loads((trained / CONFIG).read_text(encoding="utf-8"))
    before, after = load_file(initial / WEIGHTS), load_file(trained / WEIGHTS)
    # alpha doubles with r: alpha / r stays; rank-stabilized alpha / sqrt(r) grows by sqrt(2), which B gives back
    factor = 1.0 / math.sqrt(2.0) if settings["use_rslora"] else 1.0
    plain = {}
    for name, value in after.items():
        if ".lora_A." in name:
            plain[name] = torch.cat([value, before[name]], dim=0)
        elif ".lora_B." in name:
            plain[name] = torch.cat([value, -before[name]], dim=1) * factor
        else:
            plain[name] = value
    save_file(plain, trained / WEIGHTS, metadata={"format": "pt"})
    (trained / CONFIG).write_text(json.dumps(_doubled(settings), indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _doubled(settings: dict[str, Any]) -> dict[str, Any]:
    return {
        **settings,
        "r": 2 * settings["r"],
        "lora_alpha": 2 * settings["lora_alpha"],
        "rank_pattern": {name: 2 * rank for name, rank in settings["rank_pattern"].items()},
        "alpha_pattern": {name: 2 * alpha for name, alpha in settings["alpha_pattern"].items()},
        "init_lora_weights": True,
    }
