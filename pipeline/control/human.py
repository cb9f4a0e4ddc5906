"""Human evaluation of a version: sheets out, answers in. The key, and what came back, are kept in the workspace.

``<root>/human/<sheet>/``: ``key.json`` (what unblinds the sheet), ``result.json`` (replaced by each import).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from pipeline.control.answered import Answered
from pipeline.core.errors import ConfigError, IntegrityError
from pipeline.core.human import HUMAN, human_folder
from pipeline.core.workspace import write_atomic
from pipeline.evaluate.human.figures import Resolved, evaluate
from pipeline.evaluate.human.reading import Raw, answer_files, check_answers, read_raw, sheet_of
from pipeline.evaluate.human.sheets import make_sheet
from pipeline.evaluate.human.writing import write_adjudication, write_sheets
from pipeline.evaluate.judge.pairs import pair_evaluations
from schemas.human import HumanEvaluation, SheetKey, SheetKind


@dataclass(frozen=True)
class Exported:
    """Sheets that were written, and the key that stays."""

    key: SheetKey
    files: tuple[Path, ...]
    key_file: Path


@dataclass(frozen=True)
class Imported:
    """What people said, the warnings about it, and the sheets that an adjudicator still has to fill."""

    evaluation: HumanEvaluation
    warnings: tuple[str, ...]
    adjudication: tuple[Path, ...]


def export_sheets(
    root: Path,
    answered: Answered,
    folder: Path,
    *,
    kinds: Collection[SheetKind],
    against: str | None,
    criteria: str,
    most: int | None,
    seed: int,
) -> Exported:
    """Write blind sheets of what is served against a baseline, the best one if ``against`` names none.

    Raises:
        ConfigError: the folder holds something, or there is no such baseline.
        DataError: all drawn answers are the same on both sides.
    """
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
        raise ConfigError("the folder is not empty", where=str(folder), fix="name a new folder with --to")
    decided = answered.record.artifact
    key = make_sheet(
        pair_evaluations(answered.served, answered.baseline(against)),
        kinds,
        name=answered.name,
        record=answered.record.ref,
        candidate=decided.served_variant,
        baseline=against or decided.decision.best_baseline,
        criteria=criteria,
        most=most,
        seed=seed,
        alpha=answered.alpha,
    )
    key_file = human_folder(root, key.sheet) / "key.json"
    key_file.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(key_file, key.model_dump_json(indent=1) + "\n")
    return Exported(key, write_sheets(key, folder), key_file)


def import_answers(root: Path, paths: Sequence[Path], adjudicated: Sequence[Path], to: Path | None) -> Imported:
    """Read what people answered, keep the figures, and write the rows on which they disagree to ``to``.

    Answers of ``adjudicated`` files override what people said.

    Raises:
        SourceError: a file cannot be read.
        DataError: answers are wrong (all rows are named), or belong to several sheets.
        ConfigError: the key is not in this workspace.
    """
    raws, overriding = read_raw(answer_files(paths)), read_raw(answer_files(adjudicated)) if adjudicated else []
    key = read_key(root, sheet_of([*raws, *overriding]))
    answers = check_answers(raws, key)
    decided = _decided(overriding, key)
    found = Resolved(key, answers, decided)
    evaluation = evaluate(found, datetime.now(UTC).isoformat(timespec="seconds"))
    write_atomic(human_folder(root, key.sheet) / "result.json", evaluation.model_dump_json(indent=1) + "\n")
    rows = [(item, "; ".join(str(row[who]) for who in sorted(row))) for item, row in found.open]
    written = write_adjudication(to, rows) if to is not None and rows else ()
    return Imported(evaluation, tuple(_warnings(found, evaluation)), written)


def read_key(root: Path, sheet: str) -> SheetKey:
    """Return the key of a sheet.

    Raises:
        ConfigError: it is not in this workspace.
        IntegrityError: the file is damaged.
    """
    path = human_folder(root, sheet) / "key.json"
    if not path.is_file():
        known = sorted(found.parent.name for found in (root / HUMAN).glob("*/key.json"))
        raise ConfigError(
            f"the key of sheet {sheet} is not in this workspace",
            where=str(root),
            fix=f"name the workspace that it was exported from with --workspace; here: {', '.join(known) or 'none'}",
        )
    try:
        return SheetKey.model_validate_json(path.read_text(encoding="utf-8"))
    except (ValidationError, UnicodeDecodeError) as error:
        raise IntegrityError("the key is damaged", where=str(path), fix="export the sheets again") from error


def _decided(raws: Sequence[Raw], key: SheetKey) -> dict[str, str | int]:
    """Return the adjudicated answers; one row has one answer, whoever gave it."""
    if not raws:
        return {}
    alike = [Raw("the adjudicator", raw.code, raw.value, raw.where) for raw in raws]
    given: Mapping[str, Mapping[str, str | int]] = check_answers(alike, key).given
    return {code: next(iter(row.values())) for code, row in given.items()}


def _warnings(found: Resolved, evaluation: HumanEvaluation) -> list[str]:
    given, told = found.answers.given, []
    for kind in ("pairwise", "rating"):
        codes = [item.code for item in found.key.items if item.kind == kind]
        people = sorted({who for code in codes for who in given.get(code, ())})
        for who in people:
            missing = [code for code in codes if who not in given.get(code, ())]
            if missing:
                shown = ", ".join(missing[:5]) + (f" and {len(missing) - 5} more" if len(missing) > 5 else "")
                told.append(f"{who} did not answer {len(missing)} of {len(codes)} {kind} items: {shown}")
    if evaluation.open:
        told.append(f"{evaluation.open} items are in disagreement and count by majority, or as ties, until adjudicated")
    if evaluation.annotators == 1:
        told.append("one person alone: nothing can be said about agreement")
    return told
