"""`hone predict` and `hone chat`: a version answers as its evaluation heard it answer."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local_runner.asking import Asked, open_asked
from local_runner.chat import Chat, open_chat, template_note
from local_runner.cli.common import registry
from local_runner.main import run_command
from pipeline.control.versions import VersionFiles, open_version
from pipeline.core.context import CallContext
from pipeline.core.errors import ConfigError, DataError
from pipeline.core.examples import read_examples
from schemas.errors import ExitCode
from tests.local_runner.conftest import Hone, write_rows

pytestmark = pytest.mark.slow

SYSTEM = "Say what the message is about."
LABELS = ("refund", "login", "order")
ROWS = [
    {"text": f"{LABELS[number % 3]} {number} of {number * 7 % 13}", "label": LABELS[number % 3]} for number in range(90)
]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, tiny_base: Path) -> Path:
    """Return a folder in whose workspace a run has registered asked@1 (promoted or refused, it is a version)."""
    folder = tmp_path_factory.mktemp("asked")
    write_rows(folder / "rows.jsonl", ROWS)
    spec = {
        "name": "asked",
        "task": "classification",
        "base_model": str(tiny_base),
        "data": {
            "path": "rows.jsonl",
            "system": SYSTEM,
            "prompt_template": "Message: {{ text }}",
            "columns": {"label": "label"},
            "deduplicate": {"near": False},
        },
        "train": {"max_length": 128, "max_steps": 300, "learning_rate": 0.005, "seeds": [0]},
        "evaluate": {
            "retention_waived": "a test measures no retention",
            "generation": {"max_new_tokens": 6},
            "baselines": {"base": False, "few_shot": 0},
        },
        "serve": False,
    }
    (folder / "spec.yaml").write_text(json.dumps(spec))
    code = run_command(["run", str(folder / "spec.yaml"), "--workspace", str(folder / ".hone"), "--json"])
    assert code in (ExitCode.OK, ExitCode.GATE_FAILED)
    return folder


@pytest.fixture(scope="module")
def version(home: Path) -> VersionFiles:
    return open_version(home / ".hone", registry(home / ".hone"), "asked@1")


@pytest.fixture(scope="module")
def asked(version: VersionFiles) -> Asked:
    return open_asked(version, None)


@pytest.fixture
def chat(asked: Asked) -> Chat:
    return open_chat(asked, None)


def evaluated(version: VersionFiles) -> list[tuple[str, str]]:
    """Return (prediction, finish reason) of every item of the trained model's evaluation."""
    from pyarrow import parquet

    ref = version.record.artifact.lineage.evaluations["model.seed-0"]
    table = parquet.read_table(version.store.directory(ref) / "items.parquet").to_pydict()
    return list(zip(table["prediction"], table["finish_reason"], strict=True))


def test_rows_without_answers_are_answered_as_in_the_evaluation(
    hone: Hone, home: Path, version: VersionFiles, tmp_path: Path
) -> None:
    examples = read_examples(version.data.file(version.data.artifact.files["test"]))
    questions = [{"text": ROWS[example.row - 1]["text"], "id": example.id} for example in examples]
    out = tmp_path / "answers.jsonl"
    path = write_rows(tmp_path / "ask.jsonl", questions)
    ran = hone("predict", "asked@1", path, "--out", out, "--workspace", home / ".hone")
    assert ran.code == 0, ran.err
    answers = [json.loads(line) for line in out.read_text().splitlines()]
    assert [(answer["prediction"], answer["finish_reason"]) for answer in answers] == evaluated(version)
    assert len({answer["prediction"] for answer in answers}) > 1  # or all equal answers would show nothing
    assert [answer["id"] for answer in answers] == [question["id"] for question in questions]
    assert answers[0]["prompt"] == f"system: {SYSTEM}\nuser: Message: {questions[0]['text']}"
    assert [answer["row"] for answer in answers] == list(range(1, len(questions) + 1))


def test_answers_do_not_depend_on_the_batch(hone: Hone, home: Path, tmp_path: Path) -> None:
    path = write_rows(tmp_path / "ask.jsonl", ROWS[:7])
    one, many = (
        hone("predict", "asked@1", path, "--batch-size", size, "--workspace", home / ".hone", "--json").json
        for size in ("1", "7")
    )
    assert one == many
    assert (one["version"], one["variant"], one["rows"]) == ("asked@1", "adapter", 7)


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "Message: hello there"},
        {"messages": [{"role": "user", "content": "Message: hello there"}]},
        {"messages": [{"role": "user", "content": "Message: hello there"}, {"role": "assistant", "content": "one"}]},
        {"messages": [{"role": "system", "content": SYSTEM}, {"role": "user", "content": "Message: hello there"}]},
        {"conversations": [{"from": "human", "value": "Message: hello there"}]},
    ],
)
def test_prompts_and_messages_are_asked_like_rows(hone: Hone, home: Path, tmp_path: Path, row: dict[str, Any]) -> None:
    wanted = write_rows(tmp_path / "rows.jsonl", [{"text": "hello there"}])
    given = write_rows(tmp_path / "given.jsonl", [row])
    first, second = (
        hone("predict", "asked@1", path, "--workspace", home / ".hone", "--json").json["predictions"]
        for path in (wanted, given)
    )
    assert first == second


def test_the_lines_go_to_standard_output_alone(hone: Hone, home: Path, tmp_path: Path) -> None:
    path = write_rows(tmp_path / "ask.jsonl", ROWS[:3])
    ran = hone("predict", "asked@1", path, "--workspace", home / ".hone")
    assert [json.loads(line)["row"] for line in ran.out.splitlines()] == [1, 2, 3]


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([{"foo": "a"}], "no column asks: there are 'foo'"),
        ([{"text": "fine"}, {"text": None}, {"more": "none"}], "2 of 3 rows cannot be asked: row 2: "),
        ([{"messages": [{"role": "assistant", "content": "one"}]}], "row 1: "),
    ],
)
def test_rows_that_ask_nothing_are_named_and_nothing_is_written(
    hone: Hone, home: Path, tmp_path: Path, rows: list[dict[str, Any]], says: str
) -> None:
    out = tmp_path / "answers.jsonl"
    out.write_text("kept")
    path = write_rows(tmp_path / "ask.jsonl", rows)
    ran = hone("predict", "asked@1", path, "--out", out, "--workspace", home / ".hone")
    assert ran.code == ExitCode.DATA
    assert says in ran.err
    assert out.read_text() == "kept"


def test_a_wrong_variant_or_place_is_refused_before_the_work(hone: Hone, home: Path, tmp_path: Path) -> None:
    path = write_rows(tmp_path / "ask.jsonl", ROWS[:3])
    variant = hone("predict", "asked@1", path, "--variant", "w4a16", "--workspace", home / ".hone")
    assert (variant.code, "this version has adapter" in variant.err) == (ExitCode.CONFIG, True)
    place = hone("predict", "asked@1", path, "--out", tmp_path / "none" / "a.jsonl", "--workspace", home / ".hone")
    assert (place.code, "its folder does not exist" in place.err) == (ExitCode.CONFIG, True)


def test_a_variant_that_only_vllm_loads_is_asked_through_its_endpoint(
    version: VersionFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("local_runner.asking.only_vllm", lambda _artifact: True)
    with pytest.raises(ConfigError, match="asked by vLLM alone") as caught:
        open_asked(version, None)
    assert "hone serve asked@1 --variant" in (caught.value.fix or "")


def test_a_line_is_answered_like_a_row(hone: Hone, home: Path, tmp_path: Path, chat: Chat) -> None:
    path = write_rows(tmp_path / "ask.jsonl", [{"text": "hello there"}])
    row = hone("predict", "asked@1", path, "--workspace", home / ".hone", "--json").json["predictions"][0]
    assert chat.reply("hello there", CallContext()).text == row["prediction"]


def test_the_conversation_is_kept_until_it_is_reset(chat: Chat) -> None:
    first = chat.reply("hello there", CallContext())
    chat.reply("and now", CallContext())
    assert [turn.role for turn in chat.turns] == ["user", "assistant", "user", "assistant"]
    assert chat.turns[0].content == "Message: hello there"
    chat.reset()
    assert chat.reply("hello there", CallContext()) == first


def test_a_full_context_leaves_the_conversation_as_it_was(chat: Chat) -> None:
    chat.reply("hello there", CallContext())
    before = list(chat.turns)
    with pytest.raises(DataError, match="/reset"):
        chat.reply("word " * 600, CallContext())
    assert chat.turns == before


def test_the_system_turn_is_that_of_training_or_the_users(asked: Asked, chat: Chat) -> None:
    assert chat.system == SYSTEM
    assert open_chat(asked, "Be brief.").system == "Be brief."
    assert open_chat(asked, "").system == ""


def test_the_template_is_said(asked: Asked) -> None:
    assert template_note(asked) == "each line is asked through the prompt template of training, as its text"


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    stream = io.StringIO()
    monkeypatch.setattr("sys.stdin", stream)
    yield stream


def test_lines_of_standard_input_are_answered_until_exit(hone: Hone, home: Path, typed: io.StringIO) -> None:
    typed.write("hello there\n\n/reset\nhello there\n/exit\nnot asked\n")
    typed.seek(0)
    ran = hone("chat", "asked@1", "--workspace", home / ".hone", "--json")
    answers = [json.loads(line) for line in ran.out.splitlines()]
    assert ran.code == 0, ran.err
    assert len(answers) == 2
    assert answers[0] == answers[1]


def test_an_error_ends_its_turn_and_not_the_chat(hone: Hone, home: Path, typed: io.StringIO) -> None:
    typed.write("/forget\nhello there\n" + "word " * 600 + "\n")
    typed.seek(0)
    ran = hone("chat", "asked@1", "--workspace", home / ".hone", "--json")
    lines = [json.loads(line) for line in ran.out.splitlines()]
    assert [next(iter(line)) for line in lines] == ["error", "answer", "error"]
    assert lines[0]["error"]["fix"] == "there are /reset and /exit"
    assert ran.code == ExitCode.DATA  # of the last line
