"""Templates over a row's columns: Jinja in a sandbox, where an unknown name is an error and never an empty text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from jinja2 import StrictUndefined, TemplateError, TemplateSyntaxError, meta
from jinja2.sandbox import ImmutableSandboxedEnvironment

from pipeline.core.errors import ConfigError
from pipeline.data.names import nearest, quoted


class RowTemplate:
    """One template, such as ``{{ text }}``, checked against the columns before any row is read.

    Args:
        source: the Jinja text.
        key: the key of the run description, for messages.
        columns: the columns that rows have.

    Raises:
        ConfigError: the text is no template, or names something that is no column.
    """

    def __init__(self, source: str, key: str, columns: Sequence[str]) -> None:
        environment = ImmutableSandboxedEnvironment(
            undefined=StrictUndefined, autoescape=False, keep_trailing_newline=True, finalize=_not_null
        )
        try:
            tree = environment.parse(source)
            self._template = environment.from_string(source)
        except TemplateSyntaxError as error:
            raise ConfigError(
                f"not a template: {error.message} (line {error.lineno})", where=key, fix="correct the template"
            ) from error
        except TemplateError as error:
            raise ConfigError(f"not a template: {error}", where=key, fix="correct the template") from error
        self._names = meta.find_undeclared_variables(tree)
        self._columns = tuple(columns)
        for name in sorted(self._names - set(columns)):
            near = nearest(name, columns)
            raise ConfigError(
                f"the template names {name!r}, which is no column",
                where=key,
                fix=f"did you mean {near!r}?" if near else f"columns: {quoted(columns)}",
            )

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """The columns that the template reads, in the order of the source."""
        return tuple(name for name in self._columns if name in self._names)

    def render(self, values: Mapping[str, Any]) -> str:
        """Return the text for one row.

        Raises:
            ValueError: a column is missing in this row, a null would be written, or the template fails on a value.
        """
        try:
            return self._template.render(values)
        except Exception as error:  # an expression may raise anything on a value it was not made for
            raise ValueError(f"the template fails: {error}") from error


def _not_null(value: Any) -> Any:
    """Return what a template writes; a null would read as the word None, and a template may test for it first."""
    if value is None:
        raise ValueError("a value that it writes is null")
    return value
