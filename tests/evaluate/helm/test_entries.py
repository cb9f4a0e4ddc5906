from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.errors import ConfigError
from pipeline.evaluate.helm.entries import DEFAULT_SCENARIOS, run_entries

_ENTRY = re.compile(r'  \{description: "(?P<description>[^"\\]+)", priority: 1\}')


def read_entries(text: str) -> list[str]:
    """Return the descriptions of a HOCON file of entries, each on a line of its own."""
    first, *lines, last = text.splitlines()
    assert (first, last) == ("entries: [", "]")
    found = [_ENTRY.fullmatch(line) for line in lines]
    return [entry["description"] for entry in found if entry is not None or pytest.fail(text)]


def object_spec(description: str) -> tuple[str, dict[str, str]]:
    """Return name and arguments as HELM's ``parse_object_spec`` reads them."""
    name, _, rest = description.partition(":")
    return name, dict(argument.split("=", 1) for argument in rest.split(",") if rest)


def test_each_scenario_is_an_entry_with_the_model() -> None:
    assert read_entries(run_entries(["gsm", "mmlu:subject=anatomy"], "hone/triage-v3")) == [
        "gsm:model=hone/triage-v3",
        "mmlu:subject=anatomy,model=hone/triage-v3",
    ]
    assert len(read_entries(run_entries(DEFAULT_SCENARIOS, "hone/a-v1"))) == len(DEFAULT_SCENARIOS)


@given(
    name=st.from_regex(r"[A-Za-z][A-Za-z0-9_]*", fullmatch=True),
    arguments=st.dictionaries(
        st.from_regex(r"[a-z][a-z0-9_]*", fullmatch=True).filter(lambda key: key != "model"),
        st.from_regex(r"(?:(?![,=\"\\])[!-~])+", fullmatch=True),
        max_size=4,
    ),
)
def test_what_is_written_is_read_back(name: str, arguments: dict[str, str]) -> None:
    rest = ",".join(f"{key}={value}" for key, value in arguments.items())
    (entry,) = read_entries(run_entries([f"{name}:{rest}" if rest else name], "hone/a-v1"))
    assert object_spec(entry) == (name, {**arguments, "model": "hone/a-v1"})


@pytest.mark.parametrize(
    ("scenarios", "message"),
    [
        ([""], "no name of a scenario"),
        (['mm"lu'], "no name of a scenario"),
        (["mmlu:"], "is not key=value"),
        (["mmlu:subject"], "is not key=value"),
        (['mmlu:subject=a"b'], "is not key=value"),
        (["mmlu:subject=a\nb"], "is not key=value"),
        (["mmlu:subject=a,subject=b"], "given twice"),
        (["mmlu:model=other/x"], "is the model"),
        (["gsm", "gsm"], "given twice"),
    ],
)
def test_a_malformed_scenario_is_named(scenarios: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        run_entries(scenarios, "hone/a-v1")
    assert caught.value.where == f"--scenario {scenarios[0]}"
