"""``transformers serve``: the engine of the main environment, for where vLLM is missing.

It knows a model only by the path that it was started with, so it is started in a folder of its own in which the model
lies under the name that clients use. It returns no prompt token ids and has no API keys.
"""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

from pipeline.backends.engine import FRONT, HOST, PORT, EngineRequest
from pipeline.core.errors import EnvironmentMissing, ModelError
from pipeline.core.models import ModelFiles
from schemas.serve import LaunchDescription

MODULE = "transformers.cli.transformers"

_ENVIRONMENT = {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "DO_NOT_TRACK": "1"}


def describe(request: EngineRequest) -> LaunchDescription:
    """Return how the installed transformers serves ``request``.

    Raises:
        EnvironmentMissing: transformers or its server's packages are not installed.
    """
    try:
        version = metadata.version("transformers")
        for package in ("fastapi", "uvicorn", "openai"):
            metadata.version(package)
    except metadata.PackageNotFoundError as error:
        raise EnvironmentMissing(
            f"transformers serve needs the package {error.name}",
            where="main",
            fix="install hone's main environment whole",
        ) from error
    dtype = request.cpu_dtype if request.options.dtype == "auto" else request.options.dtype
    trusted = ["--trust-remote-code"] if request.files.trust_remote_code else []
    return LaunchDescription(
        engine="transformers",
        engine_version=version,
        module=MODULE,
        arguments=(
            "serve",
            request.served_model_name,
            "--host",
            HOST,
            "--port",
            PORT,
            "--dtype",
            dtype,
            *trusted,
        ),
        environment=_ENVIRONMENT,
        served_model_name=request.served_model_name,
        adapter=request.files.adapter is not None,
        smoke_request={"model": request.served_model_name, **request.smoke_request},
    )


def place_model(files: ModelFiles, launch: Path, folder: Path) -> None:
    """Lay a model out in ``folder`` by links: the weights, over them an adapter, over both the tokenizer to be used.

    transformers takes a folder with a whole model and an adapter for that model with the adapter.

    Args:
        files: weights and adapter.
        launch: folder of the launch description; its `FRONT`, where there is one, replaces the weights' tokenizer.
        folder: a folder to make; its name is what clients call the model.

    Raises:
        ModelError: an adapter's base is not a folder here.
    """
    folder.mkdir(parents=True)
    sources = (
        _files(Path(files.weights)) if files.adapter is None else [*_files(_base_folder(files)), *_files(files.adapter)]
    )
    if (launch / FRONT).is_dir():
        sources += _files(launch / FRONT)
    for path in sources:
        link = folder / path.name
        link.unlink(missing_ok=True)
        link.symlink_to(path.resolve())


def _base_folder(files: ModelFiles) -> Path:
    if Path(files.weights).is_dir():
        return Path(files.weights)
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        return Path(snapshot_download(files.weights, revision=files.revision, local_files_only=True))
    except LocalEntryNotFoundError as error:
        raise ModelError(
            "the adapter's base is not on this machine", where=files.weights, fix="download it, or serve merged"
        ) from error


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_file())
