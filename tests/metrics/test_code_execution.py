"""Programs scored by running their tests."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import pytest

from pipeline.core.errors import ConfigError, EnvironmentMissing
from pipeline.core.sandbox import run_sandboxed
from pipeline.metrics import get_metric
from pipeline.metrics.code_execution import program_of

DATA = Path(os.environ.get("HONE_DATA", Path(__file__).parents[2].parent / "shared" / "data"))


@pytest.fixture(scope="module", autouse=True)
def machine() -> None:
    try:
        run_sandboxed("pass")
    except EnvironmentMissing as error:
        pytest.skip(f"NO SANDBOX HERE: {error}")


@pytest.mark.parametrize(
    ("answer", "passed"),
    [
        ("def double(x):\n    return 2 * x", 1.0),
        ("Here it is:\n```python\ndef double(x):\n    return x + x\n```\nIt adds.", 1.0),
        ("```\nprint(1)\n```\nand\n```py\ndef double(x):\n    return x * 2\n```", 1.0),
        ("```bash\npip install x\n```\nThen:\n```python\ndef double(x):\n    return 2 * x\n```\nDone.", 1.0),
        ("- so:\n  ```Python3\n  def double(x):\n      return 2 * x\n  ```\n", 1.0),
        ("def double(x):\n    return x", 0.0),
        ("I cannot.", 0.0),
        ("", 0.0),
    ],
)
def test_an_answer_passes_where_its_tests_do(answer: str, passed: float) -> None:
    assert get_metric("code_execution").item(answer, "assert double(4) == 8") == passed


@pytest.mark.parametrize("quotes", ['"""', "'''"])
def test_a_program_cannot_swallow_its_tests(quotes: str) -> None:
    assert get_metric("code_execution").item(f"x = 2\n{quotes}", f"assert x == 1\n{quotes}") == 0.0


@pytest.mark.parametrize(
    "program", ["from __future__ import annotations\nx: Unknown = 1", '"""What it is."""\nx = len(__doc__) - 10']
)
def test_what_stands_first_in_a_program_stays_first(program: str) -> None:
    assert get_metric("code_execution").item(program, "assert x in (1, 1) and __name__ == '__main__'") == 1.0


def test_an_open_fence_ends_with_the_answer() -> None:
    assert program_of("```python\nx = 1") == "x = 1"


def test_an_endless_program_fails_at_its_time_limit() -> None:
    assert get_metric("code_execution", timeout=1).item("while True: pass", "") == 0.0


@pytest.mark.parametrize(
    "limit", [{"timeout": 0}, {"timeout": "5"}, {"memory_mb": True}, {"memory_mb": float("inf")}, {"timeout": 0.001}]
)
def test_limits_are_above_nothing(limit: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="is no limit"):
        get_metric("code_execution", **limit)


@pytest.mark.real_data
@pytest.mark.slow
def test_every_canonical_solution_of_humaneval_passes() -> None:
    path = next((DATA / "humaneval").rglob("HumanEval.jsonl*"), None)
    if path is None:
        pytest.skip(f"NO REAL DATA HERE: no humaneval in {DATA}")
    text = gzip.decompress(path.read_bytes()).decode() if path.suffix == ".gz" else path.read_text(encoding="utf-8")
    problems = [json.loads(line) for line in text.splitlines()]
    answers = [problem["prompt"] + problem["canonical_solution"] for problem in problems]
    tests = [f"{problem['test']}\ncheck({problem['entry_point']})" for problem in problems]
    metric = get_metric("code_execution", timeout=30)
    assert [metric.item(*pair) for pair in zip(answers, tests, strict=True)] == [1.0] * 164
    assert metric.item(problems[0]["prompt"] + "    return True\n", tests[0]) == 0.0
