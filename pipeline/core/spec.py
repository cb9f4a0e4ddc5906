"""Reading a run description: YAML, overrides, and every error at once with its path and the nearest valid name."""

from __future__ import annotations

import difflib
import re
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from pipeline.core.errors import ConfigError, SourceError
from pipeline.core.foreign_names import FOREIGN_NAMES
from pipeline.core.yaml_text import StrictYamlLoader, load_yaml
from schemas.adapters import OTHERS
from schemas.run import RunSpec

MAX_SPEC_BYTES = 1 << 20

_EXPONENT = re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+")


def read_spec(path: Path, overrides: Sequence[str] = ()) -> RunSpec:
    """Read, override and validate a run description.

    Args:
        path: a YAML file.
        overrides: ``a.b=c`` each; the value is YAML.

    Raises:
        SourceError: the file cannot be read.
        ConfigError: it is not YAML, or not a valid description; the message holds every error.
    """
    text = read_yaml_text(path, "run description")
    try:
        values = apply_overrides(parse_mapping(text, str(path), "run description"), overrides)
    except RecursionError as error:
        raise ConfigError(
            "the description is nested too deeply, or holds itself", where=str(path), fix="write it flat"
        ) from error
    return validate_spec(values, source=str(path))


def read_yaml_text(path: Path, what: str) -> str:
    """Return the text of a YAML file; ``what`` is what it should be, in words.

    Raises:
        SourceError: the file cannot be read.
        ConfigError: it is too large, or no UTF-8.
    """
    try:
        if path.stat().st_size > MAX_SPEC_BYTES:
            raise ConfigError(f"a {what} has at most 1 MiB", where=str(path), fix="name the YAML file, not data")
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise SourceError(f"cannot read: {error.strerror}", where=str(path), fix="check the path") from error
    except UnicodeDecodeError as error:
        raise ConfigError("the file is not UTF-8 text", where=str(path), fix="name a YAML file") from error


def parse_mapping(text: str, source: str, what: str) -> dict[str, Any]:
    """Return YAML as a mapping; a key that is given twice is refused.

    Raises:
        ConfigError: it is not YAML, or no mapping; the line is named.
    """
    try:
        value = yaml.load(text, Loader=StrictYamlLoader)  # noqa: S506 - a SafeLoader
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark is not None else ""
        problem = getattr(error, "problem", None) or "not YAML"
        raise ConfigError(str(problem), where=f"{source}{line}", fix="correct the YAML at this line") from error
    if not isinstance(value, dict):
        raise ConfigError(
            f"a {what} is a mapping of keys", where=source, fix="see examples/, or write one with hone init"
        )
    return value


def apply_overrides(values: dict[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """Return ``values`` with each ``a.b=c`` set; lists take an index (``variants.0.group_size=32``).

    Raises:
        ConfigError: an override has no ``=``, or its path leads through something that is not a mapping or list.
    """
    result: dict[str, Any] = _copy(values)
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals or not key:
            raise ConfigError(
                f"{override!r} is not key=value", where="--set", fix="write --set train.learning_rate=1e-4"
            )
        try:
            value = load_yaml(text)
        except yaml.YAMLError as error:
            raise ConfigError(f"{text!r} is not a YAML value", where=f"--set {key}", fix="quote it") from error
        _assign(result, key.split("."), number_meant(value), f"--set {override}")
    return result


def set_keys(values: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``values`` with the value of each dotted key of ``changes`` set, as `apply_overrides` sets its.

    Raises:
        ConfigError: a path leads through something that is not a mapping or list.
    """
    result: dict[str, Any] = _copy(values)
    for key, value in changes.items():
        _assign(result, key.split("."), value, key)
    return result


def number_meant(value: Any) -> Any:
    """Return 1e-4 as a number: YAML 1.1 takes it for text."""
    return float(value) if isinstance(value, str) and _EXPONENT.fullmatch(value) else value


def _copy(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copy(item) for key, item in value.items()}
    return [_copy(item) for item in value] if isinstance(value, list) else value


def _assign(target: Any, path: list[str], value: Any, where: str) -> None:
    head, rest = path[0], path[1:]
    if isinstance(target, list):
        if not head.isdigit() or int(head) >= len(target):
            raise ConfigError(f"{head!r} is no index of a list of {len(target)}", where=where)
        if rest:
            _assign(target[int(head)], rest, value, where)
        else:
            target[int(head)] = value
        return
    if not isinstance(target, dict):
        raise ConfigError("the path leads through a plain value", where=where, fix="name an existing section")
    if not rest:
        target[head] = value
        return
    if not isinstance(target.get(head), (dict, list)):
        # A name written short (`base_model: X`) becomes the section it stands for.
        target[head] = {} if target.get(head) in (None, False) else {"name": target[head]}
    _assign(target[head], rest, value, where)


def validate_spec(values: dict[str, Any], source: str) -> RunSpec:
    """Validate ``values``.

    Raises:
        ConfigError: with one line per error.
    """
    try:
        return RunSpec.model_validate(values)
    except ValidationError as error:
        lines = [describe_error(dict(item), RunSpec) for item in _relevant(error)]
        unique = list(dict.fromkeys(lines))
        count = f"{len(unique)} errors" if len(unique) > 1 else "1 error"
        raise ConfigError(f"{count} in the run description:\n  " + "\n  ".join(unique), where=source) from error


def _relevant(error: ValidationError) -> list[Any]:
    """Return the errors without those of a union's other branch: where a section was tried, `false` was not meant."""
    items = list(error.errors())
    paths = [_place(item, RunSpec)[0] for item in items]
    inner = {path[:length] for path in paths for length in range(len(path))}
    return [
        item for item, path in zip(items, paths, strict=True) if item["type"] != "literal_error" or path not in inner
    ]


def _place(item: Any, root: type[BaseModel]) -> tuple[tuple[int | str, ...], list[type[BaseModel]]]:
    """Return the path of the key that an error is about, and the sections that may stand at it, or around it.

    Pydantic puts the branch of a union that it tried into the path; it is no key and left out.
    """
    location: list[int | str] = list(item["loc"])
    unknown = [location.pop()] if item["type"] == "extra_forbidden" else []  # it may have any name, a tag's as well
    path: list[int | str] = []
    models = [root]
    for part in location:
        fields = [model.model_fields[str(part)].annotation for model in models if part in model.model_fields]
        branch = [model for model in models if part in _tags(model)]
        if branch and not fields:
            models = branch
        elif not _is_tag(part):
            path.append(part)
            models = models if isinstance(part, int) else [found for field in fields for found in _models_in(field)]
    return (*path, *unknown), models


def _tags(model: type[BaseModel]) -> list[str]:
    """Return what a section is called by a key that has one value only, such as ``kind``."""
    choices = (typing.get_args(field.annotation) for field in model.model_fields.values() if _is_literal(field))
    return [values[0] for values in choices if len(values) == 1]


def _is_literal(field: Any) -> bool:
    return typing.get_origin(field.annotation) is typing.Literal


def describe_error(item: dict[str, Any], root: type[BaseModel]) -> str:
    """Return one line for a pydantic error: the key's path, what is wrong, and the name that was probably meant."""
    location, models = _place(item, root)
    path = ".".join(str(part) for part in location)
    if item["type"] == "extra_forbidden":
        return f"{path}: unknown key; {_suggestion(location, root, models)}"
    if item["type"] in ("union_tag_invalid", "union_tag_not_found"):
        return _wrong_tag(item["ctx"], path, [tag for model in models for tag in _tags(model)])
    message = str(item["msg"]).removeprefix("Value error, ")
    given = item.get("input")
    shown = f", got {given!r}" if isinstance(given, (str, int, float, bool)) and item["type"] != "missing" else ""
    return f"{path or 'the description'}: {message[0].lower()}{message[1:]}{shown}"


def _is_tag(part: int | str) -> bool:
    """Tell whether a part of a pydantic location names a union's branch, not a key."""
    return isinstance(part, str) and (
        part[:1].isupper() or "[" in part or part in ("literal", "bool", "int", "float", "str", "nullable")
    )


def _wrong_tag(context: Mapping[str, Any], path: str, known: Sequence[str]) -> str:
    """Return the line for a section that does not say which of several it is, or names none."""
    key, listed = context["discriminator"].strip("'"), f"one of {', '.join(known)}"
    if "tag" not in context:
        return f"{path}: its {key} is missing; {listed}"
    near = difflib.get_close_matches(context["tag"], known, n=1, cutoff=0.6)
    return f"{path}.{key}: no such {key} {context['tag']!r}; {f'did you mean {near[0]}?' if near else listed}"


def _suggestion(location: Sequence[int | str], root: type[BaseModel], models: Sequence[type[BaseModel]]) -> str:
    """Return what an unknown key was probably meant to be: another trainer's word, a key of another section, a typo."""
    name, known = str(location[-1]), [field for model in models for field in model.model_fields]
    foreign = FOREIGN_NAMES.get(name) if root is RunSpec else None
    if foreign is not None:
        return f"hone calls it {foreign.name} ({foreign.source} calls it {name})"
    elsewhere = [path for path in _paths_to(root, name) if list(path[:-1]) != list(location[:-1])]
    if elsewhere:
        usual = min(elsewhere, key=lambda path: not OTHERS.keys().isdisjoint(path))  # LoRA's before other adapters'
        return f"its place is {'.'.join(usual)}"
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    if near:
        return f"did you mean {near[0]}?"
    return f"known here: {', '.join(sorted(known))}"


def _paths_to(root: type[BaseModel], name: str) -> list[tuple[str, ...]]:
    """Return every path of plain sections at which ``root`` has a key called ``name``, the shortest first."""
    found: list[tuple[str, ...]] = []
    level: list[tuple[tuple[str, ...], type[BaseModel]]] = [((), root)]
    while level:
        found += [(*path, name) for path, model in level if name in model.model_fields]
        level = [
            ((*path, key), section)
            for path, model in level
            for key, field in model.model_fields.items()
            if not _is_list(field.annotation)
            for section in _models_in(field.annotation)
        ]
    return found


def _is_list(annotation: Any) -> bool:
    """Tell whether an annotation holds a list, whose items have no path of their own."""
    if typing.get_origin(annotation) in (tuple, list):
        return True
    return any(_is_list(argument) for argument in typing.get_args(annotation))


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    origin = typing.get_origin(annotation)
    if origin in (typing.Union, types.UnionType, tuple, list, typing.Annotated):
        return [found for argument in typing.get_args(annotation) for found in _models_in(argument)]
    return []
