"""docs/metrics.md is what the metrics say of themselves."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from pipeline.metrics import metric_names

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_the_page_is_up_to_date() -> None:
    spec = importlib.util.spec_from_file_location("generate_metrics", DOCS / "generate_metrics.py")
    assert spec is not None and spec.loader is not None
    generator = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generator)
    page = (DOCS / "metrics.md").read_text(encoding="utf-8")
    assert page == generator.metrics_markdown(), "run python docs/generate_metrics.py"
    assert all(f"\n## {name}\n" in page for name in metric_names())
