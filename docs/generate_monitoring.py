"""Write the table of docs/monitoring.md from the table of detectors: ``python docs/generate_monitoring.py``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from inspect import getdoc
from pathlib import Path

from pipeline.monitor.registry import DETECTORS

PAGE = Path(__file__).resolve().parent / "monitoring.md"
_HEADER = "| detector | compares | shift | how, and whose method |\n| --- | --- | --- | --- |"
_TABLE = re.compile(r"(?<=<!-- detectors -->\n).*?(?=<!-- end of detectors -->)", re.DOTALL)


def page(text: str) -> str:
    """Return the page with its table as the code has it."""
    return _TABLE.sub(lambda _: f"\n{_HEADER}\n" + "\n".join(_rows()) + "\n\n", text)


def _rows() -> Iterator[str]:
    for name, detector in DETECTORS.items():
        how = " ".join((getdoc(detector.detect) or "").split()).replace("``", "`").replace("|", "\\|")
        yield f"| `{name}` | {detector.title.lower()} | {detector.measure} | {how} |"


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
