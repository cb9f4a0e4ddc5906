"""Rows of Hugging Face data sets: a folder that `save_to_disk` left, or a Hub id."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.core.errors import DataError, HoneError, SourceError

if TYPE_CHECKING:
    from datasets import Dataset


@dataclass(frozen=True)
class LoadedDataset:
    """One split of a data set: its name there, its number of rows, the names of its other splits."""

    split: str | None
    size: int
    others: tuple[str, ...]
    rows: Iterator[dict[str, Any]]


def load_saved(path: Path, split_names: Sequence[str]) -> LoadedDataset:
    """Open the first split of ``split_names`` in a folder that ``save_to_disk`` left.

    Raises:
        DataError: the folder is damaged, or has none of the splits.
    """
    from datasets import load_from_disk

    try:
        loaded = load_from_disk(str(path))
    except Exception as error:  # the library raises whatever its reader meets
        raise DataError(
            f"not a readable data set folder: {_first_line(error)}", where=str(path), fix="save the data set again"
        ) from error
    return _choose(loaded, split_names, str(path))


def load_hub(name: str, revision: str | None, split_names: Sequence[str], token: str | None = None) -> LoadedDataset:
    """Load a data set of the Hub; ``name`` is ``org/name`` or ``org/name:config``. No code of the data set is run.

    Raises:
        SourceError: it does not exist, needs a permission, or cannot be reached.
        DataError: it has none of the splits.
    """
    from datasets import load_dataset

    from pipeline.backends.revision_huggingface import resolve_commit

    repo, _, config = name.partition(":")
    if Path(repo).exists():  # the library would read it instead
        raise SourceError(
            "a folder of this name hides the Hub's data set", where=name, fix="work in another folder, or rename it"
        )
    if revision is None:  # one question that fails at once, where the library asks many times over half a minute
        revision = resolve_commit(repo, "dataset", None, token)
    logging.getLogger("huggingface_hub.utils._http").setLevel(logging.ERROR)
    try:
        loaded = load_dataset(repo, config or None, revision=revision, token=token)
    except Exception as error:  # the library raises whatever its reader meets
        raise _hub_error(name, error) from error
    return _choose(loaded, split_names, name)


def _choose(loaded: Any, split_names: Sequence[str], where: str) -> LoadedDataset:
    from datasets import DatasetDict

    if not isinstance(loaded, DatasetDict):
        return LoadedDataset(None, len(loaded), (), _rows(loaded))
    names = [str(name) for name in loaded]
    wanted = [name for name in names if name.lower() in split_names]
    if not wanted and len(names) == 1:
        wanted = names
    if not wanted:
        raise DataError(
            f"no {split_names[0]} split; there are {', '.join(names)}",
            where=where,
            fix="save the wanted split by itself",
        )
    others = tuple(name for name in names if name != wanted[0])
    return LoadedDataset(wanted[0], len(loaded[wanted[0]]), others, _rows(loaded[wanted[0]]))


def _rows(dataset: Dataset) -> Iterator[dict[str, Any]]:
    """Yield rows with the names of classes in place of their numbers."""
    from datasets import ClassLabel

    names = {name: feature.names for name, feature in dataset.features.items() if isinstance(feature, ClassLabel)}
    for row in dataset:
        values = dict(row)
        for column, classes in names.items():
            index = values[column]
            if isinstance(index, int):
                values[column] = classes[index] if 0 <= index < len(classes) else None
        yield values


def _hub_error(name: str, error: Exception) -> HoneError:
    offline = isinstance(error, (ConnectionError, OSError)) and "404" not in str(error)
    fix = (
        "connect to the network, or give a local file" if offline else "check the name; for a private one set HF_TOKEN"
    )
    return SourceError(f"the data set cannot be loaded: {_first_line(error)}", where=name, fix=fix)


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
