"""``judgements.parquet``: every verdict as it was given, two rows per pair."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pipeline.evaluate.judge.asking import Judged, Reply
from pipeline.evaluate.table import as_utf8


def write_judgements(path: Path, judged: Sequence[Judged]) -> None:
    """Write the judgements; ``verdict`` is null where the reply holds none, and all of it where nobody was asked.

    Columns: ``id, cluster, order, verdict, preferred, reason, raw, requests, prompt_tokens, completion_tokens, outcome,
    label``. ``order`` says which answer was shown as A; ``preferred`` and ``outcome`` are what that says of the first.
    """
    import pyarrow as pa
    from pyarrow import parquet

    texts = ("id", "order", "verdict", "preferred", "reason", "raw", "outcome", "label")
    numbers = ("cluster", "requests", "prompt_tokens", "completion_tokens")
    schema = pa.schema([*((name, pa.string()) for name in texts), *((name, pa.int64()) for name in numbers)])
    table = pa.Table.from_pylist([row for item in judged for row in _rows(item)], schema=schema)
    parquet.write_table(table, path, compression="zstd")


def _rows(item: Judged) -> Iterator[dict[str, Any]]:
    common = {
        "id": as_utf8(item.pair.id),
        "cluster": item.pair.cluster,
        "outcome": item.outcome,
        "label": item.pair.label,
    }
    for place, order in enumerate(("first as A", "second as A")):
        reply = item.replies[place] if item.replies else None
        yield {**common, "order": order, **(_said(reply) if reply is not None else {})}


def _said(reply: Reply) -> dict[str, Any]:
    verdict = reply.verdict
    return {
        "verdict": None if verdict is None else verdict.letter,
        "preferred": reply.preferred,
        "reason": None if verdict is None else as_utf8(verdict.reason),
        "raw": as_utf8(reply.raw),
        "requests": reply.requests,
        "prompt_tokens": reply.prompt_tokens,
        "completion_tokens": reply.completion_tokens,
    }
