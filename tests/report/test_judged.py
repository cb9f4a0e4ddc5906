from __future__ import annotations

from pathlib import Path

from pipeline.report.evidence import evidence
from pipeline.report.judged import judged_blocks
from pipeline.report.record import RunRecord
from pipeline.report.report import build_report
from pipeline.report.report_html import report_html
from pipeline.report.report_markdown import block_lines, report_markdown
from schemas.evaluate import Score
from schemas.judge import Agreement, Biases, JudgeArtifact, Preference
from tests.support.run_fixture import HOSTILE, RunFixture


def rate(value: float, n: int) -> Score:
    return Score(value=value, low=value - 0.1, high=value + 0.1, n=n, method="Wilson")


COMPARED = JudgeArtifact(
    model="judge-1", candidate="merged", baseline="base", criteria=HOSTILE, template_digest="a" * 64, items=103,
    identical=6, unjudged=3, agreement=None, self_preference="org/tiny", requests=208, prompt_tokens=10400,
    completion_tokens=1040,
    preference=Preference(
        n=100, clusters=None, wins=51, losses=23, ties=26, value=0.64, low=0.55, high=0.72, p_value=0.0015,
        test="exact sign test", interval="adjusted Wald",
    ),
    biases=Biases(inconsistent=rate(0.128, 94), first_shown=rate(0.57, 172), longer=rate(0.6, 10)),
)  # fmt: skip
LABELLED = COMPARED.model_copy(
    update={
        "baseline": "",
        "preference": None,
        "agreement": Agreement(
            n=40, same=rate(0.7, 40), kappa=Score(value=0.4545, low=0.2, high=0.7, n=40, method="bootstrap")
        ),
        "biases": COMPARED.biases.model_copy(update={"people_longer": rate(0.52, 40)}),
        "prompt_tokens": 600,
    }
)


def test_what_the_judge_says_in_words_and_numbers() -> None:
    text = "\n".join(block_lines(judged_blocks({"best-baseline": COMPARED, "labels": LABELLED}, 0.05)))
    assert "| merged | base | 64.0% | 55.0% to 72.0% | 0.002 | 100 | 51 / 26 / 23 | exact sign test" in text
    assert "| base | verdict changed with the order | 12.8% | 2.8% to 22.8% | 94 |" in text
    assert "| labels | longer answer preferred by people | 52.0% | 42.0% to 62.0% | 40 |" in text
    assert "| base | no readable verdict | 2.9% | 1.0% to 8.2% | 103 |" in text  # Wilson, 3 of 103
    assert "70.0% of 40 verdicts are the same" in text
    assert "Cohen's kappa 0.455, 95% interval 0.200 to 0.700" in text
    assert "The judge is org/tiny, which is under test" in text
    assert "416 requests, 11,000 prompt tokens and 2,080 answer tokens" in text
    assert "<script>" not in text


def test_a_champion_that_is_the_best_baseline_is_shown_once() -> None:
    text = "\n".join(block_lines(judged_blocks({"best-baseline": COMPARED, "champion": COMPARED}, 0.05)))
    assert text.count("51 / 26 / 23") == 1
    assert list(judged_blocks({}, 0.05)) == []


def test_the_report_has_it_where_somebody_judged(tmp_path: Path) -> None:
    fixture = RunFixture(tmp_path / "w")
    report = build_report(RunRecord.load(tmp_path / "w", fixture.build()))
    assert "judge" not in [section.anchor for section in evidence(report)]
    fixture.finish("judge.best-baseline", COMPARED, {"judgements.parquet": b""})
    told = build_report(RunRecord.load(tmp_path / "w", fixture._write_run()))
    assert "judge" in [section.anchor for section in evidence(told)]
    assert "What the judge says" in report_markdown(told) and "What the judge says" in report_html(told)
    assert "<script>" not in report_html(told)
