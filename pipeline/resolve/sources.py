"""Files, folders and Hub names to references: where they are, and a digest or a commit of what is there."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.core.digests import DigestCache
from pipeline.core.errors import ConfigError, SourceError
from pipeline.core.paths import expand
from pipeline.core.references import unresolved
from pipeline.resolve import backends
from schemas.base import Reference
from schemas.data import DataFiles, DataOptions
from schemas.run import DataSpec

_HUB_ID = re.compile(r"^[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*$")
_COMMIT = re.compile(r"^[0-9a-f]{40}$")


@dataclass(frozen=True)
class Sources:
    """What a description names on this machine and on the Hub.

    Args:
        folder: where relative paths start.
        digests: a file that remembers digests.
        token: the Hub's token, if there is one.
        for_plan: a base of the Hub whose commit cannot be had is left unresolved.
    """

    folder: Path
    digests: Path
    token: str | None = field(default=None, repr=False)
    for_plan: bool = False

    def digest(self, path: Path) -> str:
        """Return the digest of a file or folder."""
        return DigestCache(self.digests).digest(path)

    def path(self, text: str) -> Path:
        """Return where a path of the description leads."""
        path = expand(text)
        return path if path.is_absolute() else self.folder / path

    def files(self, data: DataSpec, key: str) -> DataFiles:
        """Return the files of a data section; ``key`` of the description names it in errors.

        Raises:
            ConfigError: files are given a revision.
            SourceError: see `source`.
        """
        named = {name: getattr(data, name) for name in ("path", "validation_path", "test_path")}
        found = {
            name: self.source(text, f"{key}.{name}", data.revision) for name, text in named.items() if text is not None
        }
        if data.revision is not None and not any(_HUB_ID.match(reference.location) for reference in found.values()):
            raise ConfigError(
                "files and folders have no revisions", where=f"{key}.revision", fix="remove the key, or name a Hub id"
            )
        return DataFiles(train=found["path"], validation=found.get("validation_path"), test=found.get("test_path"))

    def source(self, text: str, key: str, revision: str | None = None) -> Reference:
        """Return a file or folder by its digest, or a data set of the Hub by its commit.

        Raises:
            SourceError: it is neither; with the nearest name.
        """
        if "://" in text:
            raise SourceError(
                "addresses are not read", where=f"{key}: {text}", fix="download the file and give its path"
            )
        path = self.path(text)
        if path.exists():
            return Reference(location=str(path.resolve()), digest=self.digest(path))
        if is_hub_id(text):
            return Reference(location=text, digest=backends.resolve_commit(text, "dataset", revision, self.token, key))
        siblings = [found.name for found in path.parent.iterdir()] if path.parent.is_dir() else []
        near = difflib.get_close_matches(path.name, siblings, n=1)
        fix = f"did you mean {near[0]}?" if near else f"check {key} in the run description"
        raise SourceError("no such file or folder", where=f"{key}: {path}", fix=fix)

    def hub_model(self, name: str, revision: str | None, key: str) -> Reference:
        """Return a base of the Hub at the commit that its revision means now.

        For a plan, one that cannot be looked up stays unresolved, unless the revision is a commit already.
        """
        if not self.for_plan:
            return Reference(location=name, digest=backends.resolve_commit(name, "model", revision, self.token, key))
        commit = backends.find_commit(name, revision, self.token, key)
        if commit is None and revision is not None and _COMMIT.match(revision):
            commit = revision
        return unresolved(name, revision) if commit is None else Reference(location=name, digest=commit)


def names_repository(text: str) -> bool:
    """Tell whether ``text`` has the form ``owner/name``."""
    return bool(_HUB_ID.match(text))


def is_hub_id(text: str) -> bool:
    """Tell whether data that are not on this machine are named as the Hub names data sets: ``owner/name``, no file."""
    return names_repository(text) and not Path(text).suffix


def data_options(data: DataSpec) -> DataOptions:
    """Return how to read ``data``, without where it is."""
    return DataOptions.model_validate({name: getattr(data, name) for name in DataOptions.model_fields})
