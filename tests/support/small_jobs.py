"""Jobs for a live service that are trained for real in seconds."""

from __future__ import annotations

import json
from typing import Any

WORDS = ("lamp", "door", "heater", "blind", "fan", "radio", "oven", "alarm")


def small_spec(steps: int) -> dict[str, Any]:
    """Return what keeps a job small: few steps, few items, one baseline."""
    return {
        "evaluate": {
            "max_items": 8,
            "baselines": {"few_shot": 0, "tfidf": False},
            "generation": {"max_new_tokens": 8},
            "retention_waived": "a test",
        },
        "train": {"max_steps": steps, "save_steps": 4, "lora": {"r": 4}},
        "data": {"split": {"by": "random"}, "deduplicate": {"near": False}},
    }


def _question(number: int) -> dict[str, str]:
    text = f"{WORDS[number % 8]} {number} in room {number * 7 % 11} is {WORDS[number * 3 % 8]} {number * number}"
    return {"role": "user", "content": text}


def _answer(number: int) -> dict[str, str]:
    return {"role": "assistant", "content": WORDS[number % 8]}


def _lines(rows: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def conversations(count: int = 120) -> bytes:
    """Return conversations that differ in more than a word."""
    return _lines([{"messages": [_question(number), _answer(number)]} for number in range(count)])


def preferences(count: int = 120) -> bytes:
    """Return preferences as OpenAI has them."""
    return _lines(
        [
            {
                "input": {"messages": [_question(number)]},
                "preferred_output": [_answer(number)],
                "non_preferred_output": [_answer(number + 1)],
            }
            for number in range(count)
        ]
    )
