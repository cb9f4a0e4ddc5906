"""How a run ended: its report written, its summary for the terminal, and the exit code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.control.controller import Outcome
from pipeline.control.display import show_error
from pipeline.control.session import Prepared, Session, registered
from pipeline.core.errors import from_record
from pipeline.core.registry import Registry
from pipeline.report.record import RunRecord
from pipeline.report.summary import Summary, plain_text, summarize
from pipeline.report.types import Registration
from pipeline.report.write import write_report
from schemas.errors import ErrorRecord, ExitCode

if TYPE_CHECKING:
    from rich.console import Console

    from pipeline.control.runs import RunDirectory

_DETAIL_LINES = 15


def run_registration(registry: Registry, directory: RunDirectory, number: int | None) -> Registration:
    """Return what the registry says of the version that a run registered."""
    version = None if number is None else registry.get_version(directory.read().spec.name, number)
    return Registration.of(version)


@dataclass(frozen=True)
class Conclusion:
    """The end of a run here. ``refused``: its gate said no; ``notice`` is what the registry had to say."""

    outcome: Outcome
    summary: Summary
    refused: bool
    notice: str | None

    def as_json(self) -> dict[str, Any]:
        """Return everything as JSON data; `executed` and `reused` name the calls."""
        return {
            "run": self.summary.run,
            "status": self.outcome.status,
            "executed": list(self.outcome.done),
            "reused": list(self.outcome.cached),
            "failed_call": self.outcome.failed_call,
            "error": self.outcome.error.model_dump() if self.outcome.error is not None else None,
            "refused": self.refused,
            "notice": self.notice,
            "summary": self.summary.model_dump(mode="json"),
            "exit_code": int(exit_code(self)),
        }

    def show(self, out: Console, err: Console) -> None:
        """Print it for people: results to ``out``, what went wrong to ``err``."""
        from rich.markup import escape

        if self.outcome.status == "finished" and not self.outcome.done:
            out.print(f"nothing to do: all {len(self.outcome.cached)} calls were finished before", soft_wrap=True)
        if self.summary.scores:
            out.print("\n" + plain_text(self.summary), markup=False, soft_wrap=True, end="")
        if self.notice:
            err.print(f"[yellow]![/] {escape(self.notice)}", soft_wrap=True)
        if self.outcome.status == "stopped":
            out.print("the run stops here as asked; run it without --until to go on", soft_wrap=True)
        if self.outcome.error is not None:
            err.print(f"{self.outcome.failed_call} failed")
            show_error(err, from_record(self.outcome.error))
            if self.outcome.error.detail:
                for line in self.outcome.error.detail.splitlines()[-_DETAIL_LINES:]:
                    err.print(f"  | {line}", markup=False, style="dim", soft_wrap=True)

    def with_report(self, path: Path) -> Conclusion:
        """Return it with the report's place here."""
        return replace(self, summary=self.summary.model_copy(update={"report": str(path)}))

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Conclusion:
        """Return what `as_json` described, with the report's place as the one who wrote it saw it."""
        error = value["error"]
        outcome = Outcome(
            status=value["status"],
            done=tuple(value["executed"]),
            cached=tuple(value["reused"]),
            failed_call=value["failed_call"],
            error=None if error is None else ErrorRecord.model_validate(error),
        )
        return cls(outcome, Summary.model_validate(value["summary"]), value["refused"], value["notice"])


def conclude(session: Session, prepared: Prepared, outcome: Outcome) -> Conclusion:
    """Write the run's report and return how it ended."""
    number, notice = registered(prepared.directory)
    record = RunRecord.load(session.root, prepared.directory.run)
    known = run_registration(session.open_registry(), prepared.directory, number)
    files = write_report(record, prepared.directory.path / "report", known)
    refused = record.register is not None and record.register.artifact.decision.verdict == "refused"
    return Conclusion(outcome, summarize(record, known, files.html), refused, notice)


def exit_code(conclusion: Conclusion) -> ExitCode:
    """Return the exit code: a failed call's own, `GATE_FAILED` for a refused version, else 0."""
    if conclusion.outcome.error is not None:
        return from_record(conclusion.outcome.error).exit_code
    if conclusion.outcome.status == "finished" and conclusion.refused:
        return ExitCode.GATE_FAILED
    return ExitCode.OK
