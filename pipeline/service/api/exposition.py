"""Prometheus's text format (https://prometheus.io/docs/instrumenting/exposition_formats/, version 0.0.4)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final, Literal

CONTENT_TYPE: Final = "text/plain; version=0.0.4"

Labels = Mapping[str, str]


def family(
    name: str, kind: Literal["counter", "gauge", "histogram"], says: str, samples: Iterable[tuple[str, Labels, float]]
) -> Iterator[str]:
    """Yield the lines of a metric: what it is, then its samples, each a suffix of its name, labels and a value."""
    yield f"# HELP {name} {says}"
    yield f"# TYPE {name} {kind}"
    for suffix, labels, value in samples:
        told = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels.items())
        yield f"{name}{suffix}{{{told}}} {value:.12g}" if told else f"{name}{suffix} {value:.12g}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
