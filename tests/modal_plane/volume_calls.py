"""The calls on Volumes, from clients and from containers."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import itertools
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from google.protobuf.empty_pb2 import Empty
from modal_proto import api_pb2

from .blobs import BLOCK
from .ids import conflict, exists, invalid, not_found
from .volumes import Entry, Snapshot, Volume, file_type

if TYPE_CHECKING:
    from .cloud import Cloud
    from .containers import Container

_EMPTY_BLOCK = hashlib.sha256(b"").digest()


def _relative(path: str) -> str:
    """Return a path inside a Volume without the leading slash; ``""`` is its root."""
    parts = [part for part in PurePosixPath("/", path).parts[1:] if part != "."]
    if ".." in parts:
        raise invalid(f"path {path!r} leaves the Volume")
    return "/".join(parts)


class VolumeCalls:
    """Creation, listing, transfer, commit and reload, for both versions of the file system."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    def _volume(self, volume_id: str) -> Volume:
        if volume_id not in self._cloud.volumes.by_id:
            raise not_found(f"No Volume with ID {volume_id!r}")
        return self._cloud.volumes.by_id[volume_id]

    def _metadata(self, volume: Volume) -> api_pb2.VolumeMetadata:
        info = api_pb2.CreationInfo(created_at=volume.created_at, created_by="loopback")
        return api_pb2.VolumeMetadata(version=volume.version, name=volume.name, creation_info=info)  # type: ignore[arg-type]

    async def VolumeGetOrCreate(
        self, request: api_pb2.VolumeGetOrCreateRequest, container: Container | None
    ) -> api_pb2.VolumeGetOrCreateResponse:
        store, kind = self._cloud.volumes, request.object_creation_type
        volume = store.named(request.deployment_name) if request.deployment_name else None
        if kind == api_pb2.OBJECT_CREATION_TYPE_CREATE_FAIL_IF_EXISTS and volume:
            raise exists(f"Volume {request.deployment_name!r} already exists")
        if volume is None and kind == api_pb2.OBJECT_CREATION_TYPE_UNSPECIFIED:
            raise not_found(f"Volume {request.deployment_name!r} not found in environment 'main'")
        volume = volume or store.create(request.deployment_name, request.version or api_pb2.VOLUME_FS_VERSION_V1)
        metadata = self._metadata(volume)
        return api_pb2.VolumeGetOrCreateResponse(volume_id=volume.id, version=metadata.version, metadata=metadata)

    async def VolumeGetById(
        self, request: api_pb2.VolumeGetByIdRequest, container: Container | None
    ) -> api_pb2.VolumeGetByIdResponse:
        volume = self._volume(request.volume_id)
        return api_pb2.VolumeGetByIdResponse(volume_id=volume.id, metadata=self._metadata(volume))

    async def VolumeList(
        self, request: api_pb2.VolumeListRequest, container: Container | None
    ) -> api_pb2.VolumeListResponse:
        found = sorted((one for one in self._cloud.volumes.by_id.values() if one.name), key=lambda one: -one.created_at)
        before = request.pagination.created_before or time.time()
        items = [
            api_pb2.VolumeListItem(
                label=one.name, volume_id=one.id, created_at=one.created_at, metadata=self._metadata(one)
            )
            for one in found
            if one.created_at < before
        ]
        return api_pb2.VolumeListResponse(
            items=items[: request.pagination.max_objects or None], environment_name="main"
        )

    async def VolumeDelete(self, request: api_pb2.VolumeDeleteRequest, container: Container | None) -> Empty:
        del self._cloud.volumes.by_id[self._volume(request.volume_id).id]
        return Empty()

    async def VolumeRename(self, request: api_pb2.VolumeRenameRequest, container: Container | None) -> Empty:
        if self._cloud.volumes.named(request.name):
            raise exists(f"Volume {request.name!r} already exists")
        self._volume(request.volume_id).name = request.name
        return Empty()

    async def VolumeHeartbeat(self, request: api_pb2.VolumeHeartbeatRequest, container: Container | None) -> Empty:
        return Empty()

    def _snapshot(self, volume_id: str, container: Container | None) -> Snapshot:
        self._volume(volume_id)
        if container is None or volume_id not in container.snapshots:
            raise conflict("this Volume is not mounted here: commit() and reload() work inside its containers")
        return container.snapshots[volume_id]

    async def VolumeCommit(
        self, request: api_pb2.VolumeCommitRequest, container: Container | None
    ) -> api_pb2.VolumeCommitResponse:
        snapshot = self._snapshot(request.volume_id, container)
        async with self._cloud.volume_lock:
            await asyncio.to_thread(snapshot.commit)
        return api_pb2.VolumeCommitResponse(skip_reload=snapshot.volume.version == api_pb2.VOLUME_FS_VERSION_V2)

    async def VolumeReload(self, request: api_pb2.VolumeReloadRequest, container: Container | None) -> Empty:
        snapshot = self._snapshot(request.volume_id, container)
        assert container is not None
        async with self._cloud.volume_lock:
            await asyncio.to_thread(snapshot.reload, container.pids())
        return Empty()

    async def _list(self, request: Any) -> AsyncIterator[list[api_pb2.FileEntry]]:
        tree, path = self._volume(request.volume_id).tree, _relative(request.path)
        if path and path not in tree:
            raise not_found(f"No such file or directory: {request.path!r}")
        if path and tree[path].kind != "dir":
            found = [path]
        else:
            under = f"{path}/" if path else ""
            found = [name for name in tree if name.startswith(under) and name != path]
            if not request.recursive:
                found = [name for name in found if "/" not in name[len(under) :]]
        yield [
            api_pb2.FileEntry(path=name, type=file_type(tree[name]), mtime=int(tree[name].mtime), size=tree[name].size)  # type: ignore[arg-type]
            for name in sorted(found)
        ]

    async def VolumeListFiles(
        self, request: api_pb2.VolumeListFilesRequest, container: Container | None
    ) -> AsyncIterator[api_pb2.VolumeListFilesResponse]:
        async for entries in self._list(request):
            yield api_pb2.VolumeListFilesResponse(entries=entries)

    async def VolumeListFiles2(
        self, request: api_pb2.VolumeListFiles2Request, container: Container | None
    ) -> AsyncIterator[api_pb2.VolumeListFiles2Response]:
        async for entries in self._list(request):
            yield api_pb2.VolumeListFiles2Response(entries=entries)

    async def VolumeGetFile2(
        self, request: api_pb2.VolumeGetFile2Request, container: Container | None
    ) -> api_pb2.VolumeGetFile2Response:
        entry = self._volume(request.volume_id).tree.get(_relative(request.path))
        if entry is None or entry.content is None:
            raise not_found(f"No such file: {request.path!r}")
        start = min(request.start, entry.size)
        end = min(start + request.len, entry.size) if request.len else entry.size
        edges = sorted({start, end, *range(start - start % BLOCK + BLOCK, end, BLOCK)})
        urls = [
            f"{self._cloud.http_url}/object/{entry.content.name}/{low}/{high - low}"
            for low, high in itertools.pairwise(edges)
        ]
        return api_pb2.VolumeGetFile2Response(get_urls=urls, size=entry.size, start=start, len=end - start)

    def _room_for(self, volume: Volume, path: str, overwrite: bool) -> None:
        there = volume.tree.get(path)
        if there is not None and (there.kind == "dir" or not overwrite):
            raise exists(f"{path} already exists in the Volume")

    async def VolumePutFiles(self, request: api_pb2.VolumePutFilesRequest, container: Container | None) -> Empty:
        volume = self._volume(request.volume_id)
        paths = [_relative(file.filename) for file in request.files]
        for path in paths:
            self._room_for(volume, path, not request.disallow_overwrite_existing_files)
        for path, file in zip(paths, request.files, strict=True):
            entry = self._cloud.volumes.keep(self._cloud.content.path(file.sha256_hex))
            volume.place(path, dataclasses.replace(entry, mode=file.mode or 0o644, mtime=time.time()))
        volume.commits += 1
        return Empty()

    async def VolumePutFiles2(
        self, request: api_pb2.VolumePutFiles2Request, container: Container | None
    ) -> api_pb2.VolumePutFiles2Response:
        volume, content = self._volume(request.volume_id), self._cloud.content
        missing = [
            api_pb2.VolumePutFiles2Response.MissingBlock(
                file_index=index, block_index=number, put_url=f"{self._cloud.http_url}/block/{digest.hex()}"
            )
            for index, file in enumerate(request.files)
            for number, digest in enumerate(block.contents_sha256 for block in file.blocks)
            if digest != _EMPTY_BLOCK and not content.has(digest.hex())
        ]
        if missing:
            return api_pb2.VolumePutFiles2Response(missing_blocks=missing)
        for file in request.files:
            self._room_for(volume, _relative(file.path), not request.disallow_overwrite_existing_files)
        for file in request.files:
            volume.place(_relative(file.path), self._assembled(file))
        volume.commits += 1
        return api_pb2.VolumePutFiles2Response()

    def _assembled(self, file: api_pb2.VolumePutFiles2Request.File) -> Entry:
        """Return the entry of a file whose blocks are all there; a block's trailing zeros are not sent."""
        target = self._cloud.volumes.new_object()
        with target.open("wb") as out:
            for number, block in enumerate(file.blocks):
                if block.contents_sha256 != _EMPTY_BLOCK:
                    out.seek(number * BLOCK)
                    out.write(self._cloud.content.path(block.contents_sha256.hex()).read_bytes())
            out.truncate(file.size)
        return Entry("file", file.mode or 0o644, time.time(), file.size, target)

    async def _remove(self, volume_id: str, path: str, recursive: bool) -> Empty:
        volume, name = self._volume(volume_id), _relative(path)
        if name not in volume.tree:
            raise not_found(f"No such file or directory: {path!r}")
        if volume.tree[name].kind == "dir" and not recursive:
            raise invalid(f"{path!r} is a directory: remove it recursively")
        volume.remove(name)
        volume.commits += 1
        return Empty()

    async def VolumeRemoveFile(self, request: api_pb2.VolumeRemoveFileRequest, container: Container | None) -> Empty:
        return await self._remove(request.volume_id, request.path, request.recursive)

    async def VolumeRemoveFile2(self, request: api_pb2.VolumeRemoveFile2Request, container: Container | None) -> Empty:
        return await self._remove(request.volume_id, request.path, request.recursive)

    def _copy(self, volume_id: str, sources: Sequence[str], target: str) -> Empty:
        volume, into = self._volume(volume_id), _relative(target)
        for source in map(_relative, sources):
            if source not in volume.tree:
                raise not_found(f"No such file or directory: {source!r}")
            inside = not into or (into in volume.tree and volume.tree[into].kind == "dir")
            base = f"{into}/{PurePosixPath(source).name}".lstrip("/") if inside else into
            for name in [name for name in volume.tree if name == source or name.startswith(source + "/")]:
                volume.place(base + name[len(source) :], volume.tree[name])
        volume.commits += 1
        return Empty()

    async def VolumeCopyFiles(self, request: api_pb2.VolumeCopyFilesRequest, container: Container | None) -> Empty:
        return self._copy(request.volume_id, request.src_paths, request.dst_path)

    async def VolumeCopyFiles2(self, request: api_pb2.VolumeCopyFiles2Request, container: Container | None) -> Empty:
        return self._copy(request.volume_id, request.src_paths, request.dst_path)
