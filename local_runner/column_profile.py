"""What one column of a file holds, over the rows that were looked at: text, labels, numbers, dates, identifiers."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from pipeline.data.rows import SourceRow

MOST_LABELS: Final = 200
LABEL_LENGTH: Final = 60
_MOST_NUMBERS: Final = 20
_ROWS_PER_LABEL: Final = 2
_FILLED: Final = 0.95
_NEARLY_ALL: Final = 0.9
_IDENTIFIER_LENGTH: Final = 64

_DATE = re.compile(
    r"\d{4}[-/.]\d{1,2}([-/.]\d{1,2})?([T ]\d{1,2}:\d{2}.*)?"
    r"|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4}( \d{1,2}:\d{2}.*)?|\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?"
)
_ADDRESS = re.compile(r"(https?|ftp|s3|gs)://\S+|[\w.+-]+@[\w-]+\.[\w.]+")


@dataclass(frozen=True)
class Profile:
    """One column over the sampled rows.

    ``distinct`` counts different values of ``count``, ``longest`` and ``mean_length`` are in characters. ``words`` is
    the share of values that have white space or a character outside ASCII; ``dates``, ``addresses`` and
    ``json_objects`` are shares, too.
    """

    name: str
    rows: int
    count: int
    is_text: bool
    distinct: int
    mean_length: float
    longest: int
    words: float
    dates: float
    addresses: float
    json_objects: float

    @property
    def filled(self) -> float:
        """The share of rows that have a value."""
        return self.count / max(self.rows, 1)

    @property
    def names_things(self) -> bool:
        """Whether the values are dates, addresses, or nearly unique short codes: they ask and answer nothing."""
        if max(self.dates, self.addresses) >= _NEARLY_ALL:
            return True
        unique = self.count > 1 and self.distinct >= _NEARLY_ALL * self.count
        return unique and self.words < 1 - _NEARLY_ALL and self.longest <= _IDENTIFIER_LENGTH

    @property
    def may_be_label(self) -> bool:
        """Few different, short values in nearly every row, each in two rows or more on average."""
        most = min(MOST_LABELS if self.is_text else _MOST_NUMBERS, self.rows // _ROWS_PER_LABEL)
        few = 2 <= self.distinct <= most and not self.names_things
        return few and self.longest <= LABEL_LENGTH and self.filled >= _FILLED and self.json_objects == 0.0

    @property
    def may_ask(self) -> bool:
        """Text that is no label, no record and no identifier."""
        return self.is_text and not self.may_be_label and not self.names_things and self.json_objects < 1.0


def profile(rows: Sequence[SourceRow], name: str) -> Profile:
    """Return what a column holds."""
    given = [row.values.get(name) for row in rows]
    values = [value for value in given if isinstance(value, (str, int)) and str(value).strip()]
    texts = [str(value).strip() for value in values]
    lengths = [len(text) for text in texts] or [0]

    def share(found: int) -> float:
        return found / max(len(texts), 1)

    return Profile(
        name=name,
        rows=len(rows),
        count=len(values),
        is_text=bool(values) and all(isinstance(value, str) for value in values) and not _are_numbers(texts),
        distinct=len(set(texts)),
        mean_length=sum(lengths) / len(lengths),
        longest=max(lengths),
        words=share(sum(not text.isascii() or len(text.split()) > 1 for text in texts)),
        dates=share(sum(_DATE.fullmatch(text) is not None for text in texts)),
        addresses=share(sum(_ADDRESS.fullmatch(text) is not None for text in texts)),
        json_objects=share(sum(isinstance(value, str) and is_json_object(value) for value in values)),
    )


def _are_numbers(texts: Sequence[str]) -> bool:
    """Tell whether texts are all numbers: CSV has no other way to write them."""
    return all(text.lstrip("+-").replace(".", "", 1).isdigit() for text in texts)


def is_json_object(text: str) -> bool:
    """Tell whether a text is one JSON object."""
    if not text.lstrip().startswith("{"):
        return False
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False
