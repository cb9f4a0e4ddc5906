"""Ablations: what is varied, how effects are told, and one that is carried out."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from pipeline.control.ablation import Ablation, Effect, _named
from pipeline.control.ablation_page import ablation_page, show_ablation, write_ablation
from pipeline.control.ablation_settings import Setting, check_settings, chosen_seeds, settings
from pipeline.core.errors import ConfigError
from pipeline.core.spec import apply_overrides
from pipeline.registry.items import Items
from schemas.evaluate import MetricSpec
from tests.e2e.conftest import hone
from tests.support.run_fixture import RunFixture
from tests.support.smoke import write_smoke

FOUND = Ablation(
    name="triage",
    metric="exact_match",
    run="triage-1",
    score=0.5,
    low=0.4,
    high=0.6,
    seeds=(0, 1, 2),
    items=80,
    alpha=0.05,
    effects=(
        Effect("train.lora.r=4", "triage-2", 0.4, -0.1, -0.15, -0.05, 0.004, 0.01),
        Effect("train.lora.r=16", "triage-3", 0.52, 0.02, -0.03, 0.07, 0.4, 0.0),
        Effect("train.learning_rate=10.0", "triage-4", error="the loss is not a number"),
    ),
)


def test_each_value_is_a_setting_of_its_own() -> None:
    assert settings(["train.lora.r=4,16", "train.learning_rate=1e-4", "data.dedup.near=off, [1, 2]"]) == (
        Setting("train.lora.r", 4),
        Setting("train.lora.r", 16),
        Setting("train.learning_rate", 1e-4),
        Setting("data.dedup.near", False),
        Setting("data.dedup.near", [1, 2]),
    )


@given(
    st.one_of(
        st.integers(), st.booleans(), st.floats(allow_nan=False, allow_infinity=False), st.text("abc", min_size=1)
    )
)
def test_a_setting_is_read_back_as_it_was_meant(value: object) -> None:
    assert apply_overrides({"train": {}}, [Setting("train.key", value).override]) == {"train": {"key": value}}


@pytest.mark.parametrize(
    ("vary", "told"),
    [
        ([], "nothing is varied"),
        (["train.lora.r"], "not key=value,value"),
        (["train.lora.r="], "not key=value,value"),
        (["=4"], "not key=value,value"),
        (["train.lora.r=[4"], "are not YAML values"),
        (["train.lora.r=4,8", "train.lora.r=8"], "train.lora.r=8 is there twice"),
        (["train.seeds=1,2"], "use --seeds"),
        (["data.path=2026-13-01"], "'2026-13-01' is no timestamp: quote it where it is text"),
        (["data.path=2026-01-01"], "2026-01-01 is no text, number, list or mapping (quote it)"),
    ],
)
def test_what_varies_nothing_is_refused(vary: list[str], told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        settings(vary)
    assert told in str(caught.value)


def test_seeds_are_the_descriptions_unless_there_is_one_or_others_are_asked_for() -> None:
    assert chosen_seeds((7, 9), None) == (7, 9)
    assert chosen_seeds((7,), None) == (0, 1, 2)
    assert chosen_seeds((7, 9), 4) == (0, 1, 2, 3)
    with pytest.raises(ConfigError, match="shows no spread"):
        chosen_seeds((0, 1), 1)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({}, "train.lora.r=16 asks for the same trainings and evaluations as the description as it is"),
        ({"metrics": (MetricSpec(name="json_validity"),)}, "changes the metric that settings are compared by, exact_m"),
    ],
)
def test_a_setting_that_could_be_compared_with_nothing_is_refused_before_a_training(
    tmp_path: Path, changed: dict[str, Any], told: str
) -> None:
    described = RunFixture(tmp_path / "w").resolved()
    with pytest.raises(ConfigError, match=told) as refused:
        check_settings(described, [(Setting("train.lora.r", 16), described.model_copy(update=changed))])
    assert refused.value.where == "--vary train.lora.r=16"


def test_one_setting_in_two_ways_of_writing_is_refused(tmp_path: Path) -> None:
    described = RunFixture(tmp_path / "w").resolved()
    other = described.model_copy(update={"retention_waived": "nothing"})
    check_settings(described, [(Setting("train.lora.r", [4]), other)])
    with pytest.raises(ConfigError, match=r"as train.lora.r=\[4\]"):
        check_settings(described, [(Setting("train.lora.r", [4]), other), (Setting("train.lora", {"r": 4}), other)])


def test_other_settings_of_the_same_description_have_a_page_of_their_own() -> None:
    assert FOUND.id.startswith("triage-1-") and replace(FOUND, effects=FOUND.effects[:1]).id != FOUND.id


def test_the_page_tells_what_matters_and_what_failed(tmp_path: Path) -> None:
    page = write_ablation(FOUND, tmp_path)
    text = page.read_text()
    assert "1 of 3 settings shown to matter" in text and "<svg" in text
    assert "train.lora.r=4 is worse." in ablation_page(FOUND).summary
    assert "train.learning_rate=10.0: the loss is not a number" in text
    assert "exact_match on 80 items; differences in percentage points" in text
    markdown = (tmp_path / "ablation.md").read_text()
    assert "| train.lora.r=4 | 40.0% | -10.0 | -15.0 to -5.0 | p = 0.004 | worse |" in markdown.replace("\\", "")
    assert [effect["verdict"] for effect in json.loads((tmp_path / "ablation.json").read_text())["effects"]] == [
        "worse",
        "no difference shown",
        "failed",
    ]


def test_the_terminal_shows_the_same(tmp_path: Path) -> None:
    with (tmp_path / "out").open("w") as stream:
        show_ablation(FOUND, Console(file=stream, width=200))
    shown = (tmp_path / "out").read_text()
    assert "intervals of each setting alone" in shown
    assert "-15.0 to -5.0" in shown and "train.learning_rate=10.0 failed: the loss is not a number" in shown


@pytest.mark.slow
def test_a_rate_that_trains_nothing_is_compared_over_seeds(tmp_path: Path) -> None:
    spec = write_smoke(tmp_path)
    varied = ("--vary", "train.learning_rate=1e-6", "--vary", "gate.alpha=0.1")
    command = ("ablate", str(spec), *varied, "--seeds", "2", "--json")
    options = ("--set", "evaluate.metrics=[json_validity]", "--set", "evaluate.target={}", "-w", str(tmp_path / "w"))
    done = hone(*command, *options)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    effect, idle = found["effects"]
    assert (idle["verdict"], idle["error"]) == ("failed", "neither training nor evaluation depends on it here")
    assert (found["seeds"], found["items"], effect["setting"]) == ([0, 1], 60, "train.learning_rate=1e-06")
    assert effect["difference"] == pytest.approx(effect["score"] - found["score"], abs=1e-12)
    assert effect["low"] < effect["difference"] < effect["high"]
    assert effect["run"] != found["run"] and Path(found["page"]).is_file()
    refused = hone("ablate", str(spec), "--vary", "train.lora.rank=4", "--json", *options)
    assert refused.returncode == 3
    assert "train.lora.rank: unknown key" in json.loads(refused.stdout)["error"]["message"]


@pytest.mark.parametrize(("value", "named"), [(0.5, "macro_f1"), (0.9, "mean item score of macro_f1")])
def test_what_is_no_mean_of_items_is_not_called_the_metric(value: float, named: str) -> None:
    empty = ("", "")
    items = Items("seed-0", ("a", "b"), None, (1.0, 0.0), empty, empty, empty, value)
    assert _named("macro_f1", {0: items}) == named
