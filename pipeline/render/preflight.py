"""Preflight: every row is rendered before any is trained, and rows that would train wrongly are found."""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from pipeline.core.errors import RenderError
from pipeline.core.findings import named_rows
from pipeline.render.conversation import Layout, Rendered, lay_out, render_text, tokenize_layouts
from pipeline.render.digest import template_digest
from pipeline.render.ending import end_of_turn_ids, end_pattern, special_pattern
from pipeline.render.faults import FaultRows
from pipeline.render.layout import MarkersMissing, chat_template_of
from pipeline.render.preference import RenderedPair, RenderedVerdict, render_preference
from pipeline.render.prompt import RenderedPrompt
from pipeline.render.tokenizer import Tokenizer
from pipeline.render.turns import ShapeFaults, shape_faults
from schemas.data import Example, Message
from schemas.faults import FaultCode
from schemas.render import RenderOptions, RenderReport

Row = Rendered | RenderedPair


@dataclass(frozen=True)
class RenderedRows:
    """The rows that are trained on: tokens, the example of each, and what was counted."""

    rows: list[Row | RenderedPrompt | RenderedVerdict]
    examples: list[Example]
    report: RenderReport


@dataclass(frozen=True)
class Inspection:
    """All rows of a set, rendered: those that are kept, what was counted (null where none is kept), and every fault.

    ``long`` are the numbers of the rows above the length, whatever became of them.
    """

    rows: list[Row]
    examples: list[Example]
    report: RenderReport | None
    faults: FaultRows
    long: tuple[int, ...] = ()

    def refuse(self, options: RenderOptions, max_length: int, source: str, ignore: Collection[FaultCode] = ()) -> None:
        """Raise what may not be trained; ``ignore`` names faults that are let pass.

        Raises:
            RenderError: a fault that is an error, or rows longer than ``max_length`` under ``long_rows: stop``.
        """
        if self.long and options.long_rows == "stop":
            raise RenderError(
                f"rows are longer than max_length {max_length} ({named_rows(self.long)})",
                where=source,
                fix="raise train.max_length, or set train.long_rows to drop or truncate",
            )
        self.faults.refuse(source, ignore)


def render_examples(
    examples: Iterable[Example],
    tokenizer: Tokenizer,
    options: RenderOptions,
    max_length: int,
    *,
    source: str,
    ignore: Collection[FaultCode] = (),
) -> RenderedRows:
    """Return the tokens of all rows that are kept, in order, and refuse them if training on them would go wrong.

    ``examples`` is read once, row by row as each is rendered, so that it may show progress. ``ignore`` names faults
    that are let pass. Lengths are in tokens, before any cut.

    Raises:
        RenderError: a fault of rendering that is an error (see `schemas.faults`), or rows longer than ``max_length``
            under ``long_rows: stop``. The message names row numbers.
    """
    found = inspect_examples(examples, tokenizer, options, max_length, source=source)
    found.refuse(options, max_length, source, ignore)
    assert found.report is not None, "a set without a report has a fault that is never ignored"
    return RenderedRows(list(found.rows), found.examples, found.report)


def inspect_examples(
    examples: Iterable[Example],
    tokenizer: Tokenizer,
    options: RenderOptions,
    max_length: int,
    *,
    source: str,
    vocabulary: int | None = None,
) -> Inspection:
    """Render all rows and find what is wrong with them, the template and the tokenizer.

    ``vocabulary`` is how many tokens the model knows, where that is known.

    Raises:
        RenderError: there is no chat template for rows that need one, or the tokenizer cannot be used at all.
    """
    faults = FaultRows()
    rendering = _Rendering(tokenizer, options, faults, source)
    seen, rows = rendering.render(examples)
    begins = _begins_with_bos(tokenizer)
    kept, kept_examples, long = [], [], []
    for example, row in zip(seen, rows, strict=True):
        _check_row(example, row, tokenizer, begins and example.text is None, faults)
        if vocabulary is not None and max(_ids(row), default=0) >= vocabulary:
            faults.add("vocabulary_too_small", example.row, f"vocab_size is {vocabulary:,}")
        if _length(row) > max_length:
            long.append(example.row)
            if options.long_rows != "truncate":
                continue
            row = row.truncated(max_length)
            if not _trained_tokens(row):
                faults.add("no_trained_token_after_truncation", example.row)
        kept.append(row)
        kept_examples.append(example)
    _check_tokenizer(tokenizer, options, vocabulary, faults)
    truncated = len(long) if options.long_rows == "truncate" else 0
    report = None
    if kept:
        lengths = [_length(row) for row in rows]
        report = _report(lengths, kept, truncated, rendering.left_out, template_digest(tokenizer, options))
        if not report.ended and report.trained_tokens and any(example.text is None for example in kept_examples):
            _note_unended(report, max_length, faults)
    elif not rendering.refused:
        told = f"all {len(rows)} rows are longer than max_length {max_length}" if rows else "the set holds no row"
        faults.add("no_row_left", None, told)
    return Inspection(kept, kept_examples, report, faults, tuple(long))


@dataclass
class _Rendering:
    """Renders rows one by one and notes those that cannot be, or whose layout is wrong."""

    tokenizer: Tokenizer
    options: RenderOptions
    faults: FaultRows
    source: str
    left_out: int = 0
    refused: int = 0
    shapes: dict[object, ShapeFaults] = field(default_factory=dict)

    def render(self, examples: Iterable[Example]) -> tuple[list[Example], list[Row]]:
        """Return the examples that can be rendered, and the row of each; conversations are tokenized together."""
        pattern, special = end_pattern(self.tokenizer), special_pattern(self.tokenizer)
        seen: list[Example] = []
        rows: list[Row | None] = []
        layouts: list[Layout] = []
        for example in examples:
            try:
                row = self._row(example, pattern)
            except MarkersMissing:
                self.refused += 1
                self.faults.add("generation_markers_missing", example.row)
                continue
            except RenderError as error:
                if example.text is not None or chat_template_of(self.tokenizer, self.options) is None:
                    raise RenderError(error.message, where=f"{self.source} row {example.row}", fix=error.fix) from error
                self.refused += 1
                self.faults.add("unrenderable_row", example.row, error.message)
                continue
            seen.append(example)
            rows.append(None if isinstance(row, Layout) else row)
            if isinstance(row, Layout):
                layouts.append(row)
            self._check_texts(example, special)
        tokenized = iter(tokenize_layouts(layouts, self.tokenizer))
        return seen, [next(tokenized) if row is None else row for row in rows]

    def _row(self, example: Example, pattern: re.Pattern[str] | None) -> Row | Layout:
        tokenizer, options = self.tokenizer, self.options
        if example.text is not None:
            return render_text(example.text, tokenizer)
        made: Row | Layout
        if example.chosen or example.rejected:
            pair = (example.messages, example.chosen, example.rejected)
            made = render_preference(*pair, tokenizer, options, tools=example.tools)
            left_out = 0
        else:
            if example.desirable is not None:
                options = options.model_copy(update={"completion_only_loss": True, "assistant_only_loss": False})
            made = lay_out(example.messages, tokenizer, options, pattern, tools=example.tools)
            left_out = made.left_out
            if made.unended:
                self.faults.add("end_of_turn_untrained", example.row)
        self.left_out += left_out
        for code, detail in shape_faults(example, tokenizer, options, self.shapes).items():
            self.faults.add(code, example.row, detail)
        if _ignores_weights(example, options) and not _only_last_is_silent(example):
            self.faults.add("weights_ignored", example.row)
        elif left_out:
            self.faults.add("earlier_turns_untrained", example.row)
        return made

    def _check_texts(self, example: Example, special: re.Pattern[str] | None) -> None:
        turns: tuple[Message, ...] = (*example.messages, *example.chosen, *example.rejected)
        if special is not None and (
            found := next(filter(None, (special.search(turn.content) for turn in turns)), None)
        ):
            self.faults.add("special_token_in_text", example.row, f"{found[0]} in the first")


def _ignores_weights(example: Example, options: RenderOptions) -> bool:
    """Say whether a turn has weight 1 and the loss leaves it out, or a side of a preference has a weight at all."""
    if example.chosen or example.rejected:
        return any(turn.weight is not None for turn in (*example.messages, *example.chosen, *example.rejected))
    assistants = [turn for turn in example.messages if turn.role == "assistant"]
    return options.completion_only_loss and any(turn.weight == 1.0 for turn in assistants[:-1])


def _check_row(example: Example, row: Row, tokenizer: Tokenizer, begins: bool, faults: FaultRows) -> None:
    """Note what is wrong with one row's tokens; ``begins``: the tokenizer itself begins a text with BOS."""
    if not _trained_tokens(row):
        faults.add("last_turn_silent" if _only_last_is_silent(example) else "no_trained_token", example.row)
    elif isinstance(row, RenderedPair) and not row.ended:
        faults.add("end_of_turn_untrained", example.row)
    if row.joined:
        faults.add("joined_prompt", example.row)
    if row.doubled:
        faults.add("end_of_turn_twice", example.row)
    ids, bos = row.ids if isinstance(row, Rendered) else row.prompt_ids, tokenizer.bos_token_id
    if bos is not None and ids[:2] == [bos] * 2:
        faults.add("bos_doubled", example.row)
    elif begins and ids[:1] != [bos]:
        faults.add("bos_missing", example.row)


def _begins_with_bos(tokenizer: Tokenizer) -> bool:
    bos = tokenizer.bos_token_id
    return bos is not None and list(tokenizer("a")["input_ids"][:1]) == [bos]


def _check_tokenizer(tokenizer: Tokenizer, options: RenderOptions, vocabulary: int | None, faults: FaultRows) -> None:
    """Note what is wrong with the tokenizer, whatever the rows are."""
    named = {"eos": tokenizer.eos_token_id, "bos": tokenizer.bos_token_id, "pad": tokenizer.pad_token_id}
    beyond = [
        f"{name}_token_id is {token}"
        for name, token in named.items()
        if vocabulary is not None and token is not None and token >= vocabulary
    ]
    if beyond:
        faults.add("vocabulary_too_small", None, f"{', '.join(beyond)}; vocab_size is {vocabulary:,}")
    if chat_template_of(tokenizer, options) is None:
        return
    try:
        ends = end_of_turn_ids(tokenizer, options)
    except RenderError:  # a template that refuses a plain question and answer; the rows tell whether it fits them
        return
    if tokenizer.pad_token_id is not None and tokenizer.pad_token_id in ends:
        faults.add("pad_is_end_of_turn", None, str(tokenizer.pad_token))


def _ids(row: Row) -> list[int]:
    return row.ids if isinstance(row, Rendered) else [*row.prompt_ids, *row.chosen_ids, *row.rejected_ids]


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


def _note_unended(report: RenderReport, max_length: int, faults: FaultRows) -> None:
    cut = f" once {report.truncated} of {report.kept} are cut to max_length {max_length}" if report.truncated else ""
    faults.add("end_of_turn_untrained", None, f"in no row{cut}, so the end of an answer could not be learned")
