"""The data stage's door to the backends: encodings, data set libraries and the tokenizer of the preflight."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, assert_never

from pipeline.backends.encoding_charset_normalizer import (
    Detected,
    Encoding,
    detect_encoding,
    invalid_text,
    open_text,
    unreadable,
)
from pipeline.core.errors import ModelError
from pipeline.core.references import open_reference

if TYPE_CHECKING:
    from pipeline.backends.data_datasets import LoadedDataset
    from pipeline.render import Tokenizer
    from schemas.render import RenderConfig

__all__ = [
    "DatasetHome",
    "Detected",
    "Encoding",
    "detect_encoding",
    "invalid_text",
    "load_dataset",
    "load_tokenizer",
    "load_vocabulary",
    "open_text",
    "unreadable",
]

DatasetHome = Literal["folder", "hub"]
_COMMIT_LENGTH = 40


def load_dataset(
    home: DatasetHome, location: str, split_names: Sequence[str], revision: str | None, token: str | None = None
) -> LoadedDataset:
    """Open the first split of ``split_names`` that a Hugging Face data set has; a lone split whatever its name.

    Raises:
        SourceError, DataError: see `pipeline.backends.data_datasets`.
    """
    from pipeline.backends import data_datasets

    match home:
        case "folder":
            return data_datasets.load_saved(Path(location), split_names)
        case "hub":
            return data_datasets.load_hub(location, revision, split_names, token)
        case other:
            assert_never(other)


def load_vocabulary(config: RenderConfig) -> int | None:
    """Return how many tokens the base knows; None where there is no config of a model beside the tokenizer."""
    from pipeline.backends.config_transformers import load_config

    try:
        found = load_config(str(open_reference(config.tokenizer)), revision=_revision(config))
    except ModelError:
        return None
    size = found.get("vocab_size") or (found.get("text_config") or {}).get("vocab_size")
    return size if isinstance(size, int) else None


def _revision(config: RenderConfig) -> str | None:
    digest = config.tokenizer.digest
    return digest if digest is not None and len(digest) == _COMMIT_LENGTH else None


def load_tokenizer(config: RenderConfig) -> Tokenizer:
    """Load the tokenizer of the preflight.

    Raises:
        ModelError: it is missing.
        IntegrityError: its folder changed since the run began.
    """
    from pipeline.backends.tokenizer_transformers import load_tokenizer as load

    return load(
        str(open_reference(config.tokenizer)),
        revision=_revision(config),
        chat_template=config.options.chat_template,
    )
