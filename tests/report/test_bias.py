from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pipeline.report.bias import bias_blocks, bias_lines
from pipeline.report.conditions import statements
from pipeline.report.evidence import evidence
from pipeline.report.model_card import model_card
from pipeline.report.page import Plot
from pipeline.report.record import RunRecord
from pipeline.report.report import build_report
from pipeline.report.report_html import report_html
from pipeline.report.report_markdown import block_lines, report_markdown
from pipeline.report.version import VersionRecord
from schemas.bias import BiasArtifact
from schemas.evaluate import Score
from schemas.register import Comparison, Condition
from tests.support.run_fixture import HOSTILE, RunFixture


def figure(value: float, n: int = 24) -> Score:
    return Score(value=value, low=value - 0.1, high=value + 0.1, n=n, method="Wilson")


BEFORE = BiasArtifact(
    probe="bbq", kind="bbq", subject="base", n=48, unreadable=0, truncated=2, data_digest="d", prompt_tokens=1,
    completion_tokens=1, engine="transformers 5",
    figures={"ambiguous_bias": figure(-0.2), "ambiguous_accuracy": figure(0.5)},
    groups={"Age": {"ambiguous_bias": figure(0.3)}, HOSTILE: {"ambiguous_bias": figure(0.1)}},
)  # fmt: skip
AFTER = BEFORE.model_copy(update={"subject": "model", "figures": {"ambiguous_bias": figure(0.4)}, "unreadable": 12})
CHANGE = Comparison(
    candidate="merged", reference="base", metric="ambiguous_bias", n=24, candidate_value=0.4, reference_value=-0.2,
    difference=0.6, low=0.4, high=0.8, p_value=0.002, test="sign-flip", interval="bootstrap", task="bbq",
)  # fmt: skip
PROBED = {"bbq-after": AFTER, "bbq-before": BEFORE}


def test_every_figure_stands_beside_that_of_the_base() -> None:
    text = "\n".join(block_lines(bias_blocks(PROBED, [CHANGE], 0.05)))
    assert "| bias score, ambiguous contexts | base | -20.0% | -30.0% to -10.0% | 24 |" in text
    assert "| bias score, ambiguous contexts | as served | 40.0% | 30.0% to 50.0% | 24 |" in text
    assert "| accuracy, ambiguous contexts | as served | not measured |  | 0 |" in text
    assert "Base: 0 of 48 answers (0.0%) could not be read, 2 were cut; asked by transformers 5." in text
    assert "As served: 12 of 48 answers (25.0%) could not be read" in text
    assert "| Age | bias score, ambiguous contexts | base | 30.0% |" in text
    assert "no evidence that the model is free of bias" in text
    assert "<script>" not in text
    assert (
        "| bbq | bias score, ambiguous contexts | -20.0% | 40.0% | +60.0 | +40.0 to +80.0 | 0.002 | 24 | sign-flip |"
        in text
    )
    assert list(bias_blocks({}, [], 0.05)) == []
    lines = list(bias_lines(PROBED))
    assert lines[0] == "bbq, bias score, ambiguous contexts, as served: 40.0% (95% interval 30.0% to 50.0%, n = 24)"
    assert lines[1] == "bbq, as served: 12 of 48 answers could not be read" and len(lines) == 4


def test_shares_and_bias_scores_have_axes_of_their_own() -> None:
    plots = [block for block in bias_blocks(PROBED, [], 0.05) if isinstance(block, Plot)]
    assert [plot.caption for plot in plots] == ["bbq, with 95% intervals", "bbq: bias scores, with 95% intervals"]
    assert "accuracy, ambiguous contexts, base: 50.0%" in plots[0].alternative
    assert "as served: 40.0%" in plots[1].alternative and "accuracy" not in plots[1].alternative


def test_the_report_has_it_where_a_probe_ran(tmp_path: Path) -> None:
    fixture = RunFixture(tmp_path / "w")
    report = build_report(RunRecord.load(tmp_path / "w", fixture.build()))
    assert "bias" not in [section.anchor for section in evidence(report)]
    fixture.finish("bias.bbq-before", BEFORE, {"items.parquet": b""})
    fixture.finish("bias.bbq-after", AFTER, {"items.parquet": b""})
    told = build_report(RunRecord.load(tmp_path / "w", fixture._write_run()))
    assert "bias" in [section.anchor for section in evidence(told)]
    assert "Bias and safety" in report_markdown(told) and "Bias and safety" in report_html(told)
    assert "<script>" not in report_html(told)


def test_the_card_shows_the_probes_of_what_is_served(version: VersionRecord) -> None:
    before = model_card(version, "merged")
    assert "Bias and safety were not measured (evaluate.bias)." in before and "## Bias and safety" not in before
    decided = version.register.artifact.model_copy(update={"bias": PROBED, "bias_comparisons": (CHANGE,)})
    card = model_card(replace(version, register=replace(version.register, artifact=decided)), "merged")
    assert "## Bias and safety" in card and "were not measured (evaluate.bias)" not in card
    assert "| bias score, ambiguous contexts | as served | 40.0% | 30.0% to 50.0% | 24 |" in card
    assert "+40.0 to +80.0" in card and "<svg" not in card


def test_a_kept_bound_and_a_broken_one_are_told_apart_in_words(version: VersionRecord) -> None:
    decided = version.register.artifact
    kept, broken = (
        Condition(name=f"bias.bbq.{name}", estimate=0.1, threshold=0.2, passed=passed, text=f"{name} in full.")
        for name, passed in (("ambiguous_bias", True), ("disambiguated_bias", False))
    )
    conditions = (*decided.decision.conditions, kept, kept.model_copy(update={"name": "bias.age.x"}), broken)
    decision = decided.decision.model_copy(update={"conditions": conditions})
    said = {item.name: item for item in statements(decided.model_copy(update={"decision": decision}), None)}
    assert said["bias"].text == "Bias within its bounds: bbq.ambiguous_bias and age.x"
    assert (said["bias.bbq.disambiguated_bias"].outcome, said["bias.bbq.disambiguated_bias"].text) == (
        "not met",
        "disambiguated_bias in full",
    )
