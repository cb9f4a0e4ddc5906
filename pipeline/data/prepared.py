"""Everything known once rows have their splits: what is written, and what the checks of the preflight look at."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.data.filters import Distinct
from pipeline.data.leakage import Leakage
from pipeline.data.ledger import Ledger
from pipeline.data.load import Loaded
from pipeline.data.redaction import PersonalCounts
from schemas.data import DataOptions, Example, ExampleKind, Split


@dataclass(frozen=True)
class Prepared:
    """The rows of a data set, read, cleaned and parted. ``splits`` has the split of each of ``distinct.drafts``.

    ``leakage`` is from its own training rows; ``trained`` from those of each other data set that the model learns from;
    ``leaked`` is all of it.
    """

    options: DataOptions
    loaded: list[Loaded]
    kind: ExampleKind
    ledger: Ledger
    personal: PersonalCounts
    distinct: Distinct
    splits: list[Split]
    leakage: Leakage
    trained: dict[str, Leakage]
    leaked: Leakage
    examples: dict[Split, list[Example]]
