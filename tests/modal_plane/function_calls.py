"""The calls that declare functions and classes and look them up."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from modal_proto import api_pb2

from .functions import Function, with_options
from .ids import new_id, not_found
from .rules import check_function

if TYPE_CHECKING:
    from .apps import App
    from .cloud import Cloud
    from .containers import Container


class FunctionCalls:
    """Declaration (precreate, create, class), variants, and lookup by name or id."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    def _declared(self, app_id: str, name: str, existing: str) -> Function:
        """Return the function of that name in that app, a new one where there is none."""
        app = self._cloud.app(app_id)
        found = self._cloud.functions_by_id.get(existing)
        if found is None or found.app is not app:
            found = next((one for one in self._cloud.declared(app) if one.name == name), None)
        if found is None:
            found = Function(new_id("fu"), name, app, self._cloud)
            self._cloud.functions_by_id[found.id] = found
        return found

    async def FunctionPrecreate(
        self, request: api_pb2.FunctionPrecreateRequest, container: Container | None
    ) -> api_pb2.FunctionPrecreateResponse:
        function = self._declared(request.app_id, request.function_name, request.existing_function_id)
        if not function.generation:
            one = function.definition
            one.function_name, one.function_type = request.function_name, request.function_type
            one.webhook_config.CopyFrom(request.webhook_config)
            one.function_schema.CopyFrom(request.function_schema)
            one.supported_input_formats.extend(request.supported_input_formats)
            one.supported_output_formats.extend(request.supported_output_formats)
            one.method_definitions.MergeFrom(request.method_definitions)
        await self._cloud.web.open(function)
        return api_pb2.FunctionPrecreateResponse(function_id=function.id, handle_metadata=function.handle())

    async def FunctionCreate(
        self, request: api_pb2.FunctionCreateRequest, container: Container | None
    ) -> api_pb2.FunctionCreateResponse:
        ranked = sorted(request.function_data.ranked_functions, key=lambda one: one.rank)
        definitions = [one.function for one in ranked] or [request.function]
        for definition in definitions:
            check_function(definition)
            self._check_references(definition)
        function = self._declared(request.app_id, definitions[0].function_name, request.existing_function_id)
        function.declare(definitions)
        await self._cloud.web.open(function)
        return api_pb2.FunctionCreateResponse(
            function_id=function.id,
            function=function.definition,
            function_data=function.data(),
            handle_metadata=function.handle(),
        )

    def _check_references(self, definition: api_pb2.Function) -> None:
        for kind, ids, known in (
            ("Volume", [mount.volume_id for mount in definition.volume_mounts], self._cloud.volumes.by_id),
            ("Secret", definition.secret_ids, self._cloud.secrets),
            ("Mount", definition.mount_ids, self._cloud.mounts),
            ("Image", [definition.image_id] if definition.image_id else [], self._cloud.images),
        ):
            for object_id in ids:
                if object_id not in known:
                    raise not_found(f"{definition.function_name}: no {kind} with ID {object_id!r}")

    async def ClassCreate(
        self, request: api_pb2.ClassCreateRequest, container: Container | None
    ) -> api_pb2.ClassCreateResponse:
        class_id = request.existing_class_id or new_id("cs")
        self._cloud.classes[class_id] = self._cloud.app(request.app_id)
        return api_pb2.ClassCreateResponse(class_id=class_id, handle_metadata=api_pb2.ClassHandleMetadata())

    async def FunctionBindParams(
        self, request: api_pb2.FunctionBindParamsRequest, container: Container | None
    ) -> api_pb2.FunctionBindParamsResponse:
        base = self._cloud.function(request.function_id)
        key = hashlib.sha256(request.SerializeToString(deterministic=True)).hexdigest()
        variant = self._cloud.variants.get(key)
        if variant is None:
            variant = Function(new_id("fu"), base.name, base.app, self._cloud, base=base)
            variant.parameters = request.serialized_params or base.parameters
            variant.urls = base.urls
            self._cloud.functions_by_id[variant.id] = variant
            self._cloud.variants[key] = variant
        if variant.generation != base.generation:
            definition = with_options(base.definition, request.function_options)
            check_function(definition)
            self._check_references(definition)
            gpu_replaced = request.function_options.resources.gpu_config.count
            variant.declare([definition] if gpu_replaced else [definition, *base.definitions[1:]])
            variant.generation = base.generation
        return api_pb2.FunctionBindParamsResponse(bound_function_id=variant.id, handle_metadata=variant.handle())

    def _deployed(self, app_name: str, tag: str, kind: str) -> App:
        app = self._cloud.deployed(app_name)
        if app is None:
            raise not_found(f"App {app_name!r} not found in environment 'main'")
        if tag not in (app.function_ids if kind == "Function" else app.class_ids):
            raise not_found(f"{kind} {tag!r} not found in App {app_name!r}")
        return app

    async def FunctionGet(
        self, request: api_pb2.FunctionGetRequest, container: Container | None
    ) -> api_pb2.FunctionGetResponse:
        app = self._deployed(request.app_name, request.object_tag, "Function")
        function = self._cloud.function(app.function_ids[request.object_tag])
        return api_pb2.FunctionGetResponse(
            function_id=function.id, handle_metadata=function.handle(), function=function.data()
        )

    async def FunctionGetById(
        self, request: api_pb2.FunctionGetByIdRequest, container: Container | None
    ) -> api_pb2.FunctionGetByIdResponse:
        function = self._cloud.function(request.function_id)
        return api_pb2.FunctionGetByIdResponse(handle_metadata=function.handle(), function=function.data())

    async def ClassGet(self, request: api_pb2.ClassGetRequest, container: Container | None) -> api_pb2.ClassGetResponse:
        app = self._deployed(request.app_name, request.object_tag, "Class")
        return api_pb2.ClassGetResponse(
            class_id=app.class_ids[request.object_tag], handle_metadata=api_pb2.ClassHandleMetadata()
        )

    async def FunctionGetCurrentStats(
        self, request: api_pb2.FunctionGetCurrentStatsRequest, container: Container | None
    ) -> api_pb2.FunctionStats:
        pool = self._cloud.pool(self._cloud.function(request.function_id))
        running = sum(len(one.running) for one in pool.live)
        return api_pb2.FunctionStats(
            backlog=len(pool.pending), num_total_tasks=len(pool.live), num_running_inputs=running
        )

    async def FunctionUpdateSchedulingParams(
        self, request: api_pb2.FunctionUpdateSchedulingParamsRequest, container: Container | None
    ) -> api_pb2.FunctionUpdateSchedulingParamsResponse:
        function = self._cloud.function(request.function_id)
        function.definition.autoscaler_settings.MergeFrom(request.settings)
        self._cloud.pool(function).scale()
        return api_pb2.FunctionUpdateSchedulingParamsResponse(current_settings=function.definition.autoscaler_settings)

    async def FunctionGetSchedulingParams(
        self, request: api_pb2.FunctionGetSchedulingParamsRequest, container: Container | None
    ) -> api_pb2.FunctionGetSchedulingParamsResponse:
        settings = self._cloud.function(request.function_id).definition.autoscaler_settings
        configuration = api_pb2.AutoscalerConfiguration(settings=settings)
        return api_pb2.FunctionGetSchedulingParamsResponse(autoscaler_configuration=configuration)
