"""Preflight: every row is rendered before any is trained, and rows that would train wrongly are refused."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from pipeline.core.errors import RenderError
from pipeline.render.conversation import Layout, Rendered, lay_out, render_text, tokenize_layouts
from pipeline.render.digest import template_digest
from pipeline.render.ending import end_pattern
from pipeline.render.preference import RenderedPair, render_preference
from pipeline.render.tokenizer import Tokenizer
from pipeline.render.turns import trains_wrong_turns
from schemas.data import Example
from schemas.render import RenderOptions, RenderReport

_NAMED = 5
"""Row numbers that a message names before it counts the rest."""

_LAST_TURN_SILENT = "the last assistant turn has weight 0, and completion_only_loss trains no other"

_FIXES = {
    _LAST_TURN_SILENT: "set train.assistant_only_loss to true and train.completion_only_loss to false",
    "no token is trained": "give each row an assistant turn that has content and whose weight is not 0",
    "no token is trained once the row is cut to max_length": "raise train.max_length, or set train.long_rows to drop",
    "the end-of-turn token is never trained": "give a chat template that closes each assistant turn with a special "
    "token, inside its generation markers where it has them",
    "BOS stands twice at the beginning": "remove the beginning-of-sequence token from the text or from the template",
    "a token joins the prompt and the answer, which no prompt at inference can": "remove the white space at the "
    "beginning of the answer, or end the template's generation prompt with a newline or a special token",
    "turns are trained that the loss excludes": "give a chat template whose generation markers enclose the "
    "assistant's part and nothing else",
}
"""What each fault means for the user, worst first."""

Row = Rendered | RenderedPair


@dataclass(frozen=True)
class RenderedRows:
    """The rows that are trained on: tokens, the example of each, and what was counted."""

    rows: list[Row]
    examples: list[Example]
    report: RenderReport


@dataclass
class _Faults:
    """Row numbers by fault."""

    rows: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))

    def add(self, fault: str, row: int) -> None:
        self.rows[fault].append(row)

    def raise_any(self, source: str) -> None:
        found = [fault for fault in _FIXES if self.rows.get(fault)]
        if found:
            lines = [f"{fault} ({_named(self.rows[fault])})" for fault in found]
            raise RenderError("; ".join(lines), where=source, fix=_FIXES[found[0]])


def check_examples(
    examples: Iterable[Example], tokenizer: Tokenizer, options: RenderOptions, max_length: int, *, source: str
) -> RenderReport:
    """Render all rows and refuse them if training on them would go wrong. Lengths are in tokens, before any cut.

    Raises:
        RenderError: rows without a trained token (also after truncation), without a trained end of turn, with
            BOS twice, with a token across prompt and answer, or with user text trained although the loss
            excludes it; or rows longer than ``max_length`` under ``long_rows: stop``; or no row left, or none whose
            trained end of turn is left. The message names row numbers.
    """
    return render_examples(examples, tokenizer, options, max_length, source=source).report


def render_examples(
    examples: Iterable[Example], tokenizer: Tokenizer, options: RenderOptions, max_length: int, *, source: str
) -> RenderedRows:
    """Return the tokens of all rows that are kept, in order, after the checks of `check_examples`.

    ``examples`` is read once, row by row as each is rendered, so that it may show progress.

    Raises:
        RenderError: as `check_examples`.
    """
    faults = _Faults()
    seen, rows, left_out = _render_all(examples, tokenizer, options, faults, source)
    lengths = [_length(row) for row in rows]
    long = [index for index, length in enumerate(lengths) if length > max_length]
    if long and options.long_rows == "stop":
        raise RenderError(
            f"rows are longer than max_length {max_length} ({_named([seen[index].row for index in long])})",
            where=source,
            fix="raise train.max_length, or set train.long_rows to drop or truncate",
        )
    kept: list[Row] = []
    kept_examples: list[Example] = []
    too_long = set(long)
    for index, (example, row) in enumerate(zip(seen, rows, strict=True)):
        _check_row(example, row, tokenizer, faults)
        if index in too_long and options.long_rows == "drop":
            continue
        if index in too_long:
            row = row.truncated(max_length)
            if not _trained_tokens(row):
                faults.add("no token is trained once the row is cut to max_length", example.row)
        kept.append(row)
        kept_examples.append(example)
    faults.raise_any(source)
    if not kept:
        _refuse_empty(len(seen), max_length, source)
    truncated = len(long) if options.long_rows == "truncate" else 0
    report = _report(lengths, kept, truncated, left_out, template_digest(tokenizer, options))
    if not report.ended and any(example.text is None for example in kept_examples):
        _refuse_unended(report, max_length, source)
    return RenderedRows(kept, kept_examples, report)


def _render_all(
    examples: Iterable[Example], tokenizer: Tokenizer, options: RenderOptions, faults: _Faults, source: str
) -> tuple[list[Example], list[Row], int]:
    """Return the examples, their rows, and how many assistant turns the loss leaves out."""
    pattern = end_pattern(tokenizer)
    seen: list[Example] = []
    rows: list[Row | None] = []
    layouts: list[Layout] = []
    shapes: dict[object, bool] = {}
    for example in examples:
        seen.append(example)
        try:
            if example.text is not None:
                rows.append(render_text(example.text, tokenizer))
            elif example.chosen or example.rejected:
                pair = (example.messages, example.chosen, example.rejected)
                rows.append(render_preference(*pair, tokenizer, options, tools=example.tools))
            else:
                layout = lay_out(example.messages, tokenizer, options, pattern, tools=example.tools)
                layouts.append(layout)
                rows.append(None)
                if layout.unended:
                    faults.add("the end-of-turn token is never trained", example.row)
                if trains_wrong_turns(example, tokenizer, options, shapes):
                    faults.add("turns are trained that the loss excludes", example.row)
        except RenderError as error:
            raise RenderError(error.message, where=f"{source} row {example.row}", fix=error.fix) from error
    tokenized = iter(tokenize_layouts(layouts, tokenizer))
    left_out = sum(layout.left_out for layout in layouts)
    return seen, [next(tokenized) if row is None else row for row in rows], left_out


def _check_row(example: Example, row: Row, tokenizer: Tokenizer, faults: _Faults) -> None:
    if not _trained_tokens(row):
        faults.add(_LAST_TURN_SILENT if _only_last_is_silent(example) else "no token is trained", example.row)
    elif isinstance(row, RenderedPair) and not row.ended:
        faults.add("the end-of-turn token is never trained", example.row)
    if row.joined:
        faults.add("a token joins the prompt and the answer, which no prompt at inference can", example.row)
    ids = row.ids if isinstance(row, Rendered) else row.prompt_ids
    if tokenizer.bos_token_id is not None and ids[:2] == [tokenizer.bos_token_id] * 2:
        faults.add("BOS stands twice at the beginning", example.row)


def _only_last_is_silent(example: Example) -> bool:
    """Say whether the last assistant turn has weight 0 and an earlier one has not."""
    weights = [turn.weight for turn in example.messages if turn.role == "assistant"]
    return bool(weights) and weights[-1] == 0.0 and any(weight != 0.0 for weight in weights)


def _length(row: Row) -> int:
    return len(row.ids) if isinstance(row, Rendered) else row.longest


def _tokens(row: Row) -> int:
    if isinstance(row, Rendered):
        return len(row.ids)
    return 2 * len(row.prompt_ids) + len(row.chosen_ids) + len(row.rejected_ids)


def _trained_tokens(row: Row) -> int:
    """Return the number of trained tokens; a pair without one on either side has none."""
    if isinstance(row, Rendered):
        return sum(row.trained)
    return len(row.chosen_ids) + len(row.rejected_ids) if row.chosen_ids and row.rejected_ids else 0


def _is_ended(row: Row) -> bool:
    return bool(row.ends) if isinstance(row, Rendered) else row.ended


def _report(lengths: list[int], kept: list[Row], truncated: int, left_out: int, digest: str) -> RenderReport:
    ordered = sorted(lengths)
    return RenderReport(
        rows=len(lengths),
        kept=len(kept),
        dropped_long=len(lengths) - len(kept),
        truncated=truncated,
        ended=sum(_is_ended(row) for row in kept),
        turns_left_out=left_out,
        tokens=sum(_tokens(row) for row in kept),
        trained_tokens=sum(_trained_tokens(row) for row in kept),
        longest=ordered[-1],
        median_length=float(statistics.median(ordered)),
        p95_length=float(ordered[math.ceil(0.95 * len(ordered)) - 1]),
        template_digest=digest,
    )


def _refuse_empty(rows: int, max_length: int, source: str) -> None:
    if rows == 0:
        raise RenderError("there is no row to train on", where=source, fix="give data with at least one row")
    raise RenderError(
        f"all {rows} rows are longer than max_length {max_length}", where=source, fix="raise train.max_length"
    )


def _refuse_unended(report: RenderReport, max_length: int, source: str) -> None:
    cut = f" once {report.truncated} of {report.kept} are cut to max_length {max_length}" if report.truncated else ""
    raise RenderError(
        f"no row has a trained end-of-turn token{cut}, so the end of an answer could not be learned",
        where=source,
        fix="raise train.max_length, or set train.long_rows to drop" if cut else "train the last turn of some rows",
    )


def _named(rows: Sequence[int]) -> str:
    shown = ", ".join(str(row) for row in sorted(rows)[:_NAMED])
    more = len(rows) - _NAMED
    word = "row" if len(rows) == 1 else "rows"
    return f"{word} {shown} and {more} more" if more > 0 else f"{word} {shown}"
