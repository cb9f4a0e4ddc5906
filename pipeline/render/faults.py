"""What the preflight collects: the rows of each fault, in words."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from pipeline.core.errors import RenderError
from pipeline.core.findings import named_rows
from schemas.faults import FAULTS, FaultCode


@dataclass
class FoundRows:
    """Row numbers of one fault, and what is to be said of it beyond its code. A fault of no rows has none."""

    rows: list[int] = field(default_factory=list)
    detail: str = ""


@dataclass
class FaultRows:
    """Row numbers by fault."""

    found: dict[FaultCode, FoundRows] = field(default_factory=dict)

    def add(self, code: FaultCode, row: int | None = None, detail: str = "") -> None:
        """Note a fault of one row, or of none; the first detail is kept. A row counts once."""
        known = self.found.setdefault(code, FoundRows())
        known.detail = known.detail or detail
        if row is not None and (not known.rows or known.rows[-1] != row):
            known.rows.append(row)

    def refuse(self, source: str, ignore: Collection[FaultCode]) -> None:
        """Raise what may not be trained.

        Raises:
            RenderError: a fault that is an error was found and is not in ``ignore``.
        """
        worst = [
            code for code in FAULTS if code in self.found and FAULTS[code].severity == "error" and code not in ignore
        ]
        if worst:
            told = "; ".join(_told(code, self.found[code]) for code in worst)
            raise RenderError(told, where=source, fix=FAULTS[worst[0]].fix)


def _told(code: FaultCode, found: FoundRows) -> str:
    rows = f" ({named_rows(found.rows)})" if found.rows else ""
    return f"{FAULTS[code].what}{rows}" + (f": {found.detail}" if found.detail else "")
