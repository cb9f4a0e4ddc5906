"""Rows of answers to test with."""

from __future__ import annotations

import random
from typing import Any

from pipeline.monitor.rows import Row

TOPICS = {
    "cards": ("card", "balance", "limit", "credit", "pay", "statement", "fee", "interest", "account", "bank"),
    "travel": ("flight", "hotel", "luggage", "visa", "ticket", "airport", "train", "seat", "passport", "gate"),
}


def rows(count: int, topic: str = "cards", seed: int = 0, **fixed: Any) -> list[Row]:
    """Return answers to questions of words on one topic; ``fixed`` is the same in all."""
    draw = random.Random(f"{seed} {topic} {count}")
    found = []
    for number in range(count):
        text = "please " + " ".join(draw.choices(TOPICS[topic], k=draw.randint(3, 8)))
        label = draw.choice(("refund", "login", "setup"))
        values: dict[str, Any] = {
            "id": f"{topic}-{seed}-{number}",
            "at": 1_700_000_000.0 + number,
            "input": text,
            "output": label,
            "input_length": len(text),
            "output_length": len(label),
            "confidence": draw.uniform(0.6, 1.0),
            "failed": draw.random() < 0.02,
            "refused": draw.random() < 0.02,
            "score": float(draw.random() < 0.8),
        }
        found.append(Row(**(values | fixed)))
    return found
