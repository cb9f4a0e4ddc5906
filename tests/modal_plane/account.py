"""What belongs to the account: the token, the environment, and Secrets by name."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from google.protobuf.empty_pb2 import Empty
from grpclib import GRPCError, Status
from modal_proto import api_pb2

from .ids import exists, new_id, not_found

if TYPE_CHECKING:
    from .cloud import Cloud
    from .containers import Container

TOKEN_ID, TOKEN_SECRET = "ak-loopback", "as-loopback"
BUILDER = "2025.06"


def check_token(metadata: dict[str, Any]) -> None:
    """Refuse a client that does not show the plane's token."""
    if (metadata.get("x-modal-token-id"), metadata.get("x-modal-token-secret")) != (TOKEN_ID, TOKEN_SECRET):
        raise GRPCError(Status.UNAUTHENTICATED, "Token not found: check MODAL_TOKEN_ID and MODAL_TOKEN_SECRET")


@dataclass
class Secret:
    """A Secret and its values, which no call gives back."""

    id: str
    name: str
    values: dict[str, str] = field(repr=False)
    created_at: float = field(default_factory=time.time)

    @property
    def metadata(self) -> api_pb2.SecretMetadata:
        info = api_pb2.CreationInfo(created_at=self.created_at, created_by="loopback")
        return api_pb2.SecretMetadata(
            name=self.name, creation_info=info, keys=sorted(self.values), environment_name="main"
        )


class AccountCalls:
    """The client's hello, the one environment, and Secrets."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    async def ClientHello(self, request: Empty, container: Container | None) -> api_pb2.ClientHelloResponse:
        return api_pb2.ClientHelloResponse(image_builder_version=BUILDER)

    async def WorkspaceNameLookup(
        self, request: Empty, container: Container | None
    ) -> api_pb2.WorkspaceNameLookupResponse:
        return api_pb2.WorkspaceNameLookupResponse(workspace_name="loopback", username="loopback")

    async def TokenInfoGet(
        self, request: api_pb2.TokenInfoGetRequest, container: Container | None
    ) -> api_pb2.TokenInfoGetResponse:
        return api_pb2.TokenInfoGetResponse(token_id=TOKEN_ID, workspace_name="loopback", token_name="loopback")

    async def EnvironmentGetOrCreate(
        self, request: api_pb2.EnvironmentGetOrCreateRequest, container: Container | None
    ) -> api_pb2.EnvironmentGetOrCreateResponse:
        if request.deployment_name not in ("", "main"):
            raise not_found(f"Environment {request.deployment_name!r} not found")
        settings = api_pb2.EnvironmentSettings(image_builder_version=BUILDER, webhook_suffix="")
        metadata = api_pb2.EnvironmentMetadata(name="main", settings=settings)
        return api_pb2.EnvironmentGetOrCreateResponse(environment_id="en-loopback", metadata=metadata)

    async def EnvironmentList(self, request: Empty, container: Container | None) -> api_pb2.EnvironmentListResponse:
        item = api_pb2.EnvironmentListItem(name="main", default=True, image_builder_version=BUILDER)
        return api_pb2.EnvironmentListResponse(items=[item])

    def _named(self, name: str) -> Secret | None:
        return next((one for one in self._cloud.secrets.values() if name and one.name == name), None)

    async def SecretGetOrCreate(
        self, request: api_pb2.SecretGetOrCreateRequest, container: Container | None
    ) -> api_pb2.SecretGetOrCreateResponse:
        kind, name = request.object_creation_type, request.deployment_name
        secret = self._named(name)
        if kind == api_pb2.OBJECT_CREATION_TYPE_UNSPECIFIED:
            if secret is None:
                raise not_found(f"Secret {name!r} not found in environment 'main'")
            if missing := sorted(set(request.required_keys) - secret.values.keys()):
                raise not_found(f"Secret {name!r} is missing key(s): {', '.join(missing)}")
        elif secret and kind == api_pb2.OBJECT_CREATION_TYPE_CREATE_FAIL_IF_EXISTS:
            raise exists(f"Secret {name!r} already exists")
        elif secret is None or kind == api_pb2.OBJECT_CREATION_TYPE_CREATE_OVERWRITE_IF_EXISTS:
            secret = secret or Secret(new_id("st"), name, {})
            secret.values = dict(request.env_dict)
            self._cloud.secrets[secret.id] = secret
        assert secret is not None
        return api_pb2.SecretGetOrCreateResponse(secret_id=secret.id, metadata=secret.metadata)

    def _secret(self, secret_id: str) -> Secret:
        if secret_id not in self._cloud.secrets:
            raise not_found(f"No Secret with ID {secret_id!r}")
        return self._cloud.secrets[secret_id]

    async def SecretGetInfo(
        self, request: api_pb2.SecretGetInfoRequest, container: Container | None
    ) -> api_pb2.SecretGetInfoResponse:
        return api_pb2.SecretGetInfoResponse(metadata=self._secret(request.secret_id).metadata)

    async def SecretUpdate(self, request: api_pb2.SecretUpdateRequest, container: Container | None) -> Empty:
        secret = self._secret(request.secret_id)
        secret.values.update({update.key: update.value for update in request.updates})
        return Empty()

    async def SecretDelete(self, request: api_pb2.SecretDeleteRequest, container: Container | None) -> Empty:
        del self._cloud.secrets[self._secret(request.secret_id).id]
        return Empty()

    async def SecretList(
        self, request: api_pb2.SecretListRequest, container: Container | None
    ) -> api_pb2.SecretListResponse:
        items = [
            api_pb2.SecretListItem(
                label=one.name, secret_id=one.id, created_at=one.created_at, environment_name="main",
                metadata=one.metadata,
            )
            for one in self._cloud.secrets.values()
            if one.name and one.created_at < (request.pagination.created_before or time.time())
        ]  # fmt: skip
        return api_pb2.SecretListResponse(items=items, environment_name="main")
