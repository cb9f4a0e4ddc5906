"""``items.parquet``: one row per item, the same bytes for the same answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from pipeline.evaluate.backends import Completion
from pipeline.evaluate.items import Item
from pipeline.evaluate.slices import slice_names


def write_table(
    path: Path,
    items: Sequence[Item],
    completions: Sequence[Completion],
    answers: Sequence[str],
    scores: Mapping[str, Sequence[float]],
    parts: Mapping[str, Sequence[int]] = {},
) -> None:
    """Write the items with what was said (``prediction``) and scored (``answer``).

    ``scores`` has one list per metric, by the metric's name; ``parts`` are the slices, as `slice_places` returns them.

    Columns: ``id, cluster, near_train, slices, prompt, reference, prediction, answer, finish_reason, prompt_tokens,
    completion_tokens``, then ``score.<metric>``. ``prompt`` is the item's own, for people: an instruction and
    examples are the same for all items and not repeated.
    """
    import pyarrow as pa
    from pyarrow import parquet

    named = [[as_utf8(name) for name in names] for names in slice_names(len(items), parts)]
    columns = {
        "id": pa.array([item.id for item in items], pa.string()),
        "cluster": pa.array([item.cluster for item in items], pa.int64()),
        "near_train": pa.array([item.near_train for item in items], pa.bool_()),
        "slices": pa.array(named, pa.list_(pa.string())),
        "prompt": pa.array([as_utf8(item.text) for item in items], pa.string()),
        "reference": pa.array([as_utf8(item.reference) for item in items], pa.string()),
        "prediction": pa.array([as_utf8(completion.text) for completion in completions], pa.string()),
        "answer": pa.array([as_utf8(answer) for answer in answers], pa.string()),
        "finish_reason": pa.array([completion.finish_reason for completion in completions], pa.string()),
        "prompt_tokens": pa.array([completion.prompt_tokens for completion in completions], pa.int64()),
        "completion_tokens": pa.array([completion.completion_tokens for completion in completions], pa.int64()),
        **{f"score.{name}": pa.array(list(values), pa.float64()) for name, values in scores.items()},
    }
    parquet.write_table(pa.table(columns), path, compression="zstd")


def as_utf8(text: str) -> str:
    """Return ``text`` as UTF-8 can hold it: a lone surrogate is shown escaped."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
