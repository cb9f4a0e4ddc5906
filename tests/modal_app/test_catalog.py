"""Every call that the catalog can ask for has a function, an image and an environment file, and none is left over."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import get_args

import pytest

import modal_app.functions
from modal_app.functions import FUNCTIONS
from pipeline.catalog import CATALOG, OPTIMIZE_LEGACY, OPTIMIZE_LLMCOMPRESSOR, SERVE_VLLM, TRAIN, StageEntry
from pipeline.environments import IN_MAIN, MAIN, environment_file, environment_for, environment_names
from schemas.base import Device, StageName
from schemas.evaluate import EvaluateConfig
from schemas.optimize import Variant
from tests.modal_app.choices import results
from tests.modal_plane.cloud import Options
from tests.modal_plane.functions import Function
from tests.modal_plane.server import Plane

PROJECT = Path(__file__).resolve().parents[2]

SERVICE = "service"
"""The webhook's environment, which no stage uses."""

Files = Mapping[Device, Iterable[str]]


def roles(entry: StageEntry) -> set[tuple[str, bool]]:
    """Return every role that a config of this stage can ask for, and whether such a call gains from a GPU."""
    return {found for _, found in results(lambda config: (entry.role(config), entry.gpu(config)), entry.config)}


def needed(entry: StageEntry, offered: Device) -> Iterator[tuple[str, str, Device]]:
    """Yield the role, environment and device of every call of this stage where ``offered`` is to be had."""
    for role, gpu in sorted(roles(entry)):
        device: Device = offered if gpu else "cpu"
        yield role, environment_for(role, device), device


def missing(entries: Iterable[StageEntry], functions: Iterable[tuple[str, str]], files: Files) -> list[str]:
    """Return a sentence for every function and environment file that a catalog entry needs and that is not there."""
    found = []
    have = set(functions)
    for entry in entries:
        for role, _ in sorted(roles(entry)):
            if (entry.name, role) not in have:
                found.append(f"stage {entry.name} in role {role} has no function in modal_app.functions.FUNCTIONS")
        for offered in get_args(Device):
            for role, environment, device in needed(entry, offered):
                if environment not in files[device]:
                    what = f"pipeline/environments/{environment}.{device}.txt"
                    found.append(f"stage {entry.name} in role {role} has no environment file {what}")
    return found


def left_over(entries: Iterable[StageEntry], functions: Iterable[tuple[str, str]], files: Files) -> list[str]:
    """Return a sentence for every function and environment file that no catalog entry can ask for."""
    stages = {entry.name: entry for entry in entries}
    asked = {(name, role) for name, entry in stages.items() for role, _ in roles(entry)}
    found = [f"function of stage {stage} in role {role} is asked for by none" for stage, role in set(functions) - asked]
    used = {
        (environment, device)
        for entry in stages.values()
        for offered in get_args(Device)
        for _, environment, device in needed(entry, offered)
    }
    for device, names in files.items():
        found += [
            f"pipeline/environments/{name}.{device}.txt is used by no stage"
            for name in names
            if (name, device) not in used and name != SERVICE
        ]
    return sorted(found)


FILES: Files = {device: environment_names(device) for device in get_args(Device)}


def test_every_catalog_entry_has_its_functions_and_environment_files() -> None:
    assert missing(CATALOG.values(), FUNCTIONS, FILES) == []


def test_every_function_and_environment_file_is_asked_for_by_a_catalog_entry() -> None:
    assert left_over(CATALOG.values(), FUNCTIONS, FILES) == []


def test_roles_are_found_by_trying_every_value_that_decides_about_them() -> None:
    """By hand: evaluate generates itself for a base and a model, by transformers or vLLM; the rest needs neither."""
    assert roles(CATALOG["evaluate"]) == {(MAIN, False), (TRAIN, True), (SERVE_VLLM, True)}
    assert roles(CATALOG["optimize"]) == {(MAIN, False), (OPTIMIZE_LLMCOMPRESSOR, True), (OPTIMIZE_LEGACY, True)}
    assert roles(CATALOG["serve"]) == {(SERVE_VLLM, True), (TRAIN, True)}
    assert roles(CATALOG["register"]) == {(MAIN, False)}
    read = {path for choices, _ in results(CATALOG["evaluate"].role, EvaluateConfig) for path in choices}
    assert read == {"harness", "subject", "generation", "generation.backend"}


def test_a_role_that_hangs_on_free_text_is_refused_by_name() -> None:
    with pytest.raises(TypeError, match=r"Variant\.name is a <class 'str'>, whose values cannot all be tried"):
        list(results(lambda variant: variant.name, Variant))


@pytest.mark.parametrize("lost", sorted(FUNCTIONS))
def test_a_missing_function_is_named(lost: tuple[str, str]) -> None:
    assert missing(CATALOG.values(), set(FUNCTIONS) - {lost}, FILES) == [
        f"stage {lost[0]} in role {lost[1]} has no function in modal_app.functions.FUNCTIONS"
    ]


def test_a_stage_with_a_new_role_is_named_with_all_that_it_lacks() -> None:
    """A role that is not among those that the main environment holds on a CPU needs a file for each device."""
    entry = dataclasses.replace(CATALOG["train"], role=lambda _: "train-jax")
    assert missing([entry], FUNCTIONS, FILES) == [
        "stage train in role train-jax has no function in modal_app.functions.FUNCTIONS",
        "stage train in role train-jax has no environment file pipeline/environments/train-jax.cpu.txt",
        "stage train in role train-jax has no environment file pipeline/environments/train-jax.cuda.txt",
    ]


def test_what_a_removed_stage_leaves_behind_is_named() -> None:
    entries = [entry for entry in CATALOG.values() if entry.name != "optimize"]
    assert left_over(entries, FUNCTIONS, FILES) == [
        "function of stage optimize in role main is asked for by none",
        "function of stage optimize in role optimize-legacy is asked for by none",
        "function of stage optimize in role optimize-llmcompressor is asked for by none",
        "pipeline/environments/optimize-legacy.cpu.txt is used by no stage",
        "pipeline/environments/optimize-legacy.cuda.txt is used by no stage",
        "pipeline/environments/optimize-llmcompressor.cuda.txt is used by no stage",
    ]


def test_roles_that_share_the_main_environment_have_no_file_of_their_own_for_a_cpu() -> None:
    assert not IN_MAIN & set(environment_names("cpu"))


@pytest.fixture(scope="module", params=get_args(Device))
def deployed(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Device, Plane]]:
    """Return a device and a plane that the stages are deployed on; no container starts."""
    with Plane(tmp_path_factory.mktemp("plane"), Options()) as plane:
        done = subprocess.run(
            [sys.executable, "-m", "modal", "deploy", "-m", "modal_app.controller::stages"], cwd=PROJECT, check=False,
            capture_output=True, text=True, env={**plane.environment, "HONE_MODAL_DEVICE": request.param},
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        yield request.param, plane


def environments_of(function: Function) -> list[str]:
    """Return the environment files that a function's image installs."""
    assert function.image is not None
    sent = set(function.image.files.values())
    names = [(name, device) for device in get_args(Device) for name in FILES[device]]
    return [f"{name}.{device}" for name, device in names if environment_file(name, device).read_bytes() in sent]


def expected(role: str, device: Device) -> str:
    """Return the environment file of a role's image; one that has none for GPUs needs none."""
    name = environment_for(role, device)
    return f"{name}.{device if name in FILES[device] else 'cpu'}"


@pytest.mark.slow
@pytest.mark.parametrize("key", sorted(FUNCTIONS))
def test_every_function_reaches_modal_in_the_image_of_its_role(
    deployed: tuple[Device, Plane], key: tuple[StageName, str]
) -> None:
    device, plane = deployed
    name = next(name for name, function in vars(modal_app.functions).items() if function is FUNCTIONS[key])
    assert environments_of(plane.functions[name]) == [expected(key[1], device)], key


@pytest.mark.slow
def test_no_image_is_described_that_no_role_asks_for(deployed: tuple[Device, Plane]) -> None:
    device, plane = deployed
    wanted = {expected(role, device) for _, role in FUNCTIONS} | {expected(SERVICE, device)}
    for name, function in plane.functions.items():
        assert set(environments_of(function)) <= wanted, f"the image of {name} is that of no stage"
    assert {name for function in plane.functions.values() for name in environments_of(function)} >= {
        expected(role, device) for _, role in FUNCTIONS
    }
