"""Which calls of a run are made again although they are stored: those of ``--fresh`` stages, and damaged ones."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.core.workspace import write_atomic
from schemas.artifacts import StageCall
from schemas.base import StageName


@dataclass
class Renewal:
    """One request to make stages again. It is kept until the run comes to its end, so that after an interrupt the same
    command goes on with it.

    Args:
        path: where it is kept.
        stages: stages whose calls are made again.
        made: calls that were, by id.
        damaged: calls of any stage whose artifact was found damaged and is not made yet.
        asked: all that were ever found so.
    """

    path: Path
    stages: frozenset[StageName]
    made: set[str] = field(default_factory=set)
    damaged: set[str] = field(default_factory=set)
    asked: set[str] = field(default_factory=set)

    @classmethod
    def open(cls, path: Path, stages: frozenset[StageName]) -> Renewal:
        """Return the request for ``stages``: a new one, or the same one that was interrupted."""
        try:
            kept = json.loads(path.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            kept = {}
        return cls(path, stages, set(kept["made"]) if kept.get("stages") == sorted(stages) else set())

    def asks_for(self, call: StageCall) -> bool:
        """Tell whether the call is to be made whatever is stored."""
        return call.id in self.damaged or (call.stage in self.stages and call.id not in self.made)

    def ask(self, call_id: str) -> bool:
        """Ask for a call whose artifact is damaged; False where that was asked before: once again is enough."""
        if call_id in self.asked:
            return False
        self.asked.add(call_id)
        self.damaged.add(call_id)
        return True

    def note(self, call: StageCall) -> None:
        """Write down that the call was made."""
        self.damaged.discard(call.id)
        if call.stage in self.stages and call.id not in self.made:
            self.made.add(call.id)
            write_atomic(self.path, json.dumps({"stages": sorted(self.stages), "made": sorted(self.made)}) + "\n")

    def close(self) -> None:
        """Forget the request: the run came to its end."""
        self.path.unlink(missing_ok=True)
