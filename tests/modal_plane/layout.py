"""An app's layout: the ids that its own code is hydrated with inside a container."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modal_proto import api_pb2

if TYPE_CHECKING:
    from .apps import App
    from .cloud import Cloud


def app_layout(cloud: Cloud, app: App) -> api_pb2.AppLayout:
    """Return ids and handles of the app's functions, classes and of what its functions depend on."""
    layout = api_pb2.AppLayout(function_ids=app.function_ids, class_ids=app.class_ids)
    dependencies: set[str] = set()
    for function in cloud.declared(app):
        layout.objects.add(object_id=function.id, function_handle_metadata=function.handle())
        dependencies.update(one.object_id for one in function.definition.object_dependencies)
    for class_id in app.class_ids.values():
        layout.objects.add(object_id=class_id, class_handle_metadata=api_pb2.ClassHandleMetadata())
    for object_id in sorted(dependencies):
        volume = cloud.volumes.by_id.get(object_id)
        if volume is None:
            layout.objects.add(object_id=object_id)
        else:
            metadata = api_pb2.VolumeMetadata(version=volume.version, name=volume.name)  # type: ignore[arg-type]
            layout.objects.add(object_id=object_id, volume_metadata=metadata)
    return layout
