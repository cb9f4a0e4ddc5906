"""Data artifacts for the evaluate stage, made without the data stage."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.core.examples import write_examples
from schemas.artifacts import Stored
from schemas.data import DataArtifact, Example, Message
from tests.support.stored import stored

LABELS = ("refund", "login", "delivery")

TEXTS = {
    "refund": ("I want my money back", "please refund the order", "the refund has not arrived", "give me a refund"),
    "login": ("I cannot log in", "my login fails since the update", "the app refuses my password", "login broken"),
    "delivery": ("where is my parcel", "the parcel is late", "delivery did not come", "no delivery so far"),
}


def example(number: int, prompt: str, answer: str, **changes: Any) -> Example:
    """Return a labeled row in a cluster of its own."""
    fields: dict[str, Any] = {
        "id": f"id-{number:04d}",
        "row": number + 1,
        "messages": (Message(role="user", content=prompt), Message(role="assistant", content=answer)),
        "label": answer,
        "cluster": number,
        **changes,
    }
    return Example(**fields)


def labeled_rows(repeat: int = 1) -> list[Example]:
    """Return ``12 * repeat`` rows of three labels; texts of a repetition differ in their number."""
    rows = [
        (f"{text} {turn}" if turn else text, label)
        for turn in range(repeat)
        for label in LABELS
        for text in TEXTS[label]
    ]
    return [example(number, text, label) for number, (text, label) in enumerate(rows)]


def data_artifact(
    directory: Path, *, train: Sequence[Example] = (), test: Sequence[Example] = (), **changes: Any
) -> Stored[DataArtifact]:
    """Write the splits below ``directory`` and return the artifact that they are."""
    splits = {"train": train, "test": test}
    for name, rows in splits.items():
        write_examples(directory / f"{name}.jsonl", rows)
    fields: dict[str, Any] = {
        "kind": "conversation",
        "read": len(train) + len(test),
        "rows": {name: len(rows) for name, rows in splits.items()},
        "dropped": (),
        "labels": LABELS,
        "personal_data": {},
        "leaked": {},
        "near_train_test_rows": 0,
        "clusters": len(train) + len(test),
        "encoding": {},
        "source_digest": "0" * 64,
        "template_digest": "0" * 64,
        "files": {name: f"{name}.jsonl" for name in splits},
        **changes,
    }
    return stored("data", directory, DataArtifact(**fields))
