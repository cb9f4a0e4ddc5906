"""What a function of a config can return: it is called with every value of just those fields that it reads.

Fields are followed into nested models. A field that holds free text or a number has no values to try, so a function
that reads one cannot be enumerated, which is said with the field's path.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Iterator
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel

Choices = dict[str, Any]
"""Path of a field -> the value that is tried; for nested models, their class."""


class Undecided(Exception):
    """A field was read for which nothing is chosen yet."""

    def __init__(self, path: str, options: list[Any]) -> None:
        self.path, self.options = path, options


class Probe:
    """Stands for an instance of ``model``, for ``isinstance`` too, whose fields have the values that are chosen."""

    def __init__(self, model: type[BaseModel], choices: Choices, path: str = "") -> None:
        self.__dict__.update(_model=model, _choices=choices, _path=path)

    @property
    def __class__(self) -> type:
        return self.__dict__["_model"]  # type: ignore[no-any-return]

    def __getattr__(self, name: str) -> Any:
        model, choices = self.__dict__["_model"], self.__dict__["_choices"]
        path = f"{self.__dict__['_path']}.{name}".lstrip(".")
        if name not in model.model_fields:
            raise AttributeError(f"{model.__name__} has no field {name!r}, so no role can depend on it")
        options = list(_options(model.model_fields[name].annotation, f"{model.__name__}.{path}"))
        if path not in choices:
            raise Undecided(path, options)
        chosen = choices[path]
        return Probe(chosen, choices, path) if isinstance(chosen, type) else chosen


def _options(annotation: Any, where: str) -> Iterator[Any]:
    """Yield the values that a field can have; a nested model's class stands for its instances."""
    if get_origin(annotation) is Literal:
        yield from get_args(annotation)
    elif get_origin(annotation) in (typing.Union, types.UnionType):
        for part in get_args(annotation):
            yield from _options(part, where)
    elif get_origin(annotation) is typing.Annotated:
        yield from _options(get_args(annotation)[0], where)
    elif annotation is bool:
        yield from (False, True)
    elif annotation is types.NoneType:
        yield None
    elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    else:
        raise TypeError(f"{where} is a {annotation}, whose values cannot all be tried")


def results(function: Callable[[Any], Any], model: type[BaseModel]) -> Iterator[tuple[Choices, Any]]:
    """Yield what ``function`` returns for every config of ``model``, each with the fields that it read."""
    waiting: list[Choices] = [{}]
    while waiting:
        choices = waiting.pop()
        try:
            result = function(Probe(model, choices))
        except Undecided as undecided:
            waiting += [{**choices, undecided.path: option} for option in undecided.options]
        else:
            yield choices, result
