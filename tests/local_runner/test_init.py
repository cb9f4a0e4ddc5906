"""`hone init`: what it guesses, what it asks, and that what it writes is a description."""

from __future__ import annotations

import csv
import json
import os
import pty
import re
import select
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from local_runner.first_spec import MOST_LINES, _inline, default_name, spec_text
from local_runner.guess import Guess, Wishes, guess_reading
from local_runner.init import propose
from pipeline.core.errors import ConfigError, DataError
from pipeline.core.spec import read_spec
from pipeline.data.rows import SourceRow
from schemas.errors import ExitCode
from tests.local_runner.conftest import Hone, write_rows

LABELED = [
    {"sentence": f"where is parcel number {number}?", "kind": ("late", "lost")[number % 2]} for number in range(20)
]
"""Two labels in ten rows each, in a column that no format names."""

RECORDS = [
    {"mail": f"message {number} of the day", "record": json.dumps({"intent": "refund", "number": number})}
    for number in range(6)
]
ANSWERED = [{"question": f"how much is {number} and one?", "answer": f"It is {number + 1}."} for number in range(6)]


def reading(rows: list[dict[str, Any]], **wishes: Any) -> Any:
    return guess_reading([SourceRow(number, row) for number, row in enumerate(rows, 1)], Wishes(**wishes), "rows")


def test_usual_names_need_no_question() -> None:
    found = reading(ANSWERED)
    assert (found.layout.format, found.layout.columns, found.guess) == (
        "prompt_completion",
        {"prompt": "question", "completion": "answer"},
        None,
    )


def test_a_column_called_label_is_no_guess() -> None:
    rows = [{"text": row["sentence"], "label": row["kind"]} for row in LABELED]
    assert reading(rows).guess is None


def test_few_short_values_are_a_guessed_label() -> None:
    found = reading(LABELED)
    assert found.layout.columns == {"text": "sentence", "label": "kind"}
    assert found.guess == Guess("label", "kind", "2 different short values")


def test_another_column_that_would_do_is_named() -> None:
    rows = [{**row, "urgency": ("high", "low", "none")[number % 3]} for number, row in enumerate(LABELED)]
    assert reading(rows).guess == Guess("label", "kind", "2 different short values", ("urgency",), ("urgency",))


def test_numbers_as_text_are_labels_only_where_nothing_else_is() -> None:
    rows = [{"stars": str(number % 2), **row} for number, row in enumerate(LABELED)]
    assert reading(rows).layout.columns["label"] == "kind"
    only = [{"stars": str(number % 2), "sentence": row["sentence"]} for number, row in enumerate(LABELED)]
    assert reading(only).layout.columns == {"text": "sentence", "label": "stars"}


def tickets(count: int = 90) -> list[dict[str, Any]]:
    """Rows as a help desk exports them: an id, a day, an address, a short title, a body, two labels."""
    return [
        {
            "id": f"T-{1000 + number}",
            "day": f"2026-0{1 + number % 9}-{10 + number % 18}",
            "link": f"https://desk/t/{number}",
            "title": f"ticket number {number}",
            "body": f"good morning, the parcel with number {number} has not come, and nobody answers the phone",
            "team": ("late", "lost", "paid", "other")[number % 4],
            "priority": ("p1", "p2", "p3", "p4")[number // 2 % 4],
            "minutes": str(number % 45),
        }
        for number in range(count)
    ]


def test_ids_dates_and_addresses_neither_ask_nor_answer() -> None:
    found = reading([{key: row[key] for key in ("id", "body", "team")} for row in tickets()], label="team")
    assert (found.layout.columns, found.asks) == ({"text": "body", "label": "team"}, None)
    found = reading(tickets())
    assert found.layout.columns == {"text": "body", "label": "team"}
    assert found.guess == Guess("label", "team", "4 different short values", ("priority",), ("priority",))


def test_the_longest_text_asks_and_others_are_named() -> None:
    asks = reading(tickets(), label="team").asks
    assert asks is not None
    assert (asks.slot, asks.column, asks.others, asks.as_likely) == ("prompt", "body", ("title",), ())
    assert reading(tickets(), label="team", prompt="title").asks is None


def test_single_words_ask_where_nothing_else_does() -> None:
    rows = [{"word": f"word{number}", "kind": ("noun", "verb")[number % 2]} for number in range(20)]
    assert reading(rows).layout.columns == {"text": "word", "label": "kind"}


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_every_kind_of_file_is_guessed_alike(hone: Hone, tmp_path: Path, suffix: str) -> None:
    rows = [{key: row[key] for key in ("id", "body", "team")} for row in tickets()]
    path = tmp_path / f"tickets.{suffix}"
    if suffix == "jsonl":
        write_rows(path, rows)
    elif suffix == "parquet":
        import pyarrow as pa
        from pyarrow import parquet

        parquet.write_table(pa.Table.from_pylist(rows), path)
    else:
        with path.open("w", newline="") as stream:
            csv.writer(stream).writerows([list(rows[0]), *[list(row.values()) for row in rows]])
    ran = hone("init", path, "--label", "team", "--out", tmp_path / "a.yaml", "--json")
    assert ran.json["columns"] == {"text": "body", "label": "team"}


def test_yes_takes_no_toss_up(hone: Hone, tmp_path: Path) -> None:
    write_rows(tmp_path / "tickets.jsonl", tickets())
    refused = hone("init", tmp_path / "tickets.jsonl", "--out", tmp_path / "a.yaml", "--yes")
    assert refused.code == ExitCode.CONFIG
    assert "--label: columns 'team', 'priority' may all be the label" in refused.err
    taken = hone("init", tmp_path / "tickets.jsonl", "--out", tmp_path / "a.yaml", "--yes", "--label", "team")
    assert taken.code == 0, taken.err
    spec = read_spec(tmp_path / "a.yaml")
    assert (spec.data.columns.text, spec.data.columns.label) == ("body", "team")
    assert spec.description == "Name the team."
    assert spec.evaluate.retention_waived is None


def test_a_doubtful_question_is_asked_for(hone: Hone, tmp_path: Path) -> None:
    write_rows(tmp_path / "tickets.jsonl", tickets())
    refused = hone("init", tmp_path / "tickets.jsonl", "--out", tmp_path / "a.yaml", "--label", "team")
    assert refused.code == ExitCode.CONFIG
    assert "give --prompt body (or title), or --yes to take it" in refused.err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--label", "id"], "--label: every one of 90 rows has another value in column 'id'"),
        (["--label", "team", "--task", "extraction"], "90 of 90 answers of .* are none"),
        (["--label", "team", "--base-model", "./nosuchfolder"], "--base-model ./nosuchfolder: no such model folder"),
        (["--label", "team", "--base-model", "hone:huge"], "embedded: hone:tiny"),
        (["--label", "team", "--out", "none/such/hone.yaml"], "there is no such folder"),
    ],
)
def test_wishes_that_lead_nowhere_are_refused(hone: Hone, tmp_path: Path, arguments: list[str], says: str) -> None:
    write_rows(tmp_path / "tickets.jsonl", tickets())
    refused = hone("init", tmp_path / "tickets.jsonl", "--out", tmp_path / "a.yaml", "--yes", *arguments)
    assert refused.code == ExitCode.CONFIG
    assert re.search(says, refused.err)
    assert not (tmp_path / "a.yaml").exists()


def test_a_pipe_is_not_written_over(hone: Hone, tmp_path: Path) -> None:
    write_rows(tmp_path / "rows.jsonl", ANSWERED)
    os.mkfifo(tmp_path / "pipe")
    refused = hone("init", tmp_path / "rows.jsonl", "--out", tmp_path / "pipe", "--force")
    assert refused.code == ExitCode.CONFIG
    assert "a pipe or device" in refused.err


def test_labels_of_all_rows_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("local_runner.init.SAMPLE", 40)
    rows = [{"text": f"message number {number}", "label": f"kind{number // 30}"} for number in range(120)]
    proposal = propose(str(write_rows(tmp_path / "rows.jsonl", rows)), Wishes())
    assert (proposal.sampled, proposal.total, proposal.labels) == (40, 120, ("kind0", "kind1", "kind2", "kind3"))


def test_a_description_of_the_user_is_taken(hone: Hone, tmp_path: Path) -> None:
    write_rows(tmp_path / "rows.jsonl", ANSWERED)
    ran = hone("init", tmp_path / "rows.jsonl", "--out", tmp_path / "a.yaml", "--description", "Add: one.")
    assert ran.code == 0
    assert read_spec(tmp_path / "a.yaml").description == "Add: one."


def test_json_objects_are_a_guessed_answer() -> None:
    found = reading(RECORDS)
    assert found.layout.columns == {"prompt": "mail", "completion": "record"}
    assert found.guess is not None and found.guess.column == "record"


def test_what_the_user_names_is_taken() -> None:
    found = reading(LABELED, prompt="kind", completion="sentence")
    assert (found.layout.columns, found.guess) == ({"prompt": "kind", "completion": "sentence"}, None)


def test_text_beside_other_columns_is_not_taken_for_plain_text() -> None:
    rows = [{"text": row["sentence"], "flavor": row["kind"]} for row in LABELED]
    found = reading(rows)
    assert (found.layout.format, found.guess) == ("label", Guess("label", "flavor", "2 different short values"))


@pytest.mark.parametrize(
    ("rows", "wishes", "error", "message"),
    [
        ([{"foo": "some words"}], {}, DataError, "there is one column, 'foo'"),
        ([{"foo": 1, "bar": 2.5}], {}, DataError, "none of the columns 'foo', 'bar' holds text"),
        (LABELED, {"label": "kinds"}, ConfigError, "there is no column 'kinds'"),
        (LABELED, {"label": "kind", "completion": "kind"}, ConfigError, "either a label or a completion"),
        (
            [{"a": f"{n} red apples", "b": f"{n} blue plums", "c": f"{n} green figs"} for n in range(9)],
            {},
            DataError,
            "columns 'b', 'c' may all be the answer to 'a'|columns 'a', 'b' may all be the answer to 'c'",
        ),
    ],
)
def test_what_cannot_be_guessed_is_said(
    rows: list[dict[str, Any]], wishes: dict[str, str], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        reading(rows, **wishes)


@pytest.mark.parametrize(
    ("rows", "task", "metric"),
    [
        (LABELED, "classification", "accuracy"),
        (RECORDS, "extraction", "json_exact_match"),
        (ANSWERED, "generation", "exact_match"),
    ],
)
def test_the_task_follows_from_the_answers(tmp_path: Path, rows: list[dict[str, Any]], task: str, metric: str) -> None:
    proposal = propose(str(write_rows(tmp_path / "rows.jsonl", rows)), Wishes())
    assert (proposal.task, proposal.metrics[0]) == (task, metric)


def test_the_description_is_short_commented_and_valid(hone: Hone, tmp_path: Path) -> None:
    write_rows(tmp_path / "tickets.jsonl", [*LABELED, {"sentence": "no kind"}])
    out = tmp_path / "hone.yaml"
    ran = hone("init", tmp_path / "tickets.jsonl", "--label", "kind", "--out", out)
    assert ran.code == 0, ran.err
    lines = out.read_text().splitlines()
    assert len(lines) <= MOST_LINES == 25
    assert sum("#" in line for line in lines) >= 5
    spec = read_spec(out)
    assert (spec.name, spec.task, spec.base_model.name) == ("tickets", "classification", "hone:tiny")
    assert spec.data.path == "tickets.jsonl"
    assert spec.data.columns.label == "kind"
    assert "  # bad_rows: {action: drop}  # 1 rows cannot be used, the first is 21" in lines
    assert "row 21: column 'kind' is missing" in ran.err


def test_five_rows_are_shown_through_the_template_of_the_base(hone: Hone, tmp_path: Path, tiny_base: Path) -> None:
    write_rows(tmp_path / "rows.jsonl", ANSWERED)
    ran = hone("init", tmp_path / "rows.jsonl", "--out", tmp_path / "a.yaml", "--base-model", tiny_base, "--json")
    assert [row["row"] for row in ran.json["rows"]] == [1, 2, 3, 4, 5]
    assert ran.json["rows"][1]["text"] == (
        "<|im_start|>user\nhow much is 1 and one?<|im_end|>\n<|im_start|>assistant\nIt is 2.<|im_end|>\n"
    )


def test_a_base_that_is_not_here_shows_turns(hone: Hone, tmp_path: Path) -> None:
    write_rows(tmp_path / "rows.jsonl", ANSWERED)
    ran = hone("init", tmp_path / "rows.jsonl", "--out", tmp_path / "a.yaml", "--base-model", "org/model")
    assert "user: how much is 0 and one?\nassistant: It is 1.\n" in ran.out
    assert "without its chat template" in ran.err


def test_control_characters_of_a_row_do_not_reach_the_terminal(hone: Hone, tmp_path: Path) -> None:
    write_rows(tmp_path / "rows.jsonl", [{**row, "question": "\x1b[2Jwiped?"} for row in ANSWERED])
    ran = hone("init", tmp_path / "rows.jsonl", "--out", tmp_path / "a.yaml", "--base-model", "org/model")
    assert "\x1b" not in ran.out
    assert "␛[2Jwiped?" in ran.out


def test_a_guess_without_a_terminal_is_an_error_that_names_the_option(hone: Hone, tmp_path: Path) -> None:
    write_rows(tmp_path / "rows.jsonl", LABELED)
    out = tmp_path / "hone.yaml"
    refused = hone("init", tmp_path / "rows.jsonl", "--out", out)
    assert refused.code == ExitCode.CONFIG
    assert "give --label kind, or --yes to take it" in refused.err
    assert not out.exists()
    assert hone("init", tmp_path / "rows.jsonl", "--out", out, "--yes").code == 0
    assert read_spec(out).data.columns.label == "kind"


def test_an_existing_description_is_left_alone(hone: Hone, tmp_path: Path) -> None:
    write_rows(tmp_path / "rows.jsonl", ANSWERED)
    out = tmp_path / "hone.yaml"
    out.write_text("mine")
    refused = hone("init", tmp_path / "rows.jsonl", "--out", out)
    assert (refused.code, out.read_text()) == (ExitCode.CONFIG, "mine")
    assert "--force" in refused.err
    assert hone("init", tmp_path / "rows.jsonl", "--out", out, "--force").code == 0
    assert read_spec(out).task == "generation"


@pytest.mark.parametrize(
    ("content", "code", "message"),
    [
        ("", ExitCode.DATA, "the file is empty"),
        ("text,label\n", ExitCode.DATA, "the file holds no rows"),
        ("foo\nbar\n", ExitCode.DATA, "there is one column, 'foo'"),
        (None, ExitCode.DATA, "no such file or folder"),
    ],
)
def test_a_file_that_is_no_data_is_said(
    hone: Hone, tmp_path: Path, content: str | None, code: ExitCode, message: str
) -> None:
    path = tmp_path / "rows.csv"
    if content is not None:
        path.write_text(content)
    ran = hone("init", path, "--out", tmp_path / "hone.yaml")
    assert ran.code == code
    assert message in ran.err and "Traceback" not in ran.err
    assert not (tmp_path / "hone.yaml").exists()


def test_errors_are_json_where_that_is_asked(hone: Hone, tmp_path: Path) -> None:
    ran = hone("init", tmp_path / "none.csv", "--json")
    assert ran.json["error"]["code"] == "source"


@pytest.mark.slow
@pytest.mark.parametrize(("typed", "label"), [("y\n\n", "kind"), ("urgency\n\n", "urgency")])
def test_on_a_terminal_it_asks(tmp_path: Path, typed: str, label: str) -> None:
    rows = [{**row, "urgency": ("high", "low", "none")[number % 3]} for number, row in enumerate(LABELED)]
    write_rows(tmp_path / "rows.jsonl", rows)
    code, shown = on_terminal(["init", "rows.jsonl", "--base-model", "org/model"], tmp_path, typed)
    assert "Is 'kind' the label (2 different short values)?" in shown
    assert code == 0, shown
    spec = read_spec(tmp_path / "hone.yaml")
    assert spec.data.columns.label == label
    assert spec.description == f"Name the {label}."


def test_no_is_an_answer(tmp_path: Path) -> None:
    write_rows(tmp_path / "rows.jsonl", LABELED)
    code, shown = on_terminal(["init", "rows.jsonl"], tmp_path, "n\n")
    assert code == ExitCode.CONFIG
    assert "give --completion or --label" in shown
    assert not (tmp_path / "hone.yaml").exists()


def on_terminal(arguments: list[str], folder: Path, typed: str) -> tuple[int, str]:
    """Run the command with a terminal as its three streams, type when it asks, and return code and screen."""
    master, slave = pty.openpty()
    command = [sys.executable, "-m", "local_runner.main", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    process = subprocess.Popen(command, cwd=folder, stdin=slave, stdout=slave, stderr=slave, env=environment)
    os.close(slave)
    screen, asked, deadline = "", False, time.monotonic() + 60
    while time.monotonic() < deadline:
        if select.select([master], [], [], 0.2)[0]:
            try:
                screen += os.read(master, 4096).decode(errors="replace")
            except OSError:  # the other side has closed
                break
        if "[Y/n" in screen and not asked:
            os.write(master, typed.encode())
            asked = True
    os.close(master)
    return process.wait(timeout=30), screen


def test_the_label_format_of_a_csv_file(hone: Hone, tmp_path: Path) -> None:
    with (tmp_path / "train.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerows([["text", "category"], *[[row["sentence"], row["kind"]] for row in LABELED]])
    ran = hone("init", tmp_path / "train.csv", "--label", "category", "--out", tmp_path / "a.yaml", "--json")
    assert (ran.json["format"], ran.json["columns"]) == ("label", {"text": "text", "label": "category"})


@pytest.mark.real_data
def test_real_files_are_understood(real_data: Path, tmp_path: Path) -> None:
    found = {
        "banking77/banking_data/train.csv": ("label", "classification", "category"),
        "gsm8k/grade_school_math/data/train.jsonl": ("prompt_completion", "generation", None),
        "gsm8k_pref/pairs.jsonl": ("preference", "generation", None),
    }
    for name, (row_format, task, guessed) in found.items():
        proposal = propose(str(real_data / name), Wishes())
        assert (proposal.reading.layout.format, proposal.task) == (row_format, task)
        assert (proposal.guess.column if proposal.guess else None) == guessed
        path = tmp_path / "hone.yaml"
        path.write_text(spec_text(proposal, name="real", base_model="hone:tiny", folder=tmp_path))
        assert read_spec(path).train.method == ("dpo" if row_format == "preference" else "sft")


@pytest.mark.parametrize(
    ("source", "name"),
    [("data/Support Tickets.csv", "support-tickets"), ("bank/train.csv", "bank"), ("/train.csv", "my-task")],
)
def test_the_name_says_something(source: str, name: str) -> None:
    assert default_name(source) == name


@given(st.text(min_size=1, max_size=30), st.text(min_size=1, max_size=30))
def test_any_column_name_survives_the_description(first: str, second: str) -> None:
    line = f"columns: {_inline({'prompt': first, 'completion': second})}  # a note\nnext: {_inline(first)}\n"
    assert len(line.splitlines()) >= 2
    assert yaml.safe_load(line) == {"columns": {"prompt": first, "completion": second}, "next": first}
