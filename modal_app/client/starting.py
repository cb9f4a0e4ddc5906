"""Starting a run on Modal from here, and following it to its end."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import modal
import modal.exception
from rich.console import Console

from modal_app.caller import NO_ANSWER
from modal_app.client.mirror import Follower, Mirror
from modal_app.client.uploads import upload_sources
from modal_app.controller import prepare_run
from modal_app.orders import Controlled, ControlOrder, PreparedRun, PrepareOrder
from modal_app.settings import SETTINGS
from modal_app.under_way import start_controller
from modal_app.volumes import ARTIFACTS
from pipeline.control.conclusion import Conclusion
from pipeline.control.display import Display
from pipeline.control.ledger import LEDGER, Ledger
from pipeline.control.runs import RunDirectory
from pipeline.core.errors import Cancelled, ConfigError, from_record
from pipeline.core.spec import read_spec
from schemas.plan import PlanArtifact
from schemas.run import RunSpec

POLL_SECONDS = 2.0
"""How often the Volume is asked for new events."""

DEFAULT_FOLDER = Path(f"{SETTINGS.app}-modal")


@dataclass(frozen=True)
class Client:
    """This side of a run: where its record goes, and who is told."""

    root: Path
    messages: Console
    quiet: bool = False

    @property
    def mirror(self) -> Mirror:
        """The record's place here."""
        return Mirror(ARTIFACTS, self.root)

    def announce(self, text: str) -> None:
        """Tell one line."""
        if not self.quiet:
            self.messages.print(text, markup=False, soft_wrap=True)

    def follower(self, run: str) -> Follower:
        """Return what tells the run's events from now on."""
        follower = Follower(self.mirror, run)
        follower.skip()
        return follower

    def ledger(self, run: str) -> Ledger | None:
        """Return the run's ledger as it was last written; None where nothing was spent."""
        path = self.mirror.file(f"runs/{run}/{LEDGER}")
        return None if path is None else Ledger.from_json(path.read_text(encoding="utf-8"))

    def plan(self, directory: RunDirectory) -> PlanArtifact:
        """Return a run's plan, brought here.

        Raises:
            ConfigError: the run was not planned.
        """
        fingerprint = directory.calls().get("plan", {}).get("fingerprint")
        if fingerprint is None:
            raise ConfigError("this run was never planned", where=directory.run, fix="start it with its description")
        path = self.mirror.file(f"artifacts/plan/{fingerprint}/plan.json")
        assert path is not None
        return PlanArtifact.model_validate_json(path.read_text(encoding="utf-8"))

    def prepare(self, config: Path, overrides: list[str]) -> tuple[RunSpec, PreparedRun]:
        """Send what a description names, and have its run resolved, planned and its base brought into the cache.

        Raises:
            HoneError: whatever is wrong with the description or what it names.
        """
        spec = read_spec(config, overrides)
        sent = upload_sources(spec, config.absolute().parent, ARTIFACTS, self.announce)
        self.announce("preflight on a CPU: references, plan, model cache")
        prepared = PreparedRun.model_validate_json(prepare_run.remote(PrepareOrder(spec=sent).model_dump_json()))
        if prepared.error is not None:
            raise from_record(prepared.error)
        return spec, prepared

    def start(self, order: ControlOrder) -> modal.FunctionCall[Any]:
        """Have a run carried out, or find the controller that does it already.

        Raises:
            ConfigError: the folder that receives its record is not for that.
        """
        self.mirror.claim()
        call, begun = start_controller(order)
        if not begun:
            self.announce(f"{order.run} is under way already; it goes on as it was started, and is followed here")
        return call

    def follow(self, run: str, call: modal.FunctionCall[Any], follower: Follower) -> Conclusion:
        """Show a run's events until its controller ends, bring its record and report here, and say how it ended.

        Raises:
            Cancelled: the controller was stopped with its app.
            HoneError: what the controller failed with.
        """
        with Display(self.messages, quiet=self.quiet) as display:
            while True:
                ended = _ended(call, run)
                for event in follower.new_events():
                    display(event)
                if ended is None:
                    continue
                if ended.handed_over_to is None:
                    break
                call = modal.FunctionCall.from_id(ended.handed_over_to)
        if ended.error is not None:
            raise from_record(ended.error)
        assert ended.conclusion is not None
        self.mirror.run(run)
        return Conclusion.from_json(ended.conclusion)


def _ended(call: modal.FunctionCall[Any], run: str) -> Controlled | None:
    """Return how a run's controller ended; None while it has not, after a while of waiting.

    Raises:
        Cancelled: it gave no answer: its app or its function call was stopped.
    """
    try:
        return Controlled.model_validate_json(call.get(timeout=POLL_SECONDS))
    except (TimeoutError, *NO_ANSWER):
        return None
    except modal.exception.Error as error:
        fix = f"modal run -m modal_app.main::resume --run {run}"
        raise Cancelled(f"the run was stopped on Modal ({error})", where=run, fix=fix) from error
