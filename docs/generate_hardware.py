"""Write the tables of docs/hardware.md from the price table and from what the plan would choose.

python docs/generate_hardware.py
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from pipeline.plan.draft import Request, draw_up
from pipeline.plan.known_models import KNOWN
from pipeline.plan.placement import stage_placements
from pipeline.plan.prices import GIB, GPUS, PRICES_DATED
from pipeline.plan.profile import Lengths
from schemas.plan import Constraints, PlanArtifact
from schemas.run import RunSpec
from schemas.train import TrainSpec

PAGE = Path(__file__).resolve().parent / "hardware.md"
SHOWN = (
    ("Qwen/Qwen3-0.6B", "lora"),
    ("Qwen/Qwen3-8B", "qlora"),
    ("meta-llama/Llama-3.1-8B", "lora"),
    ("meta-llama/Llama-3.1-8B", "full"),
    ("google/gemma-3-12b", "lora"),
    ("Qwen/Qwen3-32B", "lora"),
    ("meta-llama/Llama-3.3-70B", "qlora"),
    ("openai/gpt-oss-120b", "lora"),
)
ROWS, MEAN, LONGEST = 10_000, 200.0, 460


def planned(base: str, adapter: str) -> PlanArtifact:
    """Return the plan of a usual run on ``base``."""
    train = TrainSpec.model_validate({"adapter": adapter, "gradient_checkpointing": True})
    return draw_up(
        Request(
            task="generation",
            architecture=KNOWN[base],
            from_scratch=False,
            train=train,
            lengths=Lengths(500, MEAN, 400.0, 450.0, LONGEST, "tokenizer", 20),
            rows=ROWS,
            train_rows=7 * ROWS // 10,
            test_rows=ROWS // 5,
            evaluations=3,
            variants={"merged": "merged", "w4a16": "W4A16"},
            constraints=Constraints(),
            target=None,
            baseline=None,
            alpha=0.05,
            power=0.8,
            served="w4a16",
        )
    )


def choices() -> Iterable[Sequence[str]]:
    """Yield a row for each base: what trains, evaluates, quantizes and serves it."""
    for base, adapter in SHOWN:
        spec = RunSpec.model_validate(
            {
                "name": "shown",
                "task": "generation",
                "base_model": base,
                "data": {"path": "rows.jsonl"},
                "train": {"adapter": adapter},
                "evaluate": {"baselines": {"few_shot": 0}},
                "variants": ["merged", "w4a16"],
                "serve": {"variant": "w4a16", "options": {"max_model_len": 4096}},
            }
        )
        found = stage_placements(spec, planned(base, adapter), "cuda")
        gpus = (found[stage].gpu or "" for stage in ("train", "evaluate", "optimize", "serve"))
        yield (f"{base.split('/')[1]}, {adapter}", *gpus)


def types() -> Iterable[Sequence[str]]:
    """Yield a row for each GPU type."""
    for gpu in GPUS:
        large = "yes" if gpu.for_large else ""
        yield gpu.name, f"{gpu.memory / GIB:.1f}", f"{3600 * gpu.dollars_per_second:.2f}", str(gpu.most), large


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def page(text: str) -> str:
    """Return the page with its tables made anew."""
    dated = f"Prices as of {PRICES_DATED}, from copies of Modal's price page, and memory as drivers report it:\n\n"
    tables = {
        "types": dated
        + table(("GPU", "usable GiB", "dollars an hour", "most in a container", "trains large bases"), types()),
        "choices": table(("base", "train", "evaluate", "quantize to w4a16", "serve w4a16"), choices()),
    }
    for name, made in tables.items():
        begin, end = f"<!-- {name}:begin -->\n", f"<!-- {name}:end -->"
        text = re.sub(
            f"{begin}.*?{end}", lambda _, made=made, begin=begin, end=end: begin + made + end, text, flags=re.S
        )
    return text


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
