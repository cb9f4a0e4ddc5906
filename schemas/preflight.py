"""The preflight: what a run wants looked for, and what was found in its rows before anything is trained."""

from __future__ import annotations

from pydantic import field_validator

from schemas.base import Reference, Schema, Split
from schemas.faults import FAULTS, FaultCode, Severity
from schemas.languages import LanguageCode


class PreflightOptions(Schema):
    """What may be said about the preflight.

    ``ignore`` silences classes of faults; they are still counted, and stay on the model card. ``languages`` (ISO 639
    codes) declares what the rows are written in; without any, languages are not looked at.
    """

    ignore: tuple[FaultCode, ...] = ()
    languages: tuple[LanguageCode, ...] = ()

    @field_validator("ignore")
    @classmethod
    def _may_be_ignored(cls, codes: tuple[FaultCode, ...]) -> tuple[FaultCode, ...]:
        for code in codes:
            if not FAULTS[code].ignorable:
                raise ValueError(f"{code} cannot be ignored: {FAULTS[code].what}; {FAULTS[code].fix}")
        return tuple(sorted(set(codes)))


class PreflightConfig(PreflightOptions):
    """What the data stage is told for its preflight.

    ``benchmarks`` are files of public benchmark items. ``rows_for_gain`` is how many test rows the plan found that the
    gain aimed at needs, ``max_items`` how many are evaluated at most. ``unservable`` says why vLLM would not serve the
    adapter that is to be served; empty where it would, or where none is.
    """

    benchmarks: tuple[Reference, ...] = ()
    rows_for_gain: int | None = None
    max_items: int | None = None
    unservable: tuple[str, ...] = ()


class Finding(Schema):
    """One fault that was found: its class, where, and what became of the rows.

    ``rows`` are the first row numbers of the source file (1-based) of ``count``; a fault that is not of rows counts 0.
    ``done`` says what a policy of the description did with them (removed, cut, kept); empty where nothing was done.
    ``severity`` is that of the class, or error where its policy is ``stop``. ``ignored``: the description silences it.
    """

    code: FaultCode
    severity: Severity
    split: Split | None = None
    count: int = 0
    rows: tuple[int, ...] = ()
    detail: str = ""
    done: str = ""
    ignored: bool = False

    @property
    def refuses(self) -> bool:
        """Whether a run must not go on."""
        return self.severity == "error" and not self.ignored
