"""``python -m tests.modal_plane --root FOLDER``: a control plane to drive by hand with the ``modal`` command.

It prints the variables to export and runs until Ctrl-C; everything that it started ends with it.
"""

from __future__ import annotations

import argparse
import importlib
import json
import signal
import sys
import threading
from pathlib import Path

from .cloud import Options
from .fixture import why_not
from .server import Plane


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.modal_plane", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="port of loopback (default: a free one)")
    parser.add_argument("--root", type=Path, required=True, help="new folder for Volumes, blobs and containers")
    parser.add_argument("--secrets", type=Path, help="JSON file: {name: {VARIABLE: value}}")
    parser.add_argument(
        "--interpreter",
        help="MODULE:FUNCTION, which returns the Python that runs an image's bodies (default: this one for all)",
    )
    arguments = parser.parse_args()
    if reason := why_not():
        parser.exit(1, f"this machine allows no private mounts and processes: {reason}\n")
    secrets = json.loads(arguments.secrets.read_text(encoding="utf-8")) if arguments.secrets else {}
    options = Options(secrets=secrets)
    if arguments.interpreter:
        module, _, function = arguments.interpreter.partition(":")
        options.interpreter = getattr(importlib.import_module(module), function)
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    with Plane(arguments.root, options, arguments.port) as plane:
        names = ("SERVER_URL", "TOKEN_ID", "TOKEN_SECRET", "CONFIG_PATH", "DISABLE_API_PROXY")
        sys.stdout.write("".join(f"export MODAL_{name}={plane.environment[f'MODAL_{name}']}\n" for name in names))
        sys.stdout.flush()
        ended.wait()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
