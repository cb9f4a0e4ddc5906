"""Functions, classes and servers as they were declared, and the facts about them that tests assert on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from modal_proto import api_pb2

if TYPE_CHECKING:
    from .apps import App
    from .cloud import Cloud
    from .images import Image

_FUNCTION_FIELDS = api_pb2.Function.DESCRIPTOR.fields_by_name


@dataclass
class Function:
    """One Function, class service or server; also a variant of one, made by parameters or ``with_options``."""

    id: str
    name: str
    app: App
    cloud: Cloud = field(repr=False)
    definition: api_pb2.Function = field(default_factory=api_pb2.Function, repr=False)
    definitions: list[api_pb2.Function] = field(default_factory=list, repr=False)
    base: Function | None = field(default=None, repr=False)
    parameters: bytes = b""
    urls: dict[str, str] = field(default_factory=dict)
    generation: int = 0

    def declare(self, definitions: list[api_pb2.Function]) -> None:
        """Take a definition; containers of the one before end when they are idle."""
        self.definitions, self.definition = definitions, definitions[0]
        self.generation += 1

    @property
    def gpu(self) -> str | list[str] | None:
        """As it was asked for: ``"H100"``, ``"A100-80GB:2"``, a list in order of preference, or None."""
        configs = [one.resources.gpu_config for one in self.definitions]
        gpus = [gpu.gpu_type + (f":{gpu.count}" if gpu.count > 1 else "") for gpu in configs if gpu.count]
        return gpus if len(gpus) > 1 else gpus[0] if gpus else None

    @property
    def memory(self) -> int:
        """MiB, 0 where not asked for."""
        return self.definition.resources.memory_mb

    @property
    def cpu(self) -> float:
        """Cores, 0.0 where not asked for."""
        return self.definition.resources.milli_cpu / 1000

    @property
    def timeout(self) -> int:
        """Seconds per attempt."""
        return self.definition.timeout_secs

    @property
    def startup_timeout(self) -> int:
        """Seconds until a container must be ready."""
        http = self.definition.http_config.startup_timeout if self.definition.is_server else 0
        return http or self.definition.startup_timeout_secs or self.definition.timeout_secs

    @property
    def retries(self) -> int:
        return self.definition.retry_policy.retries

    @property
    def volumes(self) -> dict[str, str]:
        """Mount path -> name of the Volume."""
        by_id = self.cloud.volumes.by_id
        return {mount.mount_path: by_id[mount.volume_id].name for mount in self.definition.volume_mounts}

    @property
    def secrets(self) -> list[str]:
        """Names of its Secrets; a Secret without a name is shown as its keys."""
        found = [self.cloud.secrets[secret_id] for secret_id in self.definition.secret_ids]
        return [secret.name or "{" + ", ".join(sorted(secret.values)) + "}" for secret in found]

    @property
    def image(self) -> Image | None:
        return self.cloud.images.get(self.definition.image_id)

    @property
    def files(self) -> list[str]:
        """Paths that its mounts lay into a container."""
        return sorted(name for mount_id in self.definition.mount_ids for name in self.cloud.mounts[mount_id].files)

    @property
    def schedule(self) -> api_pb2.Schedule | None:
        """Recorded, never fired."""
        return self.definition.schedule if self.definition.HasField("schedule") else None

    @property
    def min_containers(self) -> int:
        return self.definition.autoscaler_settings.min_containers

    @property
    def max_containers(self) -> int | None:
        return self.definition.autoscaler_settings.max_containers or None

    @property
    def scaledown_window(self) -> int | None:
        """Seconds."""
        return self.definition.autoscaler_settings.scaledown_window or None

    @property
    def concurrency(self) -> int:
        return self.definition.max_concurrent_inputs or 1

    @property
    def nodes(self) -> int:
        """Containers of a clustered function, else 1."""
        return self.definition._experimental_group_size or 1

    @property
    def url(self) -> str:
        """Where it answers HTTP, empty where it does not."""
        return next(iter(self.urls.values()), "")

    @property
    def webhooks(self) -> dict[str, api_pb2.WebhookConfig]:
        """Its web endpoints: method name (empty for a plain function) -> configuration."""
        found = {"": self.definition.webhook_config} if self.definition.webhook_config.type else {}
        for name, method in self.definition.method_definitions.items():
            if method.webhook_config.type:
                found[name] = method.webhook_config
        return found

    def handle(self) -> api_pb2.FunctionHandleMetadata:
        """Return what a client needs to call it."""
        one = self.definition
        metadata = api_pb2.FunctionHandleMetadata(
            function_name=self.name,
            function_type=one.function_type,
            web_url=self.urls.get("", "") if one.webhook_config.type else "",
            is_method=one.is_method,
            definition_id=f"de-{self.id[3:]}-{self.generation}",
            class_parameter_info=one.class_parameter_info,
            function_schema=one.function_schema,
            supported_input_formats=one.supported_input_formats,
            supported_output_formats=one.supported_output_formats,
            app_id=self.app.id,
        )
        if one.is_server:
            metadata._experimental_flash_urls.append(self.url)
        for name, method in one.method_definitions.items():
            metadata.method_handle_metadata[name].CopyFrom(
                api_pb2.FunctionHandleMetadata(
                    function_name=method.function_name,
                    function_type=method.function_type,
                    web_url=self.urls.get(name, ""),
                    is_method=True,
                    use_method_name=name,
                    function_schema=method.function_schema,
                    supported_input_formats=method.supported_input_formats,
                    supported_output_formats=method.supported_output_formats,
                    app_id=self.app.id,
                )
            )
        return metadata

    def data(self) -> api_pb2.FunctionData:
        """Return the definition in the form that holds one entry per GPU of a list."""
        data = api_pb2.FunctionData(web_url=self.urls.get("", ""))
        for name, descriptor in api_pb2.FunctionData.DESCRIPTOR.fields_by_name.items():
            if name in _FUNCTION_FIELDS and name != "web_url":
                _copy_field(self.definition, data, name, descriptor)
        for rank, definition in enumerate(self.definitions or [self.definition]):
            data.ranked_functions.add(rank=rank, function=definition)
        return data


def _copy_field(source: Any, target: Any, name: str, descriptor: Any) -> None:
    if descriptor.is_repeated:
        getattr(target, name).MergeFrom(getattr(source, name))
    elif descriptor.message_type is None:
        setattr(target, name, getattr(source, name))
    elif source.HasField(name):
        getattr(target, name).CopyFrom(getattr(source, name))


_SCALING = {
    "concurrency_limit": "max_containers",
    "warm_pool_size": "min_containers",
    "buffer_containers": "buffer_containers",
    "task_idle_timeout_secs": "scaledown_window",
}
"""Options -> AutoscalerSettings."""
_NUMBERS = (
    "timeout_secs", "target_concurrent_inputs", "max_concurrent_inputs", "batch_max_size", "batch_linger_ms",
)  # fmt: skip


def with_options(definition: api_pb2.Function, options: api_pb2.FunctionOptions) -> api_pb2.Function:
    """Return a definition with what ``with_options`` and its like replace; Volumes and Secrets replace all."""
    one = api_pb2.Function()
    one.CopyFrom(definition)
    given: set[Any] = {field.name for field, _ in options.ListFields()}
    if options.resources.gpu_config.count:
        one.resources.gpu_config.CopyFrom(options.resources.gpu_config)
    for name in ("memory_mb", "memory_mb_max", "milli_cpu", "milli_cpu_max"):
        if getattr(options.resources, name):
            setattr(one.resources, name, getattr(options.resources, name))
    for name in ("volume_mounts", "secret_ids"):
        if getattr(options, f"replace_{name}"):
            del getattr(one, name)[:]
        getattr(one, name).extend(getattr(options, name))
    for name in given & {"retry_policy", "scheduler_placement"}:
        getattr(one, name).CopyFrom(getattr(options, name))
    for name in given.intersection(_NUMBERS):
        setattr(one, name, getattr(options, name))
    for name in given.intersection(_SCALING):
        setattr(one.autoscaler_settings, _SCALING[name], getattr(options, name))
    return one
