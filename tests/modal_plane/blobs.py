"""Content by digest, blobs by id, and the HTTP addresses through which the client moves both."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from aiohttp import web
from modal_proto import api_pb2

from .ids import new_id, not_found

if TYPE_CHECKING:
    from .cloud import Cloud
    from .containers import Container

BLOCK = 8 * 1024 * 1024
"""Bytes in a block of a Volume (modal/_utils/blob_utils.py)."""


class ContentStore:
    """Files by the SHA-256 of their content, and blobs, which are such files under an id."""

    def __init__(self, root: Path) -> None:
        self._root = root
        root.mkdir(parents=True)
        self._blobs: dict[str, str] = {}

    def put(self, data: bytes) -> str:
        digest = hashlib.sha256(data).hexdigest()
        path = self._root / digest
        if not path.exists():
            part = path.with_suffix(f".{os.urandom(4).hex()}")
            part.write_bytes(data)
            part.replace(path)
        return digest

    def has(self, digest: str) -> bool:
        return (self._root / digest).exists()

    def path(self, digest: str) -> Path:
        path = self._root / digest
        if not path.exists():
            raise not_found(f"No content {digest}")
        return path

    def new_blob(self) -> str:
        blob_id = new_id("bl")
        self._blobs[blob_id] = ""
        return blob_id

    def fill_blob(self, blob_id: str, data: bytes) -> None:
        if blob_id not in self._blobs:
            raise not_found(f"No blob {blob_id}")
        self._blobs[blob_id] = self.put(data)

    def blob(self, blob_id: str) -> Path:
        digest = self._blobs.get(blob_id)
        if not digest:
            raise not_found(f"No blob {blob_id}")
        return self.path(digest)


class BlobCalls:
    """BlobCreate and BlobGet: where to PUT and where to GET."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    async def BlobCreate(
        self, request: api_pb2.BlobCreateRequest, container: Container | None
    ) -> api_pb2.BlobCreateResponse:
        blob_id = self._cloud.content.new_blob()
        url = f"{self._cloud.http_url}/blob/{blob_id}"
        urls = api_pb2.UploadUrlList(items=[url])
        return api_pb2.BlobCreateResponse(blob_id=blob_id, blob_ids=[blob_id], upload_url=url, upload_urls=urls)

    async def BlobGet(self, request: api_pb2.BlobGetRequest, container: Container | None) -> api_pb2.BlobGetResponse:
        self._cloud.content.blob(request.blob_id)
        return api_pb2.BlobGetResponse(download_url=f"{self._cloud.http_url}/blob/{request.blob_id}")


class ContentServer:
    """``/blob/ID`` takes and gives blobs; ``/block/SHA256`` takes, ``/object/NAME/START/LENGTH`` gives them."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    def routes(self) -> Sequence[web.RouteDef]:
        return [
            web.put("/blob/{id}", self._put_blob),
            web.get("/blob/{id}", self._get_blob),
            web.put("/block/{digest}", self._put_block),
            web.get("/object/{name}/{start}/{length}", self._get_object),
        ]

    async def _put_blob(self, request: web.Request) -> web.Response:
        data = await request.read()
        self._cloud.content.fill_blob(request.match_info["id"], data)
        return web.Response(headers={"ETag": f'"{hashlib.md5(data, usedforsecurity=False).hexdigest()}"'})

    async def _get_blob(self, request: web.Request) -> web.Response:
        return web.Response(body=self._cloud.content.blob(request.match_info["id"]).read_bytes())

    async def _put_block(self, request: web.Request) -> web.Response:
        digest = self._cloud.content.put(await request.read())
        if digest != request.match_info["digest"]:
            return web.Response(status=400, text="the block does not have the digest that was announced")
        return web.Response(text=digest)

    async def _get_object(self, request: web.Request) -> web.Response:
        start, length = int(request.match_info["start"]), int(request.match_info["length"])
        with (self._cloud.volumes.objects / Path(request.match_info["name"]).name).open("rb") as file:
            file.seek(start)
            return web.Response(body=file.read(length))
