"""Complete model configs by transformers: what a config.json leaves out has a default that only its class knows."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from pipeline.core.errors import ConfigError, ModelError


def load_config(source: str, *, revision: str | None = None, trust_remote_code: bool = False) -> dict[str, Any]:
    """Return the config of a model folder or Hub id with every default filled in.

    Raises:
        ModelError: there is none, it cannot be reached, or its model type is unknown.
    """
    from transformers import AutoConfig
    from transformers.utils import logging

    logging.set_verbosity_error()
    try:
        config = AutoConfig.from_pretrained(source, revision=revision, trust_remote_code=trust_remote_code)
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(
            f"no model config can be loaded: {_first_line(error)}",
            where=source,
            fix="name a folder that holds config.json, or a Hub id that this machine can reach",
        ) from error
    return dict(config.to_dict())


def complete_config(model_type: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the config of a new model of ``model_type``.

    Raises:
        ConfigError: the type has no such key; the nearest is named.
        ModelError: a value does not fit.
    """
    from transformers import AutoConfig

    known = AutoConfig.for_model(model_type).to_dict()
    for key in values:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            raise ConfigError(
                f"a {model_type} config has no key {key!r}",
                where="base_model.init.config",
                fix=f"did you mean {near[0]}?" if near else "take a key of transformers' config of this type",
            )
    try:
        config = AutoConfig.for_model(model_type, **values)
    except (ValueError, TypeError, KeyError) as error:
        raise ModelError(
            f"this is no config of {model_type}: {_first_line(error)}",
            where="base_model.init.config",
            fix="correct the key that the message names",
        ) from error
    return dict(config.to_dict())


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
