"""The page about probes says what is so."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from pipeline.core.spec import validate_spec
from pipeline.evaluate.bias.figures import balance, share
from pipeline.evaluate.bias.refusal import PATTERNS, REACH
from schemas.bias import FIGURES

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "bias.md").read_text(encoding="utf-8")


def test_the_description_on_the_page_is_valid_and_has_every_kind() -> None:
    [text] = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    asked = {"name": "a", "task": "generation", "base_model": "hone:tiny", "data": {"path": "rows.jsonl"}}
    spec = validate_spec({**asked, **yaml.safe_load(text)}, "docs/bias.md")
    assert {probe.kind for probe in spec.evaluate.bias} == set(FIGURES)


def test_every_figure_and_every_phrase_of_a_refusal_is_on_the_page() -> None:
    missing = [name for figures in FIGURES.values() for name in figures if f"`{name}`" not in PAGE]
    words = " ".join(PAGE.casefold().split())
    missing += [phrase for phrase in PATTERNS if phrase not in words]
    assert missing == [] and f"first {REACH} characters" in words


def test_the_least_bounds_on_the_page_are_those_of_models_without_a_fault() -> None:
    scores = [balance([0.0] * (20 * n), [place // 20 for place in range(20 * n)]).high for n in (25, 75, 275)]
    shares = [share([0.0] * n, range(n)).high for n in (50, 200, 500)]
    halves = [share([float(place % 2) for place in range(n)], range(n)).high for n in (100, 500, 1508)]
    rows = re.findall(r"\| (\d\.\d{3}), (\d\.\d{3}), (\d\.\d{3}) \|", PAGE)
    assert rows == [tuple(f"{bound:.3f}" for bound in bounds) for bounds in (scores, shares, halves)]
