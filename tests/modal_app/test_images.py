"""Images: what Modal is asked to build for each role, and which files it lays into containers."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.environments import environment_file
from tests.modal_plane.cloud import Options
from tests.modal_plane.functions import Function
from tests.modal_plane.server import Plane
from tests.test_house import HEAVY

pytestmark = pytest.mark.slow

PROJECT = Path(__file__).resolve().parents[2]
ROLES = ("main", "train", "serve-vllm", "optimize-llmcompressor", "optimize-legacy", "service")

APP = f"""
    import modal
    from modal_app.images import image

    app = modal.App("images", include_source=False)
    for role in {ROLES!r}:
        app.function(image=image(role), serialized=True, name=role)(lambda: None)
    app.deploy()
"""


@pytest.fixture(scope="module", params=["cuda", "cpu"])
def deployed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Plane]]:
    """Return a device and a plane that knows a function in each role's image; nothing runs, so no container starts."""
    with Plane(tmp_path_factory.mktemp("plane"), Options()) as plane:
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(APP)], cwd=PROJECT, capture_output=True, text=True, check=False,
            env={**plane.environment, "HONE_MODAL_DEVICE": request.param, "HONE_MODAL_SECRETS": "keys"},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        yield request.param, plane


def commands(function: Function) -> list[str]:
    assert function.image is not None
    return function.image.commands


@pytest.mark.parametrize("role", ROLES)
def test_an_image_installs_what_its_file_pins_and_nothing_else(deployed: tuple[str, Plane], role: str) -> None:
    device, plane = deployed
    file = {
        ("main", "cuda"): "main.cpu", ("train", "cpu"): "main.cpu", ("service", "cpu"): "main.cpu",
        ("optimize-llmcompressor", "cpu"): "main.cpu",
    }.get((role, device), f"{role}.{device}")  # fmt: skip
    found = plane.functions[role]
    assert found.image is not None
    assert found.image.files[f"/.0_{file}.txt"] == environment_file(*file.split(".")).read_bytes()
    installs = [line for line in commands(found) if "uv pip install" in line]
    assert all("--no-deps" in line for line in installs)
    assert installs[-1].endswith(f"--requirements /.uv/0/{file}.txt")
    index = "--index-url https://download.pytorch.org/whl/cpu"
    on_cpu = [line for line in installs[:-1] if index in line and line.endswith(" torch==2.13.0")]
    assert len(on_cpu) == len(installs) - 1 == (1 if file.endswith(".cpu") else 0)


@pytest.mark.parametrize("role", ROLES)
def test_the_base_is_debians_python_with_a_compiler(deployed: tuple[str, Plane], role: str) -> None:
    lines = commands(deployed[1].functions[role])
    assert lines[0].startswith("FROM python:3.11") and "-slim-" in lines[0]
    assert any(line.startswith("RUN apt-get install") and " gcc " in line for line in lines)  # what Triton calls
    with_numa = role == "serve-vllm" and deployed[0] == "cpu"
    assert ("RUN apt-get install -y libnuma1" in lines) == with_numa


@pytest.mark.parametrize("role", ROLES)
def test_variables_come_after_packages_and_source_comes_last(deployed: tuple[str, Plane], role: str) -> None:
    """A changed setting or line of hone builds no package again: source is laid in when a container starts."""
    lines = commands(deployed[1].functions[role])
    kinds = [line.split()[0] for line in lines]
    assert "ENV" in kinds
    assert "RUN" not in kinds[kinds.index("ENV") :]
    assert "COPY" not in kinds[kinds.index("ENV") :]
    assert not any("/root/pipeline" in line for line in lines)


def test_containers_are_told_the_settings_and_where_caches_are(deployed: tuple[str, Plane]) -> None:
    device, plane = deployed
    for role in ROLES:
        found = plane.functions[role].image
        assert found is not None
        assert found.env["HONE_MODAL_DEVICE"] == device
        assert found.env["HONE_MODAL_SECRETS"] == "keys"
        assert found.env["HF_HUB_CACHE"] == "/models/hub"
        assert "HF_HOME" not in found.env  # a token that a library keeps stays off the Volume
        assert found.env["TQDM_DISABLE"] == "1"
        assert ("VLLM_CACHE_ROOT" in found.env) == (role == "serve-vllm")
        assert ("VLLM_USE_FLASHINFER_SAMPLER" in found.env) == (role == "serve-vllm" and device == "cuda")


@pytest.mark.parametrize("role", ROLES)
def test_every_file_of_the_three_packages_is_laid_in_and_nothing_else(deployed: tuple[str, Plane], role: str) -> None:
    files = set(deployed[1].functions[role].files)
    wanted = {
        f"/root/{path.relative_to(PROJECT).as_posix()}"
        for package in ("schemas", "pipeline", "modal_app")
        for path in (PROJECT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert files == wanted
    assert {".py", ".txt", ".html", ".css", ".jinja", ".json", ".safetensors"} <= {Path(path).suffix for path in files}
    assert "/root/pipeline/environments/main.cpu.txt" in files


def test_roles_that_share_an_environment_share_an_image(deployed: tuple[str, Plane]) -> None:
    device, plane = deployed
    images = {role: plane.functions[role].definition.image_id for role in ROLES}
    assert len(set(images.values())) == (6 if device == "cuda" else 3)
    assert (images["train"] == images["main"]) == (device == "cpu")


def test_describing_images_needs_no_network_and_no_framework() -> None:
    """No server listens where Modal's client is told to look; HEAVY is what the command's path may not import."""
    code = (
        "import json, sys\nfrom modal_app.images import image\n"
        f"assert all(image(role) is image(role) for role in {ROLES!r})\n"
        f"print(json.dumps(sorted(set(sys.modules) & set({HEAVY!r}))))"
    )
    environment = {"MODAL_SERVER_URL": "http://127.0.0.1:9", "PATH": "", "HOME": "/nowhere"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, env=environment, capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == []


def test_an_unknown_role_is_named() -> None:
    from modal_app.images import image
    from pipeline.core.errors import EnvironmentMissing

    with pytest.raises(EnvironmentMissing, match="no environment of this name"):
        image("serve-tgi")
