"""Faults of the rows themselves: unusable, empty, repeated, contradictory, with personal data.

The steps of the data stage found nearly all of them already and left them in the ledger.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from pipeline.data.checks.make import finding, grouped
from pipeline.data.ledger import Reason
from pipeline.data.load import Loaded, may_drop, named_rows
from pipeline.data.prepared import Prepared
from pipeline.data.text import normalize
from schemas.data import Example
from schemas.faults import FaultCode
from schemas.preflight import Finding

_REMOVED: Final[dict[Reason, FaultCode]] = {
    "personal_data": "personal_data",
    "contradiction": "contradiction",
    "contamination": "training_asks_test",
    "exact_duplicate": "exact_duplicate",
    "near_duplicate": "near_duplicate",
}
"""The class of what a reason removes. A bad row has a class of its own; a row over ``max_rows`` has no fault."""


def check_rows(prepared: Prepared) -> Iterator[Finding]:
    """Yield what is wrong with rows, whatever became of them."""
    for loaded in prepared.loaded:
        yield from _bad_rows(loaded, prepared)
    removed = (
        ((_REMOVED[entry.reason], entry.source), entry.row)
        for entry in prepared.ledger.entries
        if entry.reason in _REMOVED
    )
    for (code, source), rows in grouped(removed):
        yield finding(code, source, rows, done="removed")
    noted = (((note.code, note.source, note.done), note.row) for note in prepared.ledger.notes)
    for (code, source, done), rows in grouped(noted):
        yield finding(code, source, rows, done=done, stops=code in prepared.ledger.stops)
    if "personal_data_in_answers" in prepared.ledger.stops:
        answered = ((draft.source, draft.row) for draft in prepared.personal.rows_answered)
        for source, rows in grouped(answered):
            yield finding("personal_data_in_answers", source, rows, stops=True)
    for split, examples in prepared.examples.items():
        if same := [example.row for example in examples if _repeats_prompt(example)]:
            yield finding("answer_repeats_prompt", split, same)


def _bad_rows(source: Loaded, prepared: Prepared) -> Iterator[Finding]:
    options = prepared.options.bad_rows
    stops = not may_drop(source, options)
    over = stops and options.action == "drop"
    for code, rows in grouped((row.code, row.number) for row in source.bad):
        told = named_rows([row for row in source.bad if row.code == code])
        cap = f"{len(source.bad)} of {source.read} rows are over the cap of {options.cap:.1%} (data.bad_rows.cap); "
        yield finding(code, source.role, rows, detail=(cap if over else "") + told, done="set aside", stops=stops)


def _repeats_prompt(example: Example) -> bool:
    if example.label is not None:  # a label may well be a word that is asked about
        return False
    asked = [turn.content for turn in example.prompt if turn.role == "user"]
    return bool(asked and example.answer.strip()) and normalize(asked[-1]) == normalize(example.answer)
