"""Settings that cannot be carried out with this base and these rows, refused before anything is spent."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

from pipeline.core.errors import ConfigError, DataError
from pipeline.plan.adapter import adapts
from pipeline.plan.architecture import Architecture
from pipeline.plan.profile import Lengths
from schemas.data import CHOSEN, REJECTED, DataOptions
from schemas.methods import METHODS, TrainMethod
from schemas.train import TrainSpec

UNCERTAIN = 0.5
"""A row's tokens are counted with assumed markup: only a length below this share of the shortest row is refused."""

_OUTER = ("model.embed_tokens", "lm_head")
"""Modules outside the layers that an adapter can sit on as well."""


def check_length(train: TrainSpec, architecture: Architecture, lengths: Lengths) -> None:
    """Refuse a given length that the base does not take, or that no row fits into.

    Raises:
        ConfigError: with both numbers.
    """
    most = train.max_length
    if most is None:
        return
    if most > architecture.context:
        raise ConfigError(
            f"{most} tokens are more than the {architecture.context} that the base takes",
            where="train.max_length",
            fix=f"set it to {architecture.context} or less, or leave it out",
        )
    if most < UNCERTAIN * lengths.shortest:
        raise ConfigError(
            f"no row fits into {most} tokens: the shortest of {lengths.sampled} has about {lengths.shortest}, "
            f"the longest {lengths.longest}",
            where="train.max_length",
            fix="raise it, or leave it out: the plan takes the longest row",
        )


def check_targets(train: TrainSpec, architecture: Architecture) -> None:
    """Refuse target modules that the base does not have: nothing would be trained there.

    Only where the base's layers are known by name.

    Raises:
        ConfigError: with the nearest name.
    """
    if train.adapter == "full":
        return
    section, options = ("lora", train.lora) if train.other is None else (train.adapter, train.other)
    asked = options.target_modules
    if asked == "all-linear" or not architecture.exact:
        return
    where = f"train.{section}.target_modules"
    modules = architecture.linears() if train.adapter != "ln_tuning" else ()
    names = [*(linear.name for linear in modules), *(name for name, _ in architecture.norms()), *_OUTER]
    for target in (asked,) if isinstance(asked, str) else asked:
        if any(adapts(target if isinstance(asked, str) else (target,), name) for name in names):
            continue
        known = sorted({name.rsplit(".", 1)[-1] for name in names})
        near = difflib.get_close_matches(target, known, n=1)
        raise ConfigError(
            f"the base has no module {target!r}, so nothing would be trained there",
            where=where,
            fix=f"did you mean {near[0]}?" if near else f"name some of {', '.join(known)}, or write all-linear",
        )
    if not asked:
        raise ConfigError("no module is named, so nothing would be trained", where=where, fix="write all-linear")


def check_rows(method: TrainMethod, options: DataOptions, sample: Iterable[dict[str, Any]]) -> None:
    """Refuse rows without a better and a worse answer where the method learns from preferences.

    Raises:
        DataError: with the columns that are there.
    """
    if not METHODS[method].compares or (options.format == "unpaired" and "unpaired" in METHODS[method].kinds):
        return
    named = ((options.columns.chosen, CHOSEN), (options.columns.rejected, REJECTED))
    wanted = [usual if name is None else (name,) for name, usual in named]
    columns = list(dict.fromkeys(str(name) for row in sample for name in row))
    known = {column.casefold() for column in columns}
    missing = [names[0] for names in wanted if known.isdisjoint(name.casefold() for name in names)]
    if columns and missing:
        raise DataError(
            f"train.method {method} learns from pairs, and there is no column {' and '.join(map(repr, missing))}; "
            f"there are {', '.join(map(repr, columns[:12]))}",
            where="data.path",
            fix="set train.method to sft, or name data.columns.chosen and data.columns.rejected"
            + ("; for answers with a verdict each set data.format to unpaired" if method == "kto" else ""),
        )
