"""The fields of a row: what its layout says that its columns hold, each checked for its type."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.data.columns import Layout, Slot
from pipeline.data.names import nearest
from pipeline.data.read_text import json_type
from pipeline.data.rows import RowFault, SourceRow
from pipeline.data.text import is_blank
from pipeline.data.turns import parse_tools, without_nulls
from schemas.data import DataOptions
from schemas.faults import FaultCode

Values = Mapping[str, Any]

_VERDICTS = {"true": True, "1": True, "false": False, "0": False}


@dataclass
class Fields:
    """Reads the fields of the rows of one source.

    Args:
        layout: their format and columns.
        options: templates, system text and declared labels.
    """

    layout: Layout
    options: DataOptions

    def values(self, row: SourceRow) -> Values:
        """Return the values of a row, without the nulls that a table adds inside the columns that are read."""
        if not row.from_table:
            return row.values
        read = (column for column in self.layout.columns.values() if column in row.values)
        return {**row.values, **{column: without_nulls(row.values[column]) for column in read}}

    def tools(self, row: SourceRow) -> tuple[dict[str, Any], ...] | None:
        """Return the tools of a row; None where there are none.

        Raises:
            ValueError: the column holds something else.
        """
        column = self.layout.columns.get("tools")
        return None if column is None else parse_tools(self.values(row).get(column), column)

    def text(self, values: Values, slot: Slot, if_empty: FaultCode = "unusable_row") -> str:
        """Return the text of a column; ``if_empty`` is the class of a row that has none there.

        Raises:
            ValueError: it is missing, null, empty or not a string.
        """
        value, column = self.value(values, slot)
        if not isinstance(value, str):
            raise ValueError(f"column {column!r} is {json_type(value)}, not a string")
        if is_blank(value):
            raise RowFault(if_empty, f"column {column!r} is empty")
        return value

    def value(self, values: Values, slot: Slot) -> tuple[Any, str]:
        """Return the value of a column and its name.

        Raises:
            ValueError: the row does not have it, or it is null.
        """
        column = self.layout.columns[slot]
        if column not in values:
            raise ValueError(f"column {column!r} is missing")
        if values[column] is None:
            raise ValueError(f"column {column!r} is null")
        return values[column], column

    def label(self, values: Values, slot: Slot = "label") -> str:
        """Return the label of a row; whole numbers and booleans count as their text.

        Raises:
            ValueError: it is missing, empty, of another type, or not a declared one.
        """
        value, column = self.value(values, slot)
        if not isinstance(value, (str, int)):
            raise ValueError(f"column {column!r} is {json_type(value)}, not a label")
        label = value if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else str(value)
        if is_blank(label):
            raise ValueError(f"column {column!r} is empty")
        return self.declared(label)

    def verdict(self, values: Values) -> bool:
        """Return whether the answer of a row is said to be good: true or false, also as 1 or 0, or as a word of a CSV.

        Raises:
            ValueError: it is missing, or says neither.
        """
        value, column = self.value(values, "label")
        found = _VERDICTS.get(str(value).strip().casefold()) if isinstance(value, (bool, int, str)) else None
        if found is None:
            raise ValueError(f"column {column!r} is {str(value)[:80]!r}, and a verdict is true or false")
        return found

    def declared(self, label: str) -> str:
        """Return ``label`` if it may be.

        Raises:
            ValueError: labels are declared and this is none of them.
        """
        labels = self.options.labels
        if labels is not None and label not in labels:
            near = nearest(label, labels)
            more = f"; the nearest is {near!r}" if near else ""
            raise RowFault("undeclared_label", f"{label[:80]!r} is no declared label{more}")
        return label

    def system(self, values: Values) -> str | None:
        """Return the row's own system turn; None where it has none.

        Raises:
            ValueError: it is no string.
        """
        column = self.layout.columns.get("system")
        value = values.get(column) if column is not None else None
        if value is not None and not isinstance(value, str):
            raise ValueError(f"column {column!r} is {json_type(value)}, not a string")
        return value if value and value.strip() else None

    def language(self, values: Values) -> str | None:
        """Return the language that the row says it is in; None where it says none."""
        value = values.get(self.layout.columns["language"])
        return value.strip() or None if isinstance(value, str) else None

    def group(self, values: Values) -> str:
        """Return the name of the row's group.

        Raises:
            ValueError: it is missing, null, or a list or an object.
        """
        value, column = self.value(values, "group")
        if isinstance(value, (list, dict)):
            raise ValueError(f"column {column!r} is {json_type(value)}, not a group's name")
        return str(value)
