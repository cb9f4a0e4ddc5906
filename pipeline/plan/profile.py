"""How long rows are, in tokens: by the base's tokenizer, or by characters where there is none yet."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from pipeline.core.errors import ConfigError
from schemas.data import CHOSEN, REJECTED, DataOptions
from schemas.plan import DataProfile

MARKUP_TOKENS = 6
"""Assumed tokens of a chat template around one turn: role, start, end, line breaks."""

_USUAL = frozenset({
    "prompt", "completion", "question", "answer", "query", "instruction", "input", "output", "response", "target",
    "messages", "conversations", "conversation", *CHOSEN, *REJECTED, "text", "utterance", "sentence", "message",
    "content", "label", "category", "intent", "class", "tools",
})  # fmt: skip
"""Columns that usually become part of a conversation, in lower case."""

_TEMPLATE_CODE = re.compile(r"\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}", re.DOTALL)

CHARACTERS_PER_TOKEN = ((32_000, 4.0), (8_000, 3.5), (2_000, 3.0), (500, 2.0), (0, 1.5))
"""Assumed of English text, by least size of the vocabulary."""

TokensBy = Literal["tokenizer", "estimate"]


@dataclass(frozen=True)
class Lengths:
    """Tokens of sampled rows, markup included; ``longest`` of all rows. ``shortest`` 0 where nobody looked."""

    sampled: int
    mean: float
    p95: float
    p99: float
    longest: int
    by: TokensBy
    shortest: int = 0

    def profile(self, rows: int) -> DataProfile:
        """Return the public form."""
        return DataProfile(
            rows=rows,
            sampled=self.sampled,
            mean_tokens=self.mean,
            p95_tokens=self.p95,
            max_tokens=self.longest,
            tokens_by=self.by,
        )


def size_of(options: DataOptions) -> Callable[[dict[str, Any]], int]:
    """Return what counts the characters of a row that will be in a conversation."""
    columns = _wanted_columns(options)
    return lambda row: len(_text(row, columns))


def measure(
    sample: Iterable[dict[str, Any]], options: DataOptions, count: Callable[[str], int] | None, vocabulary: int
) -> Lengths:
    """Return the lengths of the sampled rows.

    ``count`` gives the tokens of a text by the base's tokenizer; None estimates them from ``vocabulary``.

    Raises:
        ConfigError: a template is not valid Jinja.
    """
    fixed = _fixed_text(options)
    columns = _wanted_columns(options)
    tokens = count if count is not None else _estimate(vocabulary)
    overhead = (tokens(fixed) if fixed else 0) + (MARKUP_TOKENS if options.system else 0)
    lengths = sorted(overhead + _turns(row) * MARKUP_TOKENS + tokens(_text(row, columns)) for row in sample)
    by: TokensBy = "tokenizer" if count is not None else "estimate"
    if not lengths:
        return Lengths(0, 0.0, 0.0, 0.0, 0, by)
    mean = round(sum(lengths) / len(lengths), 2)
    return Lengths(len(lengths), mean, _quantile(lengths, 0.95), _quantile(lengths, 0.99), lengths[-1], by, lengths[0])


def _estimate(vocabulary: int) -> Callable[[str], int]:
    per_token = next(ratio for least, ratio in CHARACTERS_PER_TOKEN if vocabulary >= least)
    return lambda text: -int(-len(text) // per_token)


def _quantile(ordered: list[int], share: float) -> float:
    """Return the smallest value that at least ``share`` of the sorted values do not exceed."""
    return float(ordered[min(len(ordered) - 1, max(0, -int(-len(ordered) * share // 1) - 1))])


def _turns(row: dict[str, Any]) -> int:
    for value in row.values():
        if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
            return len(value)
    return 2


def _text(row: dict[str, Any], columns: frozenset[str]) -> str:
    """Return the text of a row that will be in a conversation: of the wanted columns, of all where it has none."""
    kept = [value for key, value in row.items() if str(key).lower() in columns]
    return "\n".join(_strings(kept if kept else list(row.values())))


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _strings(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from _strings(inner)
    elif value is not None and not isinstance(value, bool):
        yield str(value)


def _fixed_text(options: DataOptions) -> str:
    """Return the text that every row gets: the system turn, and what templates say around their variables."""
    templates = [options.prompt_template or "", options.completion_template or ""]
    return "\n".join(filter(None, [options.system or "", *(_TEMPLATE_CODE.sub("", text) for text in templates)]))


def _wanted_columns(options: DataOptions) -> frozenset[str]:
    """Return the columns that the options name, and the usual ones, in lower case."""
    from jinja2 import Environment, TemplateSyntaxError, meta

    unread = ("group", "language")
    named = {key: value for key, value in options.columns.model_dump().items() if key not in unread}
    names = {str(value) for value in named.values() if value is not None}
    for key in ("prompt_template", "completion_template"):
        template = getattr(options, key)
        if template is not None:
            try:
                # Parsed, never rendered.
                names |= meta.find_undeclared_variables(Environment(autoescape=True).parse(template))
            except TemplateSyntaxError as error:
                raise ConfigError(
                    f"not a valid template: {error.message}", where=f"data.{key}", fix="correct the Jinja syntax"
                ) from error
    return frozenset(name.lower() for name in names) | _USUAL
