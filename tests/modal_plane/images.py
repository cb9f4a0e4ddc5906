"""Images and mounts as they were described: nothing is built; what would be built is recorded."""

from __future__ import annotations

import hashlib
import shlex
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from google.protobuf.timestamp_pb2 import Timestamp
from modal_proto import api_pb2

from .ids import invalid, new_id, not_found

if TYPE_CHECKING:
    from .cloud import Cloud
    from .containers import Container


@dataclass
class Image:
    """One image: its own layer, and through ``base`` the layers below it."""

    id: str
    layer: api_pb2.Image
    builder_version: str
    base: Image | None
    context: Mount | None = None

    @property
    def layers(self) -> list[Image]:
        """The layers, lowest first."""
        return [*(self.base.layers if self.base else []), self]

    @property
    def commands(self) -> list[str]:
        """Every Dockerfile line, from the lowest layer up."""
        return [line for image in self.layers for line in image.layer.dockerfile_commands]

    @property
    def files(self) -> dict[str, bytes]:
        """What was sent beside the Dockerfile lines (requirement files ...), by name."""
        return {file.filename: file.data for image in self.layers for file in image.layer.context_files}

    @property
    def env(self) -> dict[str, str]:
        """What its ENV lines set."""
        found = {}
        for line in self.commands:
            if line.upper().startswith("ENV "):
                for pair in shlex.split(line[4:]):
                    name, _, value = pair.partition("=")
                    found[name] = value
        return found

    @property
    def workdir(self) -> str:
        lines = [line.split(None, 1)[1] for line in self.commands if line.upper().startswith("WORKDIR ")]
        return lines[-1] if lines else "/root"


@dataclass
class Mount:
    """Files that are laid into a container: path -> (digest, mode)."""

    id: str
    files: dict[str, tuple[str, int]] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        lines = (f"{path} {content} {mode}" for path, (content, mode) in sorted(self.files.items()))
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _now() -> Timestamp:
    return Timestamp(seconds=int(time.time()))


class ImageCalls:
    """Images are ready at once; mounts take the files that the client has and the plane lacks."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._by_request: dict[bytes, str] = {}

    async def ImageGetOrCreate(
        self, request: api_pb2.ImageGetOrCreateRequest, container: Container | None
    ) -> api_pb2.ImageGetOrCreateResponse:
        key = request.image.SerializeToString(deterministic=True)
        if key not in self._by_request:
            bases = [base.image_id for base in request.image.base_images]
            if unknown := [image_id for image_id in bases if image_id not in self._cloud.images]:
                raise not_found(f"No Image with ID {unknown[0]!r}")
            image = Image(
                new_id("im"),
                request.image,
                request.builder_version,
                self._cloud.images[bases[0]] if bases else None,
                self._cloud.mounts.get(request.image.context_mount_id),
            )
            self._cloud.images[image.id] = image
            self._by_request[key] = image.id
        return api_pb2.ImageGetOrCreateResponse(
            image_id=self._by_request[key],
            result=api_pb2.GenericResult(status=api_pb2.GenericResult.GENERIC_STATUS_SUCCESS),
            metadata=api_pb2.ImageMetadata(
                image_builder_version=request.builder_version, python_version_info="Python 3.11.7", workdir="/root"
            ),
        )

    async def MountBatchedCheckExistence(
        self, request: api_pb2.MountBatchedCheckExistenceRequest, container: Container | None
    ) -> api_pb2.MountBatchedCheckExistenceResponse:
        missing = [digest for digest in request.sha256_hex_hashes if not self._cloud.content.has(digest)]
        return api_pb2.MountBatchedCheckExistenceResponse(missing_sha256_hex_hashes=missing, checked_at=_now())

    async def MountPutFile(
        self, request: api_pb2.MountPutFileRequest, container: Container | None
    ) -> api_pb2.MountPutFileResponse:
        kind = request.WhichOneof("data_oneof")
        if kind == "data":
            self._take(request.sha256_hex, request.data)
        elif kind == "data_blob_id":
            self._take(request.sha256_hex, self._cloud.content.blob(request.data_blob_id).read_bytes())
        return api_pb2.MountPutFileResponse(exists=self._cloud.content.has(request.sha256_hex), checked_at=_now())

    def _take(self, digest: str, data: bytes) -> None:
        if self._cloud.content.put(data) != digest:
            raise invalid(f"the file does not have the digest {digest} that was announced")

    async def MountGetOrCreate(
        self, request: api_pb2.MountGetOrCreateRequest, container: Container | None
    ) -> api_pb2.MountGetOrCreateResponse:
        named = self._cloud.named_mounts.get(request.deployment_name) if request.deployment_name else None
        if named is None:
            creates = request.object_creation_type != api_pb2.OBJECT_CREATION_TYPE_UNSPECIFIED
            if not creates and request.namespace != api_pb2.DEPLOYMENT_NAMESPACE_GLOBAL:
                raise not_found(f"Mount {request.deployment_name!r} not found")
            # Modal's own mounts (its client, its Python builds) are global; here the interpreter has the client.
            named = Mount(new_id("mo"), {file.filename: (file.sha256_hex, file.mode) for file in request.files})
            self._cloud.mounts[named.id] = named
            if request.deployment_name:
                self._cloud.named_mounts[request.deployment_name] = named
        metadata = api_pb2.MountHandleMetadata(content_checksum_sha256_hex=named.digest)
        return api_pb2.MountGetOrCreateResponse(mount_id=named.id, handle_metadata=metadata)


def lay_out(cloud: Cloud, image: Image | None, mount_ids: list[str], root: Path) -> None:
    """Write the files of an image's copied folders, then those of the mounts, below ``root``."""
    layers = [layer.context for layer in image.layers if layer.context] if image else []
    for mount in [*layers, *(cloud.mounts[mount_id] for mount_id in mount_ids)]:
        for name, (digest, mode) in mount.files.items():
            target = root / name.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(cloud.content.path(digest), target)
            target.chmod(mode or 0o644)
