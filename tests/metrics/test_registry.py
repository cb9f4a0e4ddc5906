"""The table of metrics, and metrics from a user's file."""

from __future__ import annotations

import gc
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pipeline.core.errors import ConfigError, HoneError, SourceError
from pipeline.metrics import get_metric, metric_names, registry
from pipeline.metrics.accuracy import Accuracy

USER_CODE = '''
from dataclasses import dataclass

@dataclass
class Weights:
    """Needs its module to be found."""
    right: float = 1.0

def score(prediction, reference):
    return Weights().right if prediction == reference else 0.25

def truth(prediction, reference):
    return prediction == reference

def number(prediction, reference):
    import numpy
    return numpy.float32(0.5)

def text(prediction, reference):
    return "1.0"

def nothing(prediction, reference):
    return None

def missing_number(prediction, reference):
    return float("nan")

def too_much(prediction, reference):
    return 1.5

def failing(prediction, reference):
    return {}["key"]

def leaving(prediction, reference):
    raise SystemExit(0)

def beyond_any_float(prediction, reference):
    return 10 ** 400

def one_argument(prediction):
    return 1.0

constant = 1.0
'''


NEEDED: dict[str, dict[str, object]] = {
    "valid_label": {"labels": ["a"]},
    "json_schema": {"schema": {}},
    "bert_score": {"model": "m"},
}
"""The parameters of metrics that cannot do without."""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "spec"
    folder.mkdir()
    (folder / "my_metric.py").write_text(USER_CODE)
    return folder


def test_every_name_makes_its_metric() -> None:
    for name in metric_names():
        metric = get_metric(name, **NEEDED.get(name, {}))
        assert metric.name == name
        assert metric.higher_is_better
    assert {"accuracy", "exact_match", "field_f1", "json_validity", "macro_f1"} < set(metric_names())


@pytest.mark.parametrize(("typed", "nearest"), [("exact_macth", "exact_match"), ("f1_macro", "macro_f1")])
def test_an_unknown_name_is_answered_with_the_nearest(typed: str, nearest: str) -> None:
    with pytest.raises(ConfigError) as caught:
        get_metric(typed)
    assert caught.value.where == typed
    assert caught.value.fix == f"did you mean {nearest}?"


def test_a_far_name_is_answered_with_all() -> None:
    with pytest.raises(ConfigError, match="accuracy, balanced_accuracy"):
        get_metric("zzz")


def test_a_name_is_given_once() -> None:
    with pytest.raises(ConfigError, match="exists"):
        registry.register_metric("accuracy", Accuracy)
    with pytest.raises(ConfigError, match="Python file"):
        registry.register_metric("x.py:score", Accuracy)


def test_a_new_name_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_FACTORIES", dict(registry._FACTORIES))
    registry.register_metric("also_accuracy", Accuracy)
    assert get_metric("also_accuracy").item("A", "a") == 1.0


def test_parameters_that_do_not_fit() -> None:
    with pytest.raises(ConfigError, match="it takes labels"):
        get_metric("valid_label", label=["a"])
    with pytest.raises(ConfigError, match="it takes labels"):
        get_metric("valid_label")
    with pytest.raises(ConfigError, match="it takes none"):
        get_metric("accuracy", labels=["a"])


def test_user_metric(root: Path) -> None:
    modules, path = set(sys.modules), list(sys.path)
    metric = get_metric("./my_metric.py:score", root=root)
    assert metric.name == "./my_metric.py:score"
    # One right and one at 0.25.
    assert metric.corpus(["a", "b"], ["a", "a"]) == pytest.approx(1.25 / 2, abs=1e-12)
    assert set(sys.modules) == modules
    assert sys.path == path
    assert [entry.name for entry in root.iterdir()] == ["my_metric.py"]
    assert get_metric("my_metric.py:truth", root=root).item("a", "a") == 1.0
    assert get_metric("my_metric.py:number", root=root).item("a", "b") == 0.5


def test_a_user_file_keeps_its_own_future(root: Path) -> None:
    # hone's own `from __future__ import annotations` would turn these annotations into texts.
    (root / "typed.py").write_text(
        "def score(prediction: str, reference: str) -> float:\n"
        "    return float(score.__annotations__['return'] is float)\n"
    )
    assert get_metric("./typed.py:score", root=root).item("a", "b") == 1.0


def test_an_edited_file_is_read_again(root: Path) -> None:
    assert get_metric("./my_metric.py:score", root=root).item("a", "b") == 0.25
    (root / "my_metric.py").write_text(USER_CODE.replace("0.25", "0.75"))
    assert get_metric("./my_metric.py:score", root=root).item("a", "b") == 0.75


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("text", "returned '1.0'"),
        ("nothing", "returned None"),
        ("missing_number", "returned nan"),
        ("too_much", "returned 1.5"),
        ("failing", "raised KeyError: 'key'"),
        ("one_argument", "raised TypeError"),
        ("leaving", "raised SystemExit: 0"),
        ("beyond_any_float", "returned 1000"),
    ],
)
def test_what_a_user_function_may_not_do(root: Path, function: str, message: str) -> None:
    metric = get_metric(f"./my_metric.py:{function}", root=root)
    with pytest.raises(ConfigError, match=message) as caught:
        metric.item("said", "wanted")
    assert caught.value.where == f"./my_metric.py:{function}"
    assert caught.value.detail == "prediction 'said', reference 'wanted'"


PRINTING = """
import os, subprocess, sys
print("loaded")

def score(prediction, reference):
    print("said")
    print("kept", file=sys.__stdout__)
    os.write(1, b"written\\n")
    subprocess.run(["echo", "by a child"], check=True)
    return 1.0
"""


LEAVING = """
import ctypes, os

def leaves(prediction, reference):
    os._exit(0)

def crashes(prediction, reference):
    ctypes.string_at(0)

"""


@pytest.mark.parametrize(("function", "how"), [("leaves", "exit status 0"), ("crashes", "killed by SIGSEGV")])
def test_a_metric_that_ends_its_process_is_named(root: Path, function: str, how: str) -> None:
    (root / "leaving.py").write_text(LEAVING)
    metric = get_metric(f"./leaving.py:{function}", root=root)
    for _ in range(2):
        with pytest.raises(ConfigError, match=rf"ended its process \({how}\)") as caught:
            metric.item("said", "wanted")
        assert caught.value.detail == "prediction 'said', reference 'wanted'"


def test_a_file_that_ends_its_process_is_named(root: Path) -> None:
    (root / "gone.py").write_text("import os\nos._exit(0)\n")
    with pytest.raises(ConfigError, match=r"ended its process \(exit status 0\)"):
        get_metric("./gone.py:score", root=root)


def test_the_process_of_a_metric_ends_with_it(root: Path) -> None:
    (root / "who.py").write_text("import os\n\ndef score(p, r):\n    return os.getpid() / 2**40\n")
    metric = get_metric("./who.py:score", root=root)
    process = int(metric.item("", "") * 2**40)
    assert Path(f"/proc/{process}").exists()
    del metric
    gc.collect()
    assert not Path(f"/proc/{process}").exists()


def test_any_text_reaches_a_metric_as_it_is(root: Path) -> None:
    (root / "same.py").write_text("def score(p, r):\n    return p == r[::-1]\n")
    metric = get_metric("./same.py:score", root=root)
    for text in ("a\nb\r\u2028c", "\ud800", "", "\0", "\U0001f600é"):
        assert metric.item(text, text[::-1]) == 1.0


def test_what_user_code_prints_goes_to_standard_error(root: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (root / "printing.py").write_text(PRINTING)
    sys.stdout.write("before\n")
    metric = get_metric("./printing.py:score", root=root)
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(metric.item, "abcdefgh", "abcdefgh")) == [1.0] * 8
    sys.stdout.write("after\n")
    sys.stdout.flush()
    printed = capfd.readouterr()
    assert printed.out == "before\nafter\n"
    assert printed.err.count("loaded\n") == 1
    assert [printed.err.count(text) for text in ("said", "kept", "written\n", "by a child\n")] == [8, 8, 8, 8]


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        ("./my_metric.py", ConfigError, "function of a metric's file is not named"),
        ("./my_metric.py:", ConfigError, "function of a metric's file is not named"),
        ("./my_metric.py:absent", ConfigError, "defines no function absent"),
        ("./my_metric.py:constant", ConfigError, "defines no function constant"),
        ("./absent.py:score", SourceError, "No such file"),
        ("../outside.py:score", ConfigError, "lies outside"),
        ("./link.py:score", ConfigError, "lies outside"),
        ("./syntax.py:score", ConfigError, "raised SyntaxError"),
        ("./exits.py:score", ConfigError, "raised SystemExit"),
    ],
)
def test_user_files_that_cannot_be_used(root: Path, name: str, kind: type[HoneError], message: str) -> None:
    (root.parent / "outside.py").write_text(USER_CODE)
    (root / "link.py").symlink_to(root.parent / "outside.py")
    (root / "syntax.py").write_text("def score(:\n")
    (root / "exits.py").write_text("raise SystemExit(3)\n")
    with pytest.raises(kind, match=message) as caught:
        get_metric(name, root=root)
    assert caught.value.where == name


def test_a_user_file_needs_a_root_and_takes_no_parameters(root: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be used here"):
        get_metric("./my_metric.py:score")
    with pytest.raises(ConfigError, match="takes no parameters, but labels"):
        get_metric("./my_metric.py:score", root=root, labels=["a"])
