"""``--on modal``: the same work by ``modal run``, in a process of its own; Modal is not imported here."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from pipeline.core.errors import EnvironmentMissing

MODULE = "modal_app.main"

_TOKEN = ("MODAL_TOKEN_ID", "MODAL_OAUTH_REFRESH_TOKEN")
"""Modal's client takes either; what belongs to it, it misses by itself."""


_MODAL_RUN = (sys.executable, "-P", "-m", "modal", "run")


@dataclass(frozen=True)
class ModalExport:
    """The options of a push to the Hub from a container; see ``modal run -m modal_app.main::export -- --help``."""

    version: str
    to: str
    variant: str | None = None
    public: bool = False
    as_json: bool = False

    @property
    def command(self) -> list[str]:
        """The command; with ``--json`` Modal's own progress is left out, so that one object is printed."""
        variant = ["--variant", self.variant] if self.variant is not None else []
        flags = [*(["--public"] if self.public else []), *(["--json"] if self.as_json else [])]
        quiet = ["--quiet"] if self.as_json else []
        return [
            *_MODAL_RUN, *quiet, "-m", f"{MODULE}::export",
            "--version", self.version, "--to", self.to, *variant, *flags,
        ]  # fmt: skip


@dataclass(frozen=True)
class ModalRun:
    """The options of one run on Modal; see ``modal run -m modal_app.main --help``.

    ``to`` receives record and report; None leaves the folder to the command. ``detach`` lets the run go on when this
    machine goes away.
    """

    spec: Path
    overrides: tuple[str, ...] = ()
    first: str | None = None
    last: str | None = None
    fresh: tuple[str, ...] = ()
    max_cost: float | None = None
    yes: bool = False
    to: Path | None = None
    detach: bool = False
    as_json: bool = False

    @property
    def command(self) -> list[str]:
        """The command; with ``--json`` Modal's own progress is left out, so that one object is printed."""
        flags = [*(["--quiet"] if self.as_json else []), *(["--detach"] if self.detach else [])]
        return [*_MODAL_RUN, *flags, "-m", MODULE, *self._options()]

    def _options(self) -> Iterator[str]:
        yield from ("--config", str(self.spec))
        for override in self.overrides:
            yield from ("--set", override)
        for name, value in (("--from", self.first), ("--until", self.last)):
            if value is not None:
                yield from (name, value)
        for stage in self.fresh:
            yield from ("--fresh", stage)
        if self.max_cost is not None:
            yield from ("--max-cost", repr(self.max_cost))
        if self.yes:
            yield "--yes"
        if self.to is not None:
            yield from ("--to", str(self.to))
        if self.as_json:
            yield "--json"


def run_on_modal(run: ModalRun | ModalExport) -> int:
    """Have ``modal run`` carry it out, and return its exit code, which is a documented one of hone's.

    Raises:
        EnvironmentMissing: this machine has no token for Modal.
    """
    require_token(os.environ)
    # A job in the background ignores interruptions, and the command would inherit that; it stops runs by them.
    interrupted = signal.signal(signal.SIGINT, signal.default_int_handler)
    with subprocess.Popen(run.command) as process:

        def stop(_signal: int, _frame: FrameType | None) -> None:
            process.send_signal(signal.SIGINT)

        # A terminal's Ctrl-C reaches the command by itself, and it is the command that says what becomes of the run.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        before = {signal.SIGINT: interrupted, signal.SIGTERM: signal.signal(signal.SIGTERM, stop)}
        try:
            return process.wait()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def require_token(variables: Mapping[str, str]) -> None:
    """Refuse to go on where Modal's client would find no token.

    Raises:
        EnvironmentMissing: neither the variables nor Modal's file has one.
    """
    if any(variables.get(name) for name in _TOKEN):
        return
    file = Path(variables.get("MODAL_CONFIG_PATH") or Path.home() / ".modal.toml")
    try:
        profiles = tomllib.loads(file.read_text(encoding="utf-8")).values()
    except FileNotFoundError:
        profiles = {}.values()
    except (OSError, ValueError):
        return  # Modal's client says what is wrong with its file
    names = {name.removeprefix("MODAL_").lower() for name in _TOKEN}
    if not any(names & profile.keys() for profile in profiles if isinstance(profile, dict)):
        raise EnvironmentMissing(
            "this machine has no token for Modal",
            where=str(file),
            fix="make an account at modal.com and run: modal token new; or set MODAL_TOKEN_ID and MODAL_TOKEN_SECRET",
        )
