"""Which calls of a run are made again although they are stored: those of ``--fresh`` stages, and damaged ones."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.core.workspace import write_atomic
from schemas.artifacts import StageCall
from schemas.base import StageName

FRESH = "fresh.json"
"""Where a run's record keeps a request that is not done."""


@dataclass
class Renewal:
    """One request to make stages again. It is kept until the run comes to its end, so that after an interrupt the same
    command goes on with it: a call begins anew at its first attempt, and later ones take its work up.

    Args:
        path: where it is kept.
        stages: stages whose calls are made again.
        begun: calls that an attempt began to make, by id.
        made: calls that were made.
        damaged: calls of any stage whose artifact was found damaged and is not made yet.
        asked: all that were ever found so.
    """

    path: Path
    stages: frozenset[StageName]
    begun: set[str] = field(default_factory=set)
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
        same = kept if kept.get("stages") == sorted(stages) else {}
        return cls(path, stages, set(same.get("begun", ())), set(same.get("made", ())))

    @staticmethod
    def interrupted(path: Path) -> frozenset[StageName]:
        """Return the stages of a request that was interrupted; none where there is none."""
        try:
            return frozenset(json.loads(path.read_text(encoding="utf-8")).get("stages", ()))
        except (FileNotFoundError, ValueError):
            return frozenset()

    def asks_for(self, call: StageCall) -> bool:
        """Tell whether the call is to be made whatever is stored."""
        return call.id in self.damaged or (call.stage in self.stages and call.id not in self.made)

    def restarts(self, call: StageCall) -> bool:
        """Tell whether the call is to begin anew: it is asked for by its stage, and no attempt at it began yet."""
        return call.stage in self.stages and call.id not in self.begun

    def begin(self, call: StageCall) -> None:
        """Write down that an attempt began, once what earlier requests left of its work is gone."""
        if self.restarts(call):
            self.begun.add(call.id)
            self._keep()

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
            self._keep()

    def _keep(self) -> None:
        kept = {"stages": self.stages, "begun": self.begun, "made": self.made}
        write_atomic(self.path, json.dumps({name: sorted(values) for name, values in kept.items()}) + "\n")

    def close(self) -> None:
        """Forget the request: the run came to its end."""
        self.path.unlink(missing_ok=True)
