"""``modal deploy``: what reaches the plane, lookup by name, variants, a second version, and the end."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable

import pytest

from tests.modal_plane.conftest import Write
from tests.modal_plane.server import Plane

pytestmark = pytest.mark.modal

APP = """
    import os, modal

    app = modal.App("service")
    VERSION = 1
    image = modal.Image.from_registry("python:3.11").run_commands("echo hello").workdir("/srv")
    volume = modal.Volume.from_name("artifacts", create_if_missing=True, version=2)
    keys = modal.Secret.from_name("keys", required_keys=["TOKEN"])

    @app.function(
        image=image, gpu="A100-80GB:2", cpu=4.0, memory=32768, timeout=24 * 3600, retries=3, max_containers=1,
        scaledown_window=120, volumes={"/artifacts": volume}, secrets=[keys], schedule=modal.Cron("0 3 * * *"),
    )
    def train():
        return os.environ["TOKEN"], os.getcwd()

    @app.function(gpu=["H200", "H100"])
    def prefer():
        pass

    @app.function()
    def version(plus=0):
        return VERSION + plus

    @app.cls(enable_memory_snapshot=True)
    class Model:
        name: str = modal.parameter()

        @modal.method()
        def tell(self):
            return self.name
"""
CALLER = """
    import modal

    train = modal.Function.from_name("service", "train")
    assert train.remote() == ("open sesame", "/srv"), train.remote()
    assert modal.Cls.from_name("service", "Model")(name="small").tell.remote() == "small"
    other = train.with_options(
        gpu="L4", timeout=60, secrets=[modal.Secret.from_dict({"OTHER": "1"})],
        volumes={"/other": modal.Volume.from_name("artifacts")},
    )
    try:
        other.remote()
    except KeyError as error:
        print("without its secret:", error)
    version = modal.Function.from_name("service", "version")
    print("version", version.remote())
    for lookup in (lambda: modal.Function.from_name("service", "absent").hydrate(),
                   lambda: modal.Function.from_name("absent", "train").hydrate(),
                   lambda: modal.Cls.from_name("service", "Absent").hydrate()):
        try:
            lookup()
        except modal.exception.NotFoundError as error:
            print("not found:", error)
"""


def call(plane: Plane, path: str, fails: bool = False) -> str:
    done = subprocess.run(
        [sys.executable, path], env=plane.environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode != 0) == fails, done.stderr
    return done.stdout + done.stderr


def test_a_deployed_app_is_recorded_called_by_name_replaced_and_stopped(
    start_plane: Callable[..., Plane], write: Write
) -> None:
    plane = start_plane(secrets={"keys": {"TOKEN": "open sesame"}})
    path = write(APP)
    done = plane.modal("deploy", str(path))
    assert done.returncode == 0, done.stdout

    train = plane.functions["train"]
    assert (train.gpu, train.cpu, train.memory, train.timeout) == ("A100-80GB:2", 4.0, 32768, 86400)
    assert (train.retries, train.max_containers, train.scaledown_window) == (3, 1, 120)
    assert (train.volumes, train.secrets) == ({"/artifacts": "artifacts"}, ["keys"])
    assert train.schedule is not None and train.schedule.cron.cron_string == "0 3 * * *"
    assert train.image is not None
    assert train.image.commands[0] == "FROM python:3.11"
    assert "RUN echo hello" in train.image.commands
    assert plane.functions["prefer"].gpu == ["H200", "H100"]
    assert plane.running == []  # nothing runs before it is called

    caller = path.with_name("caller.py")
    caller.write_text("\n".join(line[4:] for line in CALLER.splitlines()))
    told = call(plane, str(caller))
    assert "without its secret: 'TOKEN'" in told
    assert "version 1" in told
    assert told.count("not found:") == 3
    variant = next(one for one in plane.variants if one.name == "train")
    assert (variant.gpu, variant.timeout, variant.memory) == ("L4", 60, 32768)
    assert (variant.volumes, variant.secrets) == ({"/other": "artifacts"}, ["{OTHER}"])

    path.write_text(path.read_text().replace("VERSION = 1", "VERSION = 2"))
    assert plane.modal("deploy", str(path)).returncode == 0
    assert "version 2" in call(plane, str(caller))
    assert [app["state"] for app in json.loads(plane.modal("app", "list", "--json").stdout)] == ["deployed"]

    assert plane.modal("app", "stop", "service", "--yes").returncode == 0
    for container in plane.running:
        plane.wait_for(_ended(container))
    assert plane.running == []
    assert "App 'service' not found" in call(plane, str(caller), fails=True)


async def _ended(container: object) -> None:
    await container.task  # type: ignore[attr-defined]


REFUSED = {
    "gpu='H101'": "unknown GPU type 'H101'",
    "gpu='H100:9'": "9 x H100 is more than one container can have",
    "timeout=24 * 3600 + 1": "`timeout` must be between 1 second and 24 hours",
    "gpu='L4', nonpreemptible=True": "`nonpreemptible` is not supported for Functions with a GPU",
    "secrets=[modal.Secret.from_name('undeclared')]": "Secret 'undeclared' not found",
    "secrets=[modal.Secret.from_name('keys', required_keys=['ABSENT'])]": "Secret 'keys' is missing key(s): ABSENT",
    "volumes={'/v': modal.Volume.from_name('undeclared')}": "Volume 'undeclared' not found",
    "schedule=modal.Cron('every day')": "does not have five fields",
    "scaledown_window=1": "`scaledown_window` must be between 2 and 3600",
    "retries=11": "retries",
}


def test_what_modal_refuses_is_refused_at_deploy(start_plane: Callable[..., Plane], write: Write) -> None:
    plane = start_plane(secrets={"keys": {"TOKEN": "open sesame"}})
    code = """
        import modal

        for number, (arguments, expected) in enumerate({cases!r}.items()):
            try:
                app = modal.App(f"refused-{{number}}")
                app.function(serialized=True, name="f", **eval(f"dict({{arguments}})"))(lambda: None)
                app.deploy()
                print("TAKEN", arguments)
            except modal.exception.Error as error:
                print("refused" if expected in str(error) else "DIFFERENTLY", arguments, error)
    """
    path = write(code.format(cases=REFUSED))
    lines = call(plane, str(path)).splitlines()
    assert [line for line in lines if not line.startswith("refused ")] == []
    assert len(lines) == len(REFUSED)
    assert all(app.version == 0 for app in plane.apps)


def test_a_wrong_token_is_refused(modal_plane: Plane, write: Write) -> None:
    done = modal_plane.modal("deploy", str(write(APP)), env={"MODAL_TOKEN_SECRET": "as-guessed"})
    assert done.returncode != 0
    assert "MODAL_TOKEN_SECRET" in done.stdout
    assert modal_plane.apps == []
