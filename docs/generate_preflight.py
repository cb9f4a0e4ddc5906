"""Write the table of docs/preflight.md from the table of fault classes: ``python docs/generate_preflight.py``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

from schemas.faults import FAULTS, Subject

PAGE = Path(__file__).resolve().parent / "preflight.md"
_HEADER = "| code | severity | what is found | what to do |\n| --- | --- | --- | --- |"
_TABLE = re.compile(r"(?<=<!-- faults -->\n).*?(?=<!-- end of faults -->)", re.DOTALL)


def page(text: str) -> str:
    """Return the page with its table as the code has it."""
    return _TABLE.sub(lambda _: f"\n{tables()}\n", text)


def tables() -> str:
    """Return a table of classes for each subject."""
    return "\n\n".join(
        f"### {subject.capitalize()}\n\n{_HEADER}\n" + "\n".join(_rows(subject)) for subject in _subjects()
    )


def _subjects() -> tuple[Subject, ...]:
    subjects: tuple[Subject, ...] = get_args(Subject)
    return subjects


def _rows(subject: Subject) -> Iterator[str]:
    for code, fault in FAULTS.items():
        if fault.subject == subject:
            severity = fault.severity if fault.ignorable else f"{fault.severity}, cannot be ignored"
            if fault.policy is not None:
                severity = f"{severity}; error under `{fault.policy}: stop`"
            yield f"| `{code}` | {severity} | {_cell(fault.what)} | {_cell(fault.fix)} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
