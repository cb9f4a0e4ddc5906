"""Bad input at the command line: a documented exit code, one message with place and fix, no traceback, nothing lost."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from pipeline.core.workspace import Store
from schemas.errors import ExitCode
from tests.local_runner.conftest import Hone, write_rows

ROWS = [
    {"text": f"message {number} about thing {number * 7 % 13} and {number * number % 101}", "label": "abc"[number % 3]}
    for number in range(60)
]
GOOD: dict[str, Any] = {
    "name": "good",
    "task": "classification",
    "base_model": "tiny",
    "data": {"path": "good.jsonl"},
    "train": {"max_length": 96},
    "evaluate": {"retention_waived": "a test"},
    "serve": False,
}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, tiny_base: Path) -> Path:
    """Return a folder with good data, a base, and a workspace in which the good description was checked."""
    folder = tmp_path_factory.mktemp("home")
    shutil.copytree(tiny_base, folder / "tiny")
    write_rows(folder / "good.jsonl", ROWS)
    (folder / "good.yaml").write_text(json.dumps(GOOD))
    return folder


def lines(*more: bytes) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in ROWS) + b"".join(line + b"\n" for line in more)


def with_lines(*more: str) -> str:
    """Return the good description as YAML, its sections replaced by these lines."""
    replaced = {line.partition(":")[0] for line in more}
    kept = [f"{key}: {json.dumps(value)}" for key, value in GOOD.items() if key not in replaced]
    return "\n".join([*kept, *more])


def pickled_base(home: Path) -> None:
    shutil.copytree(home / "tiny", home / "pickled", dirs_exist_ok=True)
    (home / "pickled" / "model.safetensors").unlink(missing_ok=True)
    (home / "pickled" / "pytorch_model.bin").write_bytes(b"\x80\x04K\x01.")


def base_without_template(home: Path) -> None:
    shutil.copytree(home / "tiny", home / "untemplated", dirs_exist_ok=True)
    (home / "untemplated" / "chat_template.jinja").unlink(missing_ok=True)


def base_without_config(home: Path) -> None:
    (home / "hollow").mkdir(exist_ok=True)


@dataclass(frozen=True)
class Bad:
    """One kind of bad input.

    ``spec`` changes the good description, by section; ``rows`` replaces the data; ``raw`` the whole description.
    ``arguments`` come after the command; ``says`` are parts of the message, in any order.
    """

    code: ExitCode
    says: tuple[str, ...]
    spec: dict[str, Any] = field(default_factory=dict)
    rows: bytes | None = None
    raw: str | None = None
    name: str = "rows.jsonl"
    command: tuple[str, ...] = ("data", "check")
    arguments: tuple[str, ...] = ()
    prepare: Callable[[Path], None] = lambda home: None


CONFIG, DATA = ExitCode.CONFIG, ExitCode.DATA

KINDS: dict[str, Bad] = {
    # the file
    "empty file": Bad(DATA, ("rows.jsonl", "the file is empty"), rows=b""),
    "header only": Bad(DATA, ("rows.csv", "there are no rows"), rows=b"text,label\n", name="rows.csv"),
    "wrong columns": Bad(DATA, ("rows.jsonl", "'foo', 'bar'", "data.columns"), rows=b'{"foo": "a", "bar": "b"}\n' * 9),
    "invalid UTF-8": Bad(
        DATA,
        ("rows.jsonl", "row 61: not valid UTF-8: byte 0xe9"),
        rows=lines(b'{"text": "caf\xe9 \xff", "label": "a"}'),
    ),
    "binary file": Bad(DATA, ("rows.jsonl", "not a text file"), rows=bytes(range(256)) * 20),
    "10 MB line": Bad(
        DATA,
        ("rows.jsonl", "row 61: the line is longer than 10 MB"),
        rows=lines(b'{"text": "' + b"x" * 10_000_000 + b'", "label": "a"}'),
    ),
    "not JSON": Bad(DATA, ("rows.jsonl", "row 61: not JSON"), rows=lines(b'{"text": "a", "label"')),
    "label with one row": Bad(DATA, ("label 'lone' has one row",), rows=lines(b'{"text": "a b c", "label": "lone"}')),
    "all rows identical": Bad(DATA, ("all 50 rows are identical",), rows=b'{"text": "a b c", "label": "a"}\n' * 50),
    "one row": Bad(DATA, ("has one row",), rows=b'{"text": "a b c", "label": "a"}\n'),
    "unreachable path": Bad(
        DATA, ("data.path", "goood.jsonl", "did you mean good.jsonl"), {"data": {"path": "goood.jsonl"}}
    ),
    "address": Bad(DATA, ("data.path", "https://h/x.csv", "download"), {"data": {"path": "https://h/x.csv"}}),
    "Hub data without network": Bad(DATA, ("org/rows", "cannot be reached"), {"data": {"path": "org/rows"}}),
    "file of another kind": Bad(
        CONFIG, ("rows.pdf", "'.pdf' are not read", "give one of"), rows=b"%PDF", name="rows.pdf"
    ),
    # the description
    "no description": Bad(DATA, ("none.yaml", "cannot read"), command=("data", "check", "none.yaml")),
    "not YAML": Bad(CONFIG, ("bad.yaml:2", "correct the YAML"), raw="name: [open\n"),
    "no mapping": Bad(CONFIG, ("bad.yaml", "a mapping of keys"), raw="just text"),
    "key given twice": Bad(CONFIG, ("bad.yaml:2", "'name' is given twice"), raw="name: a\nname: b\n"),
    "description that is data": Bad(CONFIG, ("bad.yaml", "at most 1 MiB"), raw="a: b\n" * 300_000),
    "key that is a list": Bad(CONFIG, ("bad.yaml:1", "a key is a plain value"), raw="[a, b]: c\n"),
    "key that is a mapping": Bad(CONFIG, ("bad.yaml:1", "a key is a plain value"), raw="{a: b}: c\n"),
    "nested too deeply": Bad(CONFIG, ("bad.yaml", "nested too deeply"), raw=f"name: {'[' * 5000}{']' * 5000}\n"),
    "description that holds itself": Bad(CONFIG, ("bad.yaml", "holds itself"), raw="name: &a [*a]\n"),
    "override nested too deeply": Bad(CONFIG, ("nested too deeply",), arguments=("--set", f"name={'[' * 5000}")),
    "infinite rate": Bad(
        CONFIG, ("train.learning_rate", "finite number"), raw=with_lines("train: {learning_rate: .inf}")
    ),
    "infinite target": Bad(
        CONFIG,
        ("evaluate.target.accuracy", "finite number"),
        raw=with_lines("evaluate: {target: {accuracy: .inf}}"),
    ),
    "rate that is no number": Bad(
        CONFIG, ("train.learning_rate", "finite number"), arguments=("--set", "train.learning_rate=.nan")
    ),
    "date in a base's config": Bad(
        CONFIG,
        ("base_model.init.config.made", "valid JSON value"),
        raw=with_lines("base_model: {init: {config: {made: 2026-01-01}}}"),
    ),
    "infinity in a base's config": Bad(
        CONFIG,
        ("base_model.init.config.eps", "finite number"),
        raw=with_lines("base_model: {init: {config: {eps: .inf}}}"),
    ),
    "negative seed": Bad(CONFIG, ("train.seeds.0", "greater than or equal to 0", "-1"), {"train": {"seeds": [-1]}}),
    "seed that no library takes": Bad(CONFIG, ("evaluate.seed", "less than 4294967296"), {"evaluate": {"seed": 2**32}}),
    "retention name with a dot at its end": Bad(
        CONFIG,
        ("evaluate.retention.0.name", "'clinc.'"),
        {"evaluate": {"retention_waived": None, "retention": [{"name": "clinc.", "data": {"path": "good.jsonl"}}]}},
    ),
    "name with two dots": Bad(CONFIG, ("name: ", "'a..b'"), {"name": "a..b"}),
    "data of an unknown user": Bad(
        DATA, ("~nosuchuser/x", "no user of this name"), {"data": {"path": "~nosuchuser/x"}}
    ),
    "base of an unknown user": Bad(DATA, ("~nosuchuser/x", "no user of this name"), {"base_model": "~nosuchuser/x"}),
    "unknown key": Bad(CONFIG, ("train.learning_rte", "did you mean learning_rate"), {"train": {"learning_rte": 1e-4}}),
    "key of another tool": Bad(
        CONFIG, ("train.cutoff_len", "hone calls it", "max_length"), {"train": {"cutoff_len": 5}}
    ),
    "wrong type": Bad(CONFIG, ("train.max_length", "valid integer", "'long'"), {"train": {"max_length": "long"}}),
    "missing key": Bad(CONFIG, ("task", "required"), {"task": None}),
    "unknown metric": Bad(CONFIG, ("acuracy", "did you mean accuracy"), {"evaluate": {"metrics": ["acuracy"]}}),
    "metric file that is not there": Bad(
        DATA, ("m.py", "no such metric file"), {"evaluate": {"metrics": ["./m.py:f"]}}
    ),
    "target for what is not measured": Bad(
        CONFIG, ("evaluate.target.bleu", "evaluate.metrics"), {"evaluate": {"target": {"bleu": 0.5}}}
    ),
    "unknown variant": Bad(CONFIG, ("variants.0", "unknown variant 'w3a16'", "w4a16"), {"variants": ["w3a16"]}),
    "served variant that is not made": Bad(CONFIG, ("serve.variant 'w4a16'",), {"serve": {"variant": "w4a16"}}),
    "replay without retention": Bad(
        CONFIG,
        ("train.retention", "evaluate.retention"),
        {"train": {"retention": {"method": "replay", "share": 0.2}}},
    ),
    "retention given and waived": Bad(
        CONFIG,
        ("evaluate.retention_waived", "keep one of the two"),
        {"evaluate": {"retention": [{"name": "chat", "data": {"path": "good.jsonl"}}]}},
    ),
    "unknown template variable": Bad(
        CONFIG, ("data.prompt_template", "'txt'", "did you mean 'text'"), {"data": {"prompt_template": "{{ txt }}"}}
    ),
    "broken template": Bad(CONFIG, ("data.prompt_template", "not"), {"data": {"prompt_template": "{{ text "}}),
    "no such column": Bad(
        CONFIG, ("data.columns.label", "'labl'"), {"data": {"columns": {"text": "text", "label": "labl"}}}
    ),
    "group without its column": Bad(CONFIG, ("data.columns.group",), {"data": {"split": {"by": "group"}}}),
    "override without a value": Bad(CONFIG, ("--set", "key=value"), arguments=("--set", "train.max_length")),
    # rows and training
    "every row too long": Bad(
        DATA, ("all 42 rows are longer than max_length 20", "train.max_length"), {"train": {"max_length": 20}}
    ),
    "no room for any row": Bad(CONFIG, ("train.max_length: no row fits into 4 tokens",), {"train": {"max_length": 4}}),
    "a longer row than the base takes": Bad(
        CONFIG,
        ("train.max_length: 100000 tokens are more than",),
        {"train": {"max_length": 100_000}},
    ),
    "no preference rows for DPO": Bad(DATA, ("train.method dpo learns from pairs",), {"train": {"method": "dpo"}}),
    # the base
    "missing base folder": Bad(CONFIG, ("base_model: ./none", "no such model folder"), {"base_model": "./none"}),
    "base folder without a model": Bad(
        CONFIG, ("hollow", "config.json"), {"base_model": "hollow"}, prepare=base_without_config
    ),
    "Hub base without network": Bad(CONFIG, ("org/model", "cannot be reached"), {"base_model": "org/model"}),
    "unknown embedded base": Bad(CONFIG, ("hone:huge", "known: hone:tiny"), {"base_model": "hone:huge"}),
    "base without chat template": Bad(
        DATA, ("no chat template", "train.chat_template"), {"base_model": "untemplated"}, prepare=base_without_template
    ),
    "base with pickled weights": Bad(
        CONFIG,
        ("pickled", "safetensors"),
        {"base_model": "pickled", "evaluate": {"baselines": {"base": False, "few_shot": 0, "tfidf": False}}},
        command=("run",),
        arguments=("--until", "train"),
        prepare=pickled_base,
    ),
    "unregistered version as base": Bad(
        ExitCode.STAGE_FAILED, ("nothing@champion", "no version of nothing"), {"base_model": "nothing@champion"}
    ),
    # other arguments
    "unknown version": Bad(
        ExitCode.STAGE_FAILED, ("nothing@1", "no such version"), command=("predict", "nothing@1", "good.jsonl")
    ),
    "version with a bad selector": Bad(
        ExitCode.STAGE_FAILED, ("nothing@best", "'best'"), command=("chat", "nothing@best")
    ),
    "unknown run": Bad(CONFIG, ("none-such", "no such run"), command=("status", "none-such")),
    "unknown command": Bad(ExitCode.USAGE, ("No such command 'fly'",), command=("fly",)),
    "unknown option": Bad(ExitCode.USAGE, ("No such option: --fast",), command=("run", "good.yaml", "--fast")),
    "missing argument": Bad(ExitCode.USAGE, ("Missing argument",), command=("run",), raw=""),
    "workspace that is a file": Bad(
        ExitCode.STORAGE, ("good.jsonl", "a file, not a folder"), arguments=("--workspace", "good.jsonl")
    ),
    "workspace of an unknown user": Bad(
        DATA, ("~nosuchuser/x", "no user of this name"), arguments=("--workspace", "~nosuchuser/x")
    ),
    "workspace with brackets": Bad(
        DATA, ("x[/red]", "the file is empty"), rows=b"", command=("run",), arguments=("--workspace", "x[/red]")
    ),
    "workspace that cannot be made": Bad(ExitCode.STORAGE, ("/proc",), arguments=("--workspace", "/proc/none")),
}


def merged(changes: dict[str, Any]) -> dict[str, Any]:
    spec = dict(GOOD)
    for key, value in changes.items():
        spec[key] = {**GOOD[key], **value} if isinstance(value, dict) and isinstance(GOOD.get(key), dict) else value
    return {key: value for key, value in spec.items() if value is not None}


def arguments_of(bad: Bad, home: Path) -> list[str]:
    """Write what the kind needs and return the command's arguments."""
    bad.prepare(home)
    spec = merged(bad.spec)
    if bad.rows is not None:
        (home / bad.name).write_bytes(bad.rows)
        spec["data"] = {**spec["data"], "path": bad.name}
    (home / "bad.yaml").write_text(json.dumps(spec) if bad.raw is None else bad.raw)
    takes_spec = bad.command in (("data", "check"), ("run",)) and not (bad.command == ("run",) and bad.raw == "")
    return [*bad.command, *(["bad.yaml"] if takes_spec else []), *bad.arguments]


def test_there_are_at_least_twenty_kinds() -> None:
    assert len(KINDS) >= 20


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(kind, marks=pytest.mark.slow) if bad.prepare is pickled_base or bad.command == ("run",) else kind
        for kind, bad in KINDS.items()
    ],
)
def test_bad_input_ends_in_one_clear_message(
    kind: str, hone: Hone, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = KINDS[kind]
    monkeypatch.chdir(home)
    ran = hone(*arguments_of(bad, home))
    said = f"{ran.err}\n{ran.out}"
    assert ran.code == bad.code, said
    assert "Traceback" not in said
    assert all(part in ran.err for part in bad.says), ran.err
    if bad.code != ExitCode.USAGE:
        assert ran.err.count("error:") == 1, ran.err
        assert "fix:" in ran.err or "did you mean" in ran.err or bad.code == CONFIG, ran.err


@pytest.mark.parametrize("kind", ["empty file", "unknown key", "missing base folder", "workspace that is a file"])
def test_the_error_is_one_json_object_where_that_is_asked(
    kind: str, hone: Hone, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(home)
    ran = hone(*arguments_of(KINDS[kind], home), "--json")
    assert ran.code == KINDS[kind].code
    assert set(ran.json["error"]) == {"code", "message", "where", "fix", "detail"}
    assert ran.json["error"]["where"]


def test_nothing_good_is_lost(hone: Hone, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two checks of a good description bad ones fail: its artifacts stay whole and are found done."""
    monkeypatch.chdir(home)
    first = hone("data", "check", "good.yaml", "--json")
    assert first.code == 0, first.out
    store = Store(home / ".hone")
    before = {str(ref): store.verify(ref).content_digest for ref in store.list()}
    assert before
    for kind in ("10 MB line", "label with one row", "every row too long", "unknown template variable"):
        assert hone(*arguments_of(KINDS[kind], home)).code == KINDS[kind].code
    after = {str(ref): store.verify(ref).content_digest for ref in store.list()}
    assert before.items() <= after.items()
    again = hone("data", "check", "good.yaml")
    assert again.code == 0
    assert again.err == ""  # nothing was carried out, so nothing was told
    assert hone("data", "check", "good.yaml", "--json").json == first.json


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["invalid UTF-8", "wrong type"])
def test_the_real_command_says_the_same(kind: str, home: Path) -> None:
    bad = KINDS[kind]
    command = [sys.executable, "-m", "local_runner.main", *arguments_of(bad, home)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "COLUMNS": "400"}
    ran = subprocess.run(command, cwd=home, env=environment, capture_output=True, text=True, timeout=120)
    assert ran.returncode == bad.code, ran.stderr
    assert all(part in ran.stderr for part in bad.says), ran.stderr
    assert "Traceback" not in ran.stderr
