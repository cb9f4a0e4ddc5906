"""What a container sees: the machine's system folders, its interpreter, what the app ships, its Volumes - no more.

/root, /tmp and every other folder are its own, so code that was not shipped is not found, and nothing it writes
outside its Volumes reaches anyone. The network is the machine's.
"""

from __future__ import annotations

import functools
import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from modal_proto import api_pb2

from .images import lay_out
from .layout import app_layout

if TYPE_CHECKING:
    from .cloud import Cloud
    from .containers import Container

SOCKET_FOLDER = "/__modal/plane"
VOLUMES = "/__modal/volumes"
DEPENDENCIES = "/__modal/deps"
_SYSTEM = ("usr", "etc", "bin", "sbin", "lib", "lib32", "lib64", "libx32")
_LIVE = ("dev", "sys")
_OWN = ("root", "tmp", "var/tmp", "home", "mnt", "opt", "run", "proc")
_ENTRYPOINT = "modal._container_entrypoint"
_BORROWED = (
    "import sys, runpy; sys.path.append(sys.argv.pop(1));"
    f" runpy.run_module({_ENTRYPOINT!r}, run_name='__main__', alter_sys=True)"
)
"""For an interpreter without Modal's client: the client comes last on the path, so the image's packages win."""


@functools.cache
def _interpreter(python: str) -> tuple[list[str], bool]:
    """Return the folders that an interpreter lives in, and whether it can import Modal's client."""
    code = (
        "import importlib.util, json, sys;"
        "print(json.dumps([[sys.prefix, sys.base_prefix], importlib.util.find_spec('modal') is not None]))"
    )
    answer = subprocess.run([python, "-I", "-c", code], capture_output=True, text=True, check=True).stdout
    folders, has_client = json.loads(answer)
    return sorted(set(folders)), has_client


def _system(root: Path) -> list[tuple[str, str, bool]]:
    """Lay out the machine's own folders, links as links, and return what is to be bound."""
    binds = []
    for name in (*_SYSTEM, *_LIVE):
        path = Path("/", name)
        if path.is_symlink():
            (root / name).symlink_to(path.readlink())
        elif path.is_dir():
            (root / name).mkdir()
            binds.append((str(path), str(path), name in _SYSTEM))
    for name in _OWN:
        (root / name).mkdir(parents=True, exist_ok=True)
    (root / "tmp").chmod(0o1777)
    return binds


def _inside(root: Path, path: str, what: str) -> Path:
    """Return where an absolute path of the container is here; refuse the system folders, which are the machine's."""
    first = Path(path).parts[1] if len(Path(path).parts) > 1 else ""
    if first in (*_SYSTEM, *_LIVE, "proc", ""):
        raise ValueError(f"the loopback control plane cannot put {what} at {path}: /{first} is the machine's own")
    target = root / path.lstrip("/")
    target.parent.mkdir(parents=True, exist_ok=True)
    return target


def prepare(cloud: Cloud, container: Container, sockets: Path) -> Path:
    """Build the container's root folder and write the specification that isolate.py runs.

    Raises:
        ValueError: A Volume or a file would lie in a folder that the container shares with the machine.
    """
    root = container.folder / "root"
    root.mkdir()
    definition, image = container.function.definition, container.function.image
    binds = _system(root)
    lay_out(cloud, image, list(definition.mount_ids), root)
    python = cloud.options.interpreter(image)
    folders, has_client = _interpreter(python)
    for folder in [*folders, *map(str, cloud.options.visible)]:
        if not any(Path(folder).is_relative_to(bound) for _, bound, _ in binds):
            _inside(root, folder, "an interpreter").mkdir(parents=True, exist_ok=True)
            binds.append((folder, folder, True))
    for source, target, read_only in [(str(sockets), SOCKET_FOLDER, False), *_volumes(container, root)]:
        (root / target.lstrip("/")).mkdir(parents=True, exist_ok=True)
        binds.append((source, target, read_only))
    command = [python, "-m", _ENTRYPOINT]
    if not has_client:
        (root / DEPENDENCIES.lstrip("/")).mkdir(parents=True)
        binds.append((str(cloud.client_packages()), DEPENDENCIES, True))
        command = [python, "-c", _BORROWED, DEPENDENCIES]
    if container.function.nodes > 1:
        hosts = container.folder / "hosts"
        hosts.write_text("127.0.0.1 localhost\n::1 localhost i6pn.modal.local\n", encoding="ascii")
        binds.append((str(hosts), "/etc/hosts", True))
    arguments = root / "__modal" / "arguments"
    arguments.write_bytes(_arguments(container).SerializeToString())
    workdir = image.workdir if image else "/root"
    _inside(root, workdir, "the working directory").mkdir(exist_ok=True)
    spec = {
        "root": str(root), "binds": binds, "cwd": workdir, "argv": command,
        "env": _environment(cloud, container, python),
    }  # fmt: skip
    path = container.folder / "spec.json"
    path.write_text(json.dumps(spec), encoding="utf-8")
    path.chmod(0o600)  # it holds the Secrets
    return path


def _volumes(container: Container, root: Path) -> list[tuple[str, str, bool]]:
    """Bind each Volume at /__modal/volumes/ID and link its mount path there, as Modal does."""
    binds = []
    for mount in container.function.definition.volume_mounts:
        source = container.snapshots[mount.volume_id].folder / mount.sub_path.lstrip("/")
        source.mkdir(parents=True, exist_ok=True)
        target = f"{VOLUMES}/{mount.volume_id}"
        binds.append((str(source), target, mount.read_only))
        link = _inside(root, mount.mount_path, "a Volume")
        if link.is_dir():
            if any(link.iterdir()):
                raise ValueError(f"the loopback control plane cannot mount a Volume at {mount.mount_path}: files of"
                                 " the app or the interpreter lie below it")  # fmt: skip
            link.rmdir()
        link.symlink_to(target)
    return binds


def _arguments(container: Container) -> api_pb2.ContainerArguments:
    function = container.function
    definition = api_pb2.Function()
    definition.CopyFrom(function.definition)
    return api_pb2.ContainerArguments(
        task_id=container.id,
        function_id=function.id,
        app_id=function.app.id,
        function_def=definition,
        serialized_params=function.parameters,
        environment_name="main",
        app_layout=app_layout(function.cloud, function.app),
    )


def _environment(cloud: Cloud, container: Container, python: str) -> dict[str, str]:
    """Return the variables: the image's, the Secrets', Modal's; none of the machine's."""
    function = container.function
    variables = {
        "PATH": f"{Path(python).parent}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
        "HOME": "/root",
        "LANG": "C.UTF-8",
        "PYTHONUNBUFFERED": "1",
        **cloud.options.variables,
        **(function.image.env if function.image else {}),
    }
    variables["PYTHONPATH"] = ":".join(filter(None, ["/root", variables.get("PYTHONPATH", "")]))
    for secret_id in function.definition.secret_ids:
        variables.update(cloud.secrets[secret_id].values)
    return variables | {
        "MODAL_IS_REMOTE": "1",
        "MODAL_SERVER_URL": container.address,
        "MODAL_CONTAINER_ARGUMENTS_PATH": "/__modal/arguments",
        "MODAL_TASK_ID": container.id,
        "MODAL_ENVIRONMENT": "main",
        "MODAL_IMAGE_ID": function.definition.image_id,
        "MODAL_CLOUD_PROVIDER": "CLOUD_PROVIDER_LOOPBACK",
        "MODAL_REGION": "loopback",
        "MODAL_CONFIG_PATH": "/__modal/no-such-file",
    }
