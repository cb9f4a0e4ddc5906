"""Keeps screenshots of a report for the docs: the top of the page on a phone, in dark, and on a wide screen, in light.

    python docs/generate_screenshots.py hone-demo

The folder is one that ``hone demo`` filled; Debian's chromium and chromium-driver are needed.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from tests.support.browser import open_browser  # noqa: E402

IMAGES = HERE / "images"


def main(folder: Path) -> None:
    """Write ``docs/images/report-<width>.png`` of the newest run in the folder's workspace."""
    reports = folder.glob(".hone/runs/*/report/report.html")
    newest = max(reports, key=lambda path: path.stat().st_mtime, default=None)
    if newest is None:
        raise SystemExit(f"{folder}: no run has a report here; run hone demo {folder}")
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="browser-") as profile, open_browser(Path(profile)) as page:
        for width, dark in ((400, True), (1400, False)):
            page.show(newest, width, dark=dark)
            (IMAGES / f"report-{width}.png").write_bytes(page.picture())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
