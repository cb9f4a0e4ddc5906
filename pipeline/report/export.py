"""Exporting a form of a version as a package of plain Hugging Face files that load and serve without hone.

A package says in ``MANIFEST.json`` what it came from and what every file in it hashes to.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.core.context import CallContext
from pipeline.core.errors import ConfigError, IntegrityError, ModelError, StorageError
from pipeline.core.references import open_reference
from pipeline.core.versions import check_content
from pipeline.core.workspace import hash_file
from pipeline.report.destination import FORMAT, MANIFEST, check_target, replacing
from pipeline.report.model_card import model_card
from pipeline.report.package import BASE_FOLDER, deployment_files
from pipeline.report.types import Registration
from pipeline.report.version import VersionRecord, hub_base

TOKEN_SECRET = "HF_TOKEN"  # noqa: S105 - the secret's name

_PICKLES = frozenset({".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib", ".npy", ".npz"})
_BASE_FILES = frozenset({".safetensors", ".json", ".txt", ".jinja", ".model", ".tiktoken", ".md"})
_HUB_TARGET = re.compile(r"^hf://(?P<repository>[^/\s]+/[^/\s]+)$")
_ADDRESS = re.compile(r"^(hf:|[A-Za-z][A-Za-z0-9+.-]*:/)")
"""No folder that anybody means to name."""
_ADAPTER_CONFIG = "adapter_config.json"


@dataclass(frozen=True)
class Exported:
    """Where a package went: a folder, or the address of a repository; its number of files and their bytes."""

    variant: str
    location: str
    files: int
    size_bytes: int


def hub_repository(to: str) -> str:
    """Return the repository, ``organization/name``, that ``hf://organization/name`` names.

    Raises:
        ConfigError: it names none.
    """
    target = _HUB_TARGET.match(to)
    if target is None:
        raise ConfigError("this is no repository of the Hub", where=to, fix="write hf://organization/name")
    return target["repository"]


def export_version(
    version: VersionRecord,
    variant: str,
    to: str,
    *,
    registration: Registration | None = None,
    private: bool = True,
    context: CallContext | None = None,
) -> Exported:
    """Export to a folder, or to the Hub where ``to`` is ``hf://organization/name``.

    Raises:
        ConfigError: no such form, a malformed target, no token, or a target that the Hub refuses.
        StorageError: the folder holds something else, or cannot be written.
        IntegrityError, ModelError, SourceError: the form is damaged, its base is missing, or the Hub is out of reach.
    """
    used = context or CallContext()
    if _ADDRESS.match(to) is None:
        return export_package(version, variant, Path(to), registration=registration, context=used)
    repository = hub_repository(to)
    from pipeline.report.backends import push_folder

    token = used.secret(TOKEN_SECRET)
    with tempfile.TemporaryDirectory(prefix="hone-export-") as temporary:
        folder = Path(temporary) / "package"
        built = export_package(version, variant, folder, registration=registration, context=used)
        used.emit("progress", label="uploading", done=0, total=built.size_bytes)
        message = f"{registration.version if registration and registration.version else 'A version'}, {variant}"
        address = push_folder(folder, repository, token=token, private=private, message=message)
        used.emit("progress", label="uploading", done=built.size_bytes, total=built.size_bytes)
    return Exported(variant, address, built.files, built.size_bytes)


def export_package(
    version: VersionRecord,
    variant: str,
    directory: Path,
    *,
    registration: Registration | None = None,
    context: CallContext | None = None,
) -> Exported:
    """Write a package: the form's files, ``README.md``, ``compose.yaml``, a smoke request, ``MANIFEST.json``.

    An adapter whose base is not on the Hub takes the base along, in ``base/``.

    Raises:
        ConfigError: there is no such form.
        StorageError: ``directory`` holds something else, or cannot be written.
        IntegrityError: the form's files are not as their manifest states, are others than those that the version was
            registered with, or hold a pickle.
        ModelError: the base of an adapter cannot be found.
    """
    version.check_variant(variant)
    check_target(directory)
    form = version.form(variant)
    version.store.verify(form.ref)
    check_content(version.register.artifact.lineage, form.ref, form.manifest.content_digest)
    sources = dict(_model_files(form.path / form.artifact.model))
    takes_base = variant == "adapter" and hub_base(version.base) is None
    if takes_base:
        sources |= {f"{BASE_FOLDER}/{name}": path for name, path in _base_files(version)}
    used = context or CallContext()
    try:
        with replacing(directory) as temporary:
            total = sum(path.stat().st_size for path in sources.values())
            with used.progress("exporting", total) as advance:
                for name, path in sources.items():
                    _copy(path, temporary / name, advance)
            texts = {"README.md": model_card(version, variant, registration)}
            adapter_config = _point_to_base(temporary / _ADAPTER_CONFIG, version) if variant == "adapter" else None
            texts |= deployment_files(version, variant, adapter_config)
            for name, text in texts.items():
                (temporary / name).write_text(text, encoding="utf-8")
            (temporary / "smoke.sh").chmod(0o755)
            manifest = _manifest(version, variant, registration, temporary)
            (temporary / MANIFEST).write_text(
                json.dumps(manifest, indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
            )
    except OSError as error:
        if isinstance(error, StorageError):
            raise
        raise StorageError(
            f"the package cannot be written: {error.strerror or error}",
            where=str(error.filename or directory),
            fix="check free space and permissions; nothing half-written was left",
        ) from error
    sizes = [file["size"] for file in manifest["files"]]
    return Exported(variant, str(directory), len(sizes), sum(sizes))


def _model_files(folder: Path) -> Iterator[tuple[str, Path]]:
    for path in sorted(folder.rglob("*")):
        if path.is_dir() or path.name == "README.md":  # the library's empty card gives way to the real one
            continue
        if path.suffix in _PICKLES or path.is_symlink():
            raise IntegrityError(
                "a model holds plain files and safetensors only",
                where=str(path),
                fix="remove this artifact and run again",
            )
        yield path.relative_to(folder).as_posix(), path


def _base_files(version: VersionRecord) -> Iterator[tuple[str, Path]]:
    weights = version.base.weights
    folder = open_reference(weights) if weights is not None else None
    if folder is None or not folder.is_dir():
        raise ModelError(
            "the base of this adapter is not where the run found it",
            where=str(folder),
            fix="put it back, or export a merged variant",
        )
    kept = _BASE_FILES | ({".py"} if version.base.trust_remote_code else set())
    found = [path for path in sorted(folder.iterdir()) if path.is_file() and path.suffix in kept]
    licenses = [path for path in sorted(folder.iterdir()) if path.is_file() and path.stem in ("LICENSE", "NOTICE")]
    if not any(path.suffix == ".safetensors" for path in found):
        raise ModelError("the base has no safetensors", where=str(folder), fix="export a merged variant")
    yield from ((path.name, path) for path in dict.fromkeys([*found, *licenses]))


def _copy(source: Path, target: Path, advance: Callable[[int], None]) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    advance(source.stat().st_size)


def _point_to_base(path: Path, version: VersionRecord) -> dict[str, Any]:
    """Make an adapter name its base by Hub id and commit, or as the folder that lies in the package."""
    config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    on_hub = hub_base(version.base)
    config["base_model_name_or_path"] = on_hub[0] if on_hub is not None else BASE_FOLDER
    config["revision"] = on_hub[1] if on_hub is not None else None
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    return config


def _manifest(version: VersionRecord, variant: str, registration: Registration | None, folder: Path) -> dict[str, Any]:
    form, on_hub = version.form(variant), hub_base(version.base)
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {
        "format": FORMAT,
        "name": version.register.artifact.name,
        "version": registration.version if registration is not None else None,
        "variant": variant,
        "verdict": version.register.artifact.decision.verdict,
        "register": version.register.ref.model_dump(),
        "model": form.ref.model_dump(),
        "model_content_digest": form.manifest.content_digest,
        "base": {"id": on_hub[0], "revision": on_hub[1]} if on_hub is not None else None,
        "files": [
            {"path": path.relative_to(folder).as_posix(), "sha256": hash_file(path), "size": path.stat().st_size}
            for path in paths
        ],
    }
