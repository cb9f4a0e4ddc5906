"""`hone data check`: what is found is what was planted, the run reuses it, and the mask is what is trained."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from pipeline.core.workspace import Store
from schemas.errors import ExitCode
from tests.local_runner.conftest import Hone, write_rows

WORDS = ("parcel", "refund", "login", "invoice", "battery", "screen", "cable", "coupon", "driver", "password")


def message(number: int) -> str:
    """Return a sentence that shares few word pairs with others."""
    return " ".join(WORDS[(number * step + number // 7) % len(WORDS)] for step in range(1, 9)) + f" {number}"


ROWS = [{"text": message(number), "label": ("late", "lost", "paid")[number % 3]} for number in range(60)]


def describe(folder: Path, base: Path, rows: list[dict[str, Any]], **changes: Any) -> Path:
    """Write rows and a description of a run on them."""
    write_rows(folder / "rows.jsonl", rows)
    spec = {
        "name": "checked",
        "task": "classification",
        "base_model": str(base),
        "data": {"path": "rows.jsonl", "deduplicate": {"near": False}, **changes.pop("data", {})},
        "train": {"max_length": 96, **changes.pop("train", {})},
        "evaluate": {"retention_waived": "a test measures no retention", **changes.pop("evaluate", {})},
        **changes,
    }
    path = folder / "spec.yaml"
    path.write_text(json.dumps(spec))
    return path


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return one workspace for the module: opening a registry for the first time takes seconds."""
    return tmp_path_factory.mktemp("workspace")


def cells(line: str) -> list[str]:
    return re.split(r"\s{2,}", line.strip())


def test_what_was_planted_is_found(hone: Hone, tmp_path: Path, tiny_base: Path, workspace: Path) -> None:
    planted = [
        *ROWS,
        dict(ROWS[4]),  # row 61: a copy of row 5
        {"text": ROWS[7]["text"], "label": "paid"},  # row 62: contradicts row 8, whose label is lost
        {"text": "write to anna.nowak@example.com about parcel 77", "label": "late"},
        {"text": "no label here"},  # row 64
    ]
    spec = describe(tmp_path, tiny_base, planted, data={"bad_rows": {"action": "drop", "cap": 0.1}})
    ran = hone("data", "check", spec, "--workspace", workspace)
    assert ran.code == 0, ran.err
    lines = [cells(line) for line in ran.out.splitlines()]
    found = {row[1]: row[2:] for row in lines if row[0] in ("✗ error", "! warning")}
    assert found["unusable_row"][0] == "train, row 64"
    assert found["contradiction"][0] == "train, rows 8, 62" and "removed" in found["contradiction"][1]
    assert found["exact_duplicate"][0] == "train, row 61"
    assert found["personal_data"][0] == "train, row 63"
    table = {row[0]: row[1:] for row in lines if len(row) > 1}
    assert table["read"] == ["64 rows", "as utf-8"]
    # 64 rows less one bad, two contradictory and one copy
    assert table["kept"][0] == "60 rows"
    assert table["personal data"] == ["1 found", "email 1"]
    assert table["labels in train"][0] == "3 different"
    assert table["preflight"][0] == "passed"
    assert "longest" in table["token lengths"][1] and "of at most 96" in table["token lengths"][1]


def test_the_json_is_the_artifact(hone: Hone, tmp_path: Path, tiny_base: Path, workspace: Path) -> None:
    spec = describe(tmp_path, tiny_base, ROWS)
    found = hone("data", "check", spec, "--workspace", workspace, "--json").json
    assert found["data"]["read"] == 60
    assert sum(found["data"]["rows"].values()) == 60
    # 60 rows, three labels in turn: every split has all of them
    assert all(set(counts) == {"late", "lost", "paid"} for counts in found["labels"].values())
    assert sum(sum(counts.values()) for counts in found["labels"].values()) == 60
    assert (Path(found["artifact"]) / "manifest.json").is_file()


@pytest.mark.slow
def test_the_run_finds_it_done_and_no_run_is_written_down(
    hone: Hone, tmp_path: Path, tiny_base: Path, workspace: Path
) -> None:
    spec = describe(tmp_path, tiny_base, ROWS, description="reused")
    made = hone("data", "check", spec, "--workspace", workspace, "--json").json["artifact"]
    runs = {path.name for path in (workspace / "runs").glob("*")}
    assert not any(path.startswith("checked") for path in runs)
    ran = hone("run", spec, "--workspace", workspace, "--until", "data", "--json").json
    assert ran["executed"] == []
    assert sorted(ran["reused"]) == ["data", "plan"]
    assert Path(made).name in {ref.fingerprint for ref in Store(workspace).list("data")}


def test_the_mask_is_in_brackets_where_there_is_no_color(
    hone: Hone, tmp_path: Path, tiny_base: Path, workspace: Path
) -> None:
    spec = describe(tmp_path, tiny_base, ROWS)
    shown = hone("data", "check", spec, "--show-mask", "--rows", "2", "--workspace", workspace)
    assert shown.code == 0, shown.err
    answers = re.findall("⟦([^⟧]*)⟧", shown.out.split("trained tokens are in")[0])
    assert len(answers) == 2
    assert all(re.fullmatch(r"(late|lost|paid)<\|im_end\|>", answer) for answer in answers)
    assert "\x1b[" not in shown.out


def test_the_mask_follows_the_loss(hone: Hone, tmp_path: Path, tiny_base: Path, workspace: Path) -> None:
    spec = describe(tmp_path, tiny_base, ROWS)
    everything = hone(
        "data", "check", spec, "--show-mask", "--rows", "1", "--set", "train.completion_only_loss=false",
        "--workspace", workspace, "--json",
    )  # fmt: skip
    text = everything.json["mask"][0]["text"]
    assert text.startswith("⟦<|im_start|>user") and text.rstrip().endswith("⟧")


def test_a_preference_shows_both_sides(hone: Hone, tmp_path: Path, tiny_base: Path, workspace: Path) -> None:
    rows = [{"prompt": row["text"], "chosen": "yes, gladly", "rejected": "no"} for row in ROWS]
    spec = describe(tmp_path, tiny_base, rows, task="generation", train={"method": "dpo"})
    shown = hone("data", "check", spec, "--show-mask", "--rows", "1", "--workspace", workspace, "--json")
    assert shown.code == 0, shown.out
    text = shown.json["mask"][0]["text"]
    assert "-- chosen --\n⟦yes, gladly<|im_end|>⟧" in text and "-- rejected --\n⟦no<|im_end|>⟧" in text


def test_a_base_without_weights_shows_the_mask_of_the_tokenizer_that_it_will_have(
    hone: Hone, tmp_path: Path, tiny_base: Path, workspace: Path
) -> None:
    spec = describe(
        tmp_path,
        tiny_base,
        ROWS,
        base_model={"init": {"config": {"hidden_size": 64}, "tokenizer": {"vocab_size": 400}}},
        train={"adapter": "full"},
        evaluate={"retention_waived": None},
    )
    shown = hone("data", "check", spec, "--show-mask", "--rows", "1", "--workspace", workspace)
    assert shown.code == 0, shown.err
    assert re.search(r"⟦(late|lost|paid)<\|im_end\|>⟧", shown.out)
    assert "not checked" in shown.out


def test_retention_data_is_checked_with_it(hone: Hone, tmp_path: Path, tiny_base: Path, workspace: Path) -> None:
    write_rows(tmp_path / "chat.jsonl", [{"prompt": row["text"], "completion": row["text"].upper()} for row in ROWS])
    retention = [{"name": "chat", "data": {"path": "chat.jsonl"}}]
    spec = describe(tmp_path, tiny_base, ROWS, evaluate={"retention": retention, "retention_waived": None})
    found = hone("data", "check", spec, "--workspace", workspace, "--json").json
    assert found["retention"]["chat"]["read"] == 60


def test_few_rows_are_warned_of(hone: Hone, tmp_path: Path, tiny_base: Path, workspace: Path) -> None:
    spec = describe(tmp_path, tiny_base, ROWS[:12], data={"split": {"by": "random", "validation": 0.0}})
    ran = hone("data", "check", spec, "--workspace", workspace)
    assert ran.code == 0, ran.err
    line = next(line for line in ran.out.splitlines() if "few_rows " in line)
    assert line.startswith("!") and "test" in line and "fewer than 10" in line


def test_one_label_for_every_row_is_refused(hone: Hone, tmp_path: Path, tiny_base: Path, workspace: Path) -> None:
    spec = describe(tmp_path, tiny_base, [{**row, "label": "late"} for row in ROWS])
    ran = hone("data", "check", spec, "--workspace", workspace)
    assert ran.code == ExitCode.DATA
    assert "every one of 60 rows has the answer 'late'" in ran.err


@pytest.mark.slow
def test_a_refusal_ends_with_the_code_for_data(hone: Hone, tmp_path: Path, tiny_base: Path, workspace: Path) -> None:
    spec = describe(tmp_path, tiny_base, [*ROWS, {"text": "no label here"}])
    ran = hone("data", "check", spec, "--workspace", workspace)
    assert ran.code == ExitCode.DATA
    assert cells(ran.out.splitlines()[0])[:3] == ["✗ error", "unusable_row", "train, row 61"]
    assert "refuses the run: 1 error " in ran.out
    found = hone("data", "check", spec, "--workspace", workspace, "--json")
    assert found.code == ExitCode.DATA
    assert found.json["error"]["code"] == "data"
    assert found.json["findings"][0]["fix"] == "correct them"
    run = hone("run", spec, "--workspace", workspace)
    assert run.code == ExitCode.DATA
    assert "unusable_row: rows cannot be used (train, row 61): row 61: column 'label' is missing" in run.err
    assert "train.seed-0" not in run.err


def test_what_is_ignored_is_shown_and_lets_the_run_go_on(
    hone: Hone, tmp_path: Path, tiny_base: Path, workspace: Path
) -> None:
    rows = [{"prompt": row["text"], "completion": row["label"], "label": number > 9} for number, row in enumerate(ROWS)]
    spec = describe(tmp_path, tiny_base, rows)
    refused = hone("data", "check", spec, "--workspace", workspace)
    assert refused.code == ExitCode.DATA and "unpaired_as_answers" in refused.err
    assert "name it in preflight.ignore" in refused.err
    ignored = ("--set", "preflight.ignore=[unpaired_as_answers]")
    ran = hone("data", "check", spec, *ignored, "--workspace", workspace)
    assert ran.code == 0, ran.err
    lines = [cells(line) for line in ran.out.splitlines()]
    assert next(line for line in lines if line[0] == "- ignored")[1] == "unpaired_as_answers"
    assert "1 ignored (preflight.ignore)" in ran.out
    refused = hone("data", "check", spec, "--set", "preflight.ignore=[no_trained_token]", "--workspace", workspace)
    assert refused.code == ExitCode.CONFIG and "no_trained_token cannot be ignored" in refused.err


def test_rows_that_the_method_does_not_learn_from_are_refused_before_training(
    hone: Hone, tmp_path: Path, tiny_base: Path, workspace: Path
) -> None:
    spec = describe(tmp_path, tiny_base, ROWS, train={"method": "dpo"})
    ran = hone("data", "check", spec, "--workspace", workspace)
    assert ran.code == ExitCode.DATA
    assert "train.method dpo learns from pairs" in ran.err
