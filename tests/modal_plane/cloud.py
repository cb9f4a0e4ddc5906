"""Everything that the plane knows, and the options that a test sets."""

from __future__ import annotations

import asyncio
import importlib.metadata
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from .account import AccountCalls, Secret, check_token
from .apps import App, AppCalls
from .blobs import BlobCalls, ContentStore
from .calls import CallCalls, CallQueue
from .clusters import ClusterCalls, ClusterPool
from .container_calls import ContainerCalls
from .containers import Container
from .function_calls import FunctionCalls
from .functions import Function
from .ids import new_id, not_found
from .images import Image, ImageCalls, Mount
from .logs import LogCalls
from .pools import Pool
from .protocol import Journal, Service
from .state import Dict, DictCalls, Queue, QueueCalls
from .volume_calls import VolumeCalls
from .volumes import VolumeStore
from .web import WebFront

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass
class Options:
    """What a test may choose."""

    interpreter: Callable[[Image | None], str] = lambda image: sys.executable
    """From an image (None where a function has none) to the Python that runs its bodies."""
    secrets: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Named Secrets that exist from the start."""
    variables: Mapping[str, str] = field(default_factory=dict)
    """Variables of every container, below those of its image and Secrets."""
    visible: Sequence[Path] = ()
    """Folders of this machine that containers may read, at the same path."""
    max_containers: int = 4
    """Containers of one function at once, where it asks for more or does not say."""
    idle_seconds: float = 60.0
    """Longest that an idle container stays, whatever its scaledown_window."""
    dict_seconds: float = 7 * 24 * 3600.0
    """How long an unused entry of a Dict stays."""
    heartbeat_timeout: float = 60.0
    """Seconds without a heartbeat after which a client is gone."""
    commit_seconds: float | None = None
    """Commit every mounted Volume this often, as Modal does in the background; None leaves it to the code."""
    stop_grace: float = 30.0
    """Seconds from asking a container to end to SIGKILL."""
    cancel_grace: float = 10.0
    """Seconds from cancelling an input to SIGKILL of its container."""
    keep_containers: bool = False
    """Keep the folders of ended containers, to look into them."""


class Cloud:
    """The account on one machine. Used in one event loop; other threads may read it."""

    def __init__(self, root: Path, options: Options) -> None:
        self.root = root
        self.options = options
        self.http_url = ""
        self.sockets = Path(tempfile.mkdtemp(prefix="modal-plane-"))  # a socket's path has at most 107 bytes
        self.journal = Journal()
        self.content = ContentStore(root / "content")
        self.volumes = VolumeStore(root / "volumes")
        self.volume_lock = asyncio.Lock()
        self.apps: dict[str, App] = {}
        self.functions_by_id: dict[str, Function] = {}
        self.variants: dict[str, Function] = {}
        self.classes: dict[str, App] = {}
        self.images: dict[str, Image] = {}
        self.mounts: dict[str, Mount] = {}
        self.named_mounts: dict[str, Mount] = {}
        self.secrets: dict[str, Secret] = {}
        self.dicts: dict[str, Dict] = {}
        self.queues: dict[str, Queue] = {}
        self.containers: dict[str, Container] = {}
        self.pools: dict[str, Pool] = {}
        self.calls = CallQueue(self)
        self.apps_room = AppCalls(self)
        self.web = WebFront(self)
        self._rooms = [
            self.apps_room, AccountCalls(self), BlobCalls(self), CallCalls(self), ClusterCalls(self),
            ContainerCalls(self), DictCalls(self),
            FunctionCalls(self), ImageCalls(self), LogCalls(self), QueueCalls(self), VolumeCalls(self),
        ]  # fmt: skip
        for name, values in options.secrets.items():
            secret = Secret(new_id("st"), name, dict(values))
            self.secrets[secret.id] = secret

    def service(self, container: Container | None) -> Service:
        """Return the handlers for the clients' port, or for one container's socket."""
        return Service(self._rooms, container, self.journal, check_token)

    def app(self, app_id: str) -> App:
        if app_id not in self.apps:
            raise not_found(f"No App with ID {app_id!r}")
        return self.apps[app_id]

    def deployed(self, name: str) -> App | None:
        from modal_proto import api_pb2

        live = [one for one in self.apps.values() if one.name == name and one.state == api_pb2.APP_STATE_DEPLOYED]
        return live[-1] if live else None

    def declared(self, app: App) -> Iterator[Function]:
        """Yield an app's functions without their variants."""
        return (one for one in self.functions_by_id.values() if one.app is app and one.base is None)

    def function(self, function_id: str) -> Function:
        if function_id not in self.functions_by_id:
            raise not_found(f"No Function with ID {function_id!r}")
        return self.functions_by_id[function_id]

    def pool(self, function: Function) -> Pool:
        if function.id not in self.pools:
            kind = ClusterPool if function.nodes > 1 else Pool
            self.pools[function.id] = kind(self, function)
        return self.pools[function.id]

    def start_container(self, pool: Pool) -> Container:
        container = Container(self, pool)
        self.containers[container.id] = container
        return container

    def client_packages(self) -> Path:
        """Return a folder with Modal's client and what it needs, for interpreters without it; made once."""
        folder = self.root / "client"
        if not folder.exists():
            folder.mkdir()
            for name in sorted(_requirements("modal", set())):
                for file in importlib.metadata.files(name) or []:
                    if file.parts[0] != ".." and "__pycache__" not in file.parts:
                        target = folder / file
                        target.parent.mkdir(parents=True, exist_ok=True)
                        shutil.copyfile(file.locate(), target)
        return folder


def _requirements(name: str, found: set[str]) -> set[str]:
    """Return a distribution's name and those of everything that it needs."""
    if name in found:
        return found
    try:
        needs = importlib.metadata.requires(name) or []
    except importlib.metadata.PackageNotFoundError:
        return found
    found.add(name)
    for line in needs:
        if "extra ==" not in line:
            match = re.match(r"[A-Za-z0-9._-]+", line)
            assert match is not None
            _requirements(match.group(), found)
    return found
