"""What is measured on a variant, and what must hold before it counts."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.core.errors import ConfigError, IntegrityError, ModelError
from schemas.optimize import Variant

if TYPE_CHECKING:
    import numpy as np

    Logits = Sequence[np.ndarray[Any, Any]]

SMALLEST_GROUP = 16


def relative_difference(parent: Logits, other: Logits) -> float:
    """Return max |parent - other| / max |parent| over all probes, tokens and vocabulary entries.

    Args:
        parent: one array [tokens, vocabulary] per prompt.
        other: the same shapes.

    Raises:
        ModelError: a logit is not finite, or the shapes differ.
    """
    import numpy as np

    if [array.shape for array in parent] != [array.shape for array in other]:
        raise ModelError("the variant has another vocabulary than its parent", where="variants", fix="train again")
    if not all(np.isfinite(array).all() for array in (*parent, *other)):
        raise ModelError(
            "a model computes NaN or infinite logits", where="variants", fix="train again with a smaller rate"
        )
    largest = max(float(np.abs(array).max()) for array in parent)
    apart = max(float(np.abs(left - right).max()) for left, right in zip(parent, other, strict=True))
    return apart / largest if largest > 0 else math.inf if apart > 0 else 0.0


def check_merge(difference: float, tolerance: float) -> None:
    """Refuse a merge that computes something else than the adapter does.

    Raises:
        ModelError: ``difference`` is above ``tolerance``.
    """
    if difference > tolerance:
        raise ModelError(
            f"merged and adapter logits differ by {difference:.2e} of the largest, more than {tolerance:.2e}",
            where="variants",
            fix="serve the adapter itself; this adapter's kind does not merge exactly into this base",
        )


def check_tied(parent: bool, variant: bool) -> None:
    """Refuse a variant whose input and output embeddings came apart, or together.

    Raises:
        IntegrityError: the variant is not tied as its parent is.
    """
    if parent != variant:
        raise IntegrityError(
            f"the parent's embeddings are {'tied' if parent else 'apart'}, the variant's are not",
            where="variants",
            fix="report this: the library that wrote the variant changed the model",
        )


def weight_files(folder: Path) -> tuple[Path, ...]:
    """Return the safetensors files of a model folder, sorted."""
    return tuple(sorted(folder.glob("*.safetensors")))


def weight_bytes(folder: Path) -> int:
    """Return the size of a model folder's weight files in bytes."""
    return sum(path.stat().st_size for path in weight_files(folder))


def linear_widths(folder: Path) -> dict[str, int]:
    """Return the input width of every linear layer that a quantizer takes, by name, from the safetensors headers.

    Output heads and embeddings are left out.

    Raises:
        IntegrityError: a file is no safetensors file.
    """
    widths = {}
    for path in weight_files(folder):
        for name, entry in _header(path).items():
            kept = not any(part in name for part in ("embed", "lm_head", "wte", "wpe"))
            if name.endswith(".weight") and kept and len(entry["shape"]) == 2:
                widths[name.removesuffix(".weight")] = int(entry["shape"][1])
    return widths


def _header(path: Path) -> dict[str, Any]:
    """Return a safetensors file's table: eight bytes of little-endian length, then that much JSON."""
    try:
        with path.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            if length > path.stat().st_size:
                raise ValueError(f"a header of {length} bytes")
            header: dict[str, Any] = json.loads(stream.read(length))
    except (struct.error, ValueError) as error:
        raise IntegrityError(
            f"this is no safetensors file: {error}", where=str(path), fix="remove the artifact; the run makes it again"
        ) from error
    header.pop("__metadata__", None)
    return header


def check_group_size(variant: Variant, widths: dict[str, int]) -> None:
    """Refuse a group size that does not divide every layer's input width.

    Raises:
        ConfigError: it does not; the fix names the sizes that do.
    """
    unfit = sorted(name for name, width in widths.items() if width % variant.group_size)
    if not unfit:
        return
    common = math.gcd(*widths.values())
    fitting = [size for size in range(SMALLEST_GROUP, common + 1, SMALLEST_GROUP) if common % size == 0]
    known = f"give one of {', '.join(map(str, fitting))}" if fitting else "no group size fits; use fp8_dynamic"
    raise ConfigError(
        f"{variant.group_size} does not divide the {widths[unfit[0]]} inputs of {unfit[0]}",
        where=f"variants.{variant.name}.group_size",
        fix=known,
    )
