"""Makes the tiny base model: writes its text, carries out tiny_base.yaml, and keeps the model with a card.

    python -m local_runner.demo.make_base FOLDER [DESTINATION]

Everything is seeded. Other hardware sums in another order, so a model made elsewhere is compared by its scores.
"""

from __future__ import annotations

import shutil
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

from local_runner.caller import LocalCaller
from local_runner.demo.card import base_card
from local_runner.demo.corpus import write_base_corpus
from pipeline.control.options import RunOptions
from pipeline.control.session import Prepared, Session
from pipeline.core.errors import from_record
from pipeline.core.workspace import write_atomic
from pipeline.embedded import TINY_BASE
from pipeline.execute import load
from schemas.artifacts import Stored
from schemas.base import ArtifactRef
from schemas.events import Event

SPEC_NAME = "tiny_base.yaml"


def make_base(folder: Path, destination: Path, *, seed: int = 0) -> None:
    """Make the base model and keep it in ``destination``.

    Args:
        folder: receives the text and the workspace; what is finished there is not done again.
        destination: receives weights, tokenizer, configuration and README.md; files of these names are replaced.
        seed: of the text. The training's seed is in the description.

    Raises:
        HoneError: a stage failed.
    """
    write_base_corpus(folder, seed=seed)
    spec = folder / SPEC_NAME
    write_atomic(spec, (files("local_runner.demo") / SPEC_NAME).read_text(encoding="utf-8"))
    session = _session(folder / ".hone")
    prepared = session.prepare(session.resolve(spec))
    outcome = session.carry_out(prepared, RunOptions(last="evaluate"), _show, lambda: False)
    if outcome.error is not None:
        raise from_record(outcome.error)
    trained, evaluated = (_stored(session, prepared, f"{stage}.seed-0") for stage in ("train", "evaluate"))
    destination.mkdir(parents=True, exist_ok=True)
    for source in sorted((trained.path / trained.artifact.model).iterdir()):
        shutil.copyfile(source, destination / source.name)
    write_atomic(destination / "README.md", base_card(destination, trained.artifact, evaluated.artifact))


def _session(root: Path) -> Session:
    from local_runner.cli.common import registry

    return Session(root.absolute(), lambda: registry(root.absolute()), LocalCaller())


def _stored(session: Session, prepared: Prepared, call_id: str) -> Stored[Any]:
    call = prepared.directory.calls()[call_id]
    return load(session.store, ArtifactRef(stage=call["stage"], fingerprint=call["fingerprint"]))


def _show(event: Event) -> None:
    if event.kind != "progress":
        sys.stderr.write(f"{event.call_id} {event.kind} {event.message}\n")


if __name__ == "__main__":
    make_base(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else TINY_BASE)
