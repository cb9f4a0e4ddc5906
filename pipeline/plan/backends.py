"""The plan stage's door to the backends: encodings, model configs, tokenizers and data set libraries.

A plan is drawn up without them as well, as far as that goes: an installation that only plans and starts runs has none.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TextIO, assert_never

from pipeline.core.errors import EnvironmentMissing
from pipeline.core.references import open_reference

if TYPE_CHECKING:
    from pipeline.backends.data_datasets import LoadedDataset
    from pipeline.render import Tokenizer
    from schemas.base import Reference
    from schemas.base_model import ModelInit

DatasetHome = Literal["folder", "hub"]
_COMMIT_LENGTH = 40
INSTALL = "pip install 'hone-llm[local]', or plan where the run is carried out"


def has(library: str) -> bool:
    """Tell whether a library is installed, without importing it."""
    return find_spec(library) is not None


def require(library: str, what: str) -> None:
    """Refuse ``what`` where a library that it needs is not installed.

    Raises:
        EnvironmentMissing: with what to install.
    """
    if not has(library):
        raise EnvironmentMissing(f"{what} needs {library}, which is not installed here", where="plan", fix=INSTALL)


def revision_of(reference: Reference) -> str | None:
    """Return the Hub commit that a reference was resolved to; None for a folder."""
    digest = reference.digest
    return digest if digest is not None and len(digest) == _COMMIT_LENGTH else None


def load_config(reference: Reference, trust_remote_code: bool, token: str | None = None) -> dict[str, Any]:
    """Return the complete config of a model folder or Hub id, defaults filled in.

    Without transformers it is the config as its file states it, which need not be complete.

    Raises:
        ModelError: there is none, or it cannot be read or reached.
        IntegrityError: the folder changed since the run began.
    """
    location = str(open_reference(reference))
    if not has("transformers"):
        from pipeline.backends import hub_httpx

        return hub_httpx.load_config(location, revision=revision_of(reference), token=token)
    from pipeline.backends.config_transformers import load_config as load

    return load(location, revision=revision_of(reference), trust_remote_code=trust_remote_code)


def complete_config(init: ModelInit) -> dict[str, Any]:
    """Return the complete config of a base without weights.

    Raises:
        ModelError: a key of ``config`` does not fit the model type.
        EnvironmentMissing: transformers is not installed.
    """
    require("transformers", "a base without weights")
    from pipeline.backends.config_transformers import complete_config as complete

    return complete(init.model_type, init.config)


def load_tokenizer(reference: Reference, trust_remote_code: bool) -> Tokenizer:
    """Load a tokenizer.

    Raises:
        ModelError: there is none.
        IntegrityError: its folder changed since the run began.
        EnvironmentMissing: transformers is not installed.
    """
    require("transformers", "a tokenizer")
    from pipeline.backends.tokenizer_transformers import load_tokenizer as load

    location = str(open_reference(reference))
    return load(location, revision=revision_of(reference), trust_remote_code=trust_remote_code)


def open_text(path: Path) -> TextIO:
    """Open a text file in its encoding, as the data stage reads it; invalid UTF-8 comes out as lone surrogates.

    Raises:
        SourceError: the file cannot be read.
        DataError: the file is empty, or holds no text.
    """
    from pipeline.backends.encoding_charset_normalizer import detect_encoding
    from pipeline.backends.encoding_charset_normalizer import open_text as open_as

    try:
        return open_as(path, detect_encoding(path).name)
    except ImportError:  # charset_normalizer, which alone tells a single-byte encoding, is not installed
        return path.open(encoding="utf-8", errors="replace", newline="")


def load_dataset(
    home: DatasetHome, location: str, split_names: Sequence[str], revision: str | None, token: str | None
) -> LoadedDataset:
    """Open a split of a Hugging Face data set. Raises SourceError, DataError or EnvironmentMissing."""
    require("datasets", "a Hugging Face data set")
    from pipeline.backends import data_datasets

    match home:
        case "folder":
            return data_datasets.load_saved(Path(location), split_names)
        case "hub":
            return data_datasets.load_hub(location, revision, split_names, token)
        case other:
            assert_never(other)
