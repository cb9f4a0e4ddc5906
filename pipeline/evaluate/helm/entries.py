"""Scenarios as HELM's run entries: ``name`` or ``name:key=value,key=value`` (``helm.common.object_spec``)."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from pipeline.core.errors import ConfigError

DEFAULT_SCENARIOS = (
    "commonsense:dataset=openbookqa,method=multiple_choice_joint",
    "gsm",
    "mmlu:subject=abstract_algebra",
)
"""Three of HELM Lite's that need no log probabilities, so a chat endpoint answers them."""

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_VALUE = re.compile(r"(?:(?![,=\"\\])[!-~])+")
"""Printable ASCII that neither HELM's entries nor a quoted text of HOCON gives a meaning."""


def run_entries(scenarios: Sequence[str], model: str) -> str:
    """Return ``run_entries.conf``, HOCON: one entry of priority 1 for each scenario, in the order given.

    Raises:
        ConfigError: a scenario is malformed, names a model itself, or is given twice.
    """
    lines = []
    for scenario in _checked(scenarios):
        description = f"{scenario}{',' if ':' in scenario else ':'}model={model}"
        lines.append(f"  {{description: {json.dumps(description, ensure_ascii=False)}, priority: 1}}\n")
    return f"entries: [\n{''.join(lines)}]\n"


def _checked(scenarios: Sequence[str]) -> Sequence[str]:
    for scenario in scenarios:
        name, colon, rest = scenario.partition(":")
        if _NAME.fullmatch(name) is None:
            raise _malformed(scenario, "this is no name of a scenario")
        keys = [_key(scenario, argument) for argument in rest.split(",")] if colon else []
        twice = next((key for key in keys if keys.count(key) > 1), None)
        if twice is not None:
            raise _malformed(scenario, f"key {twice} is given twice")
        if "model" in keys:
            raise _malformed(scenario, "the version that is exported is the model", "leave model= out")
        if scenarios.count(scenario) > 1:
            raise _malformed(scenario, "this scenario is given twice", "give it once")
    return scenarios


def _key(scenario: str, argument: str) -> str:
    key, equals, value = argument.partition("=")
    if _NAME.fullmatch(key) is None or not equals or _VALUE.fullmatch(value) is None:
        raise _malformed(scenario, f"{argument!r} is not key=value")
    return key


def _malformed(scenario: str, message: str, fix: str = "write it as mmlu:subject=anatomy") -> ConfigError:
    return ConfigError(message, where=f"--scenario {scenario}", fix=fix)
