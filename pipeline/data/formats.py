"""Row formats: one function per format turns the values of a row into the parts of a `Draft`, or says why it cannot."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from pipeline.data.columns import KnownFormat, Layout, Slot
from pipeline.data.names import nearest
from pipeline.data.read_text import json_type
from pipeline.data.rows import Draft, SourceRow
from pipeline.data.template import RowTemplate
from pipeline.data.turns import check_conversation, check_prompt, parse_messages, parse_sharegpt, parse_tools
from schemas.base import canonical_digest
from schemas.data import DataOptions, ExampleKind, Message, Split

Values = Mapping[str, Any]
Parts = dict[str, Any]


@dataclass
class Formatter:
    """Turns the rows of one source into drafts.

    Args:
        layout: their format and columns.
        options: templates, system text and declared labels.

    Raises:
        ConfigError: a template names something that is no column.
    """

    layout: Layout
    options: DataOptions
    unread_keys: Counter[str] = field(default_factory=Counter)
    own_system: int = 0
    prompt_template: RowTemplate | None = field(init=False)
    completion_template: RowTemplate | None = field(init=False)

    def __post_init__(self) -> None:
        self.prompt_template = self._template(self.options.prompt_template, "data.prompt_template")
        self.completion_template = self._template(self.options.completion_template, "data.completion_template")

    def _template(self, source: str | None, key: str) -> RowTemplate | None:
        return None if source is None else RowTemplate(source, key, self.layout.available)

    def draft(self, row: SourceRow, source: Split) -> Draft:
        """Return the draft of a row.

        Raises:
            ValueError: the row is bad; the message is the reason.
        """
        parts = _FORMATS[self.layout.format](self, row.values)
        if "messages" in parts:
            parts["messages"] = self._with_system(parts["messages"])
        if "tools" in self.layout.columns:
            parts["tools"] = parse_tools(row.values.get(self.layout.columns["tools"]), self.layout.columns["tools"])
        if "group" in self.layout.columns:
            parts["group"] = self._group(row.values)
        return Draft(source=source, row=row.number, **parts)

    def ask(self, row: SourceRow) -> tuple[Message, ...]:
        """Return the turns of a row that ask; an answer at their end is left out, and none is needed.

        Raises:
            ValueError: the row asks nothing; the message is the reason.
        """
        values = row.values
        match self.layout.format:
            case "messages" | "sharegpt":
                value, column = self.value(values, "messages")
                parse = parse_messages if self.layout.format == "messages" else parse_sharegpt
                turns = parse(value, column, self.unread_keys)
                turns = turns[:-1] if turns[-1].role == "assistant" else turns
                check_prompt(turns)
            case "alpaca":
                turns = (_user(_instruction(self, values)),)
            case "label" | "text":
                turns = _prompt(self, values, "text")["messages"]
            case "prompt_completion" | "preference":
                turns = _prompt(self, values, "prompt")["messages"]
        return self._with_system(turns)

    def text(self, values: Values, slot: Slot) -> str:
        """Return the text of a column.

        Raises:
            ValueError: it is missing, null, empty or not a string.
        """
        value, column = self.value(values, slot)
        if not isinstance(value, str):
            raise ValueError(f"column {column!r} is {json_type(value)}, not a string")
        if not value.strip():
            raise ValueError(f"column {column!r} is empty")
        return value

    def value(self, values: Values, slot: Slot) -> tuple[Any, str]:
        """Return the value of a column and its name.

        Raises:
            ValueError: the row does not have it, or it is null.
        """
        column = self.layout.columns[slot]
        if column not in values:
            raise ValueError(f"column {column!r} is missing")
        if values[column] is None:
            raise ValueError(f"column {column!r} is null")
        return values[column], column

    def label(self, values: Values, slot: Slot = "label") -> str:
        """Return the label of a row; whole numbers and booleans count as their text.

        Raises:
            ValueError: it is missing, empty, of another type, or not a declared one.
        """
        value, column = self.value(values, slot)
        if not isinstance(value, (str, int)):
            raise ValueError(f"column {column!r} is {json_type(value)}, not a label")
        label = value if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else str(value)
        if not label.strip():
            raise ValueError(f"column {column!r} is empty")
        return self.declared(label)

    def declared(self, label: str) -> str:
        """Return ``label`` if it may be.

        Raises:
            ValueError: labels are declared and this is none of them.
        """
        labels = self.options.labels
        if labels is not None and label not in labels:
            near = nearest(label, labels)
            raise ValueError(f"{label[:80]!r} is no declared label" + (f"; the nearest is {near!r}" if near else ""))
        return label

    def _with_system(self, messages: tuple[Message, ...]) -> tuple[Message, ...]:
        if self.options.system is None:
            return messages
        if messages and messages[0].role == "system":
            self.own_system += 1
            return messages
        return (Message(role="system", content=self.options.system), *messages)

    def _group(self, values: Values) -> str:
        value, column = self.value(values, "group")
        if isinstance(value, (list, dict)):
            raise ValueError(f"column {column!r} is {json_type(value)}, not a group's name")
        return str(value)


def format_digest(row_format: KnownFormat, options: DataOptions) -> str:
    """Return the digest of how rows become conversations: their format, the templates and the system turn."""
    return canonical_digest([row_format, options.prompt_template, options.completion_template, options.system])


def kind_of(row_format: KnownFormat) -> ExampleKind:
    """Return what rows of a format become."""
    return "preference" if row_format == "preference" else "text" if row_format == "text" else "conversation"


def _filled(template: RowTemplate, values: Values, what: str) -> str:
    text = template.render(values)
    if not text.strip():
        raise ValueError(f"the {what} is empty")
    return text


def _prompt(form: Formatter, values: Values, slot: Slot) -> Parts:
    """The user's turn: the template's text, or the column's text or turns."""
    template = form.prompt_template
    if template is not None:
        own = "\n".join(str(values[name]) for name in template.columns if values.get(name) is not None)
        return {"messages": (_user(_filled(template, values, "prompt")),), "own_text": own or None}
    value, column = form.value(values, slot)
    if isinstance(value, (list, tuple)):
        messages = parse_messages(value, column, form.unread_keys)
        check_prompt(messages)
        return {"messages": messages}
    return {"messages": (_user(form.text(values, slot)),)}


def _user(text: str) -> Message:
    return Message(role="user", content=text)


def _answer(text: str) -> Message:
    return Message(role="assistant", content=text)


def _prompt_completion(form: Formatter, values: Values) -> Parts:
    parts = _prompt(form, values, "prompt")
    if form.completion_template is not None:
        answer: tuple[Message, ...] = (_answer(_filled(form.completion_template, values, "answer")),)
    elif isinstance(value := form.value(values, "completion")[0], (list, tuple)):
        answer = parse_messages(value, form.layout.columns["completion"], form.unread_keys)
    else:
        answer = (_answer(form.text(values, "completion")),)
    parts["messages"] = (*parts["messages"], *answer)
    check_conversation(parts["messages"])
    if "label" in form.layout.columns:
        parts["label"] = form.label(values)
    elif form.options.labels is not None:
        parts["label"] = form.declared(parts["messages"][-1].content)
    return parts


def _label(form: Formatter, values: Values) -> Parts:
    parts = _prompt(form, values, "text")
    label = form.label(values)
    completion = form.completion_template
    answer = label if completion is None else _filled(completion, values, "answer")
    return {**parts, "messages": (*parts["messages"], _answer(answer)), "label": label}


def _alpaca(form: Formatter, values: Values) -> Parts:
    parts: Parts = {"messages": (_user(_instruction(form, values)), _answer(form.text(values, "completion")))}
    if form.options.labels is not None:
        parts["label"] = form.declared(parts["messages"][-1].content)
    return parts


def _instruction(form: Formatter, values: Values) -> str:
    """Alpaca's instruction, followed by its input where there is one."""
    instruction = form.text(values, "prompt")
    more = values.get(form.layout.columns["input"]) if "input" in form.layout.columns else None
    if more is not None and not isinstance(more, str):
        raise ValueError(f"column {form.layout.columns['input']!r} is {json_type(more)}, not a string")
    return f"{instruction}\n\n{more}" if more and more.strip() else instruction


def _messages(form: Formatter, values: Values) -> Parts:
    value, column = form.value(values, "messages")
    messages = parse_messages(value, column, form.unread_keys)
    check_conversation(messages)
    return {"messages": messages}


def _sharegpt(form: Formatter, values: Values) -> Parts:
    value, column = form.value(values, "messages")
    messages = parse_sharegpt(value, column, form.unread_keys)
    check_conversation(messages)
    return {"messages": messages}


def _preference(form: Formatter, values: Values) -> Parts:
    chosen, rejected = _continuation(form, values, "chosen"), _continuation(form, values, "rejected")
    if form.prompt_template is not None or "prompt" in form.layout.columns:
        parts = _prompt(form, values, "prompt")
    else:
        shared = _shared(chosen, rejected)
        parts, chosen, rejected = {"messages": chosen[:shared]}, chosen[shared:], rejected[shared:]
    prompt = parts["messages"]
    if chosen[: len(prompt)] == prompt and rejected[: len(prompt)] == prompt:
        chosen, rejected = chosen[len(prompt) :], rejected[len(prompt) :]
    for name, turns in (("chosen", chosen), ("rejected", rejected)):
        try:
            check_conversation((*prompt, *turns))
        except (ValueError, IndexError) as error:
            raise ValueError(f"{name}: {error}") from None
    if chosen == rejected:
        raise ValueError("chosen and rejected are the same")
    return {**parts, "chosen": chosen, "rejected": rejected}


def _continuation(form: Formatter, values: Values, slot: Slot) -> tuple[Message, ...]:
    value, column = form.value(values, slot)
    if isinstance(value, (list, tuple)):
        return parse_messages(value, column, form.unread_keys)
    return (_answer(form.text(values, slot)),)


def _shared(chosen: tuple[Message, ...], rejected: tuple[Message, ...]) -> int:
    """Return how many turns both begin with: the prompt, where no column holds it. Both keep at least one turn."""
    most = min(len(chosen), len(rejected)) - 1
    return next((index for index in range(most) if chosen[index] != rejected[index]), most)


def _text(form: Formatter, values: Values) -> Parts:
    if form.prompt_template is not None:
        return {"text": _filled(form.prompt_template, values, "text")}
    return {"text": form.text(values, "text")}


_FORMATS: Final[dict[KnownFormat, Callable[[Formatter, Values], Parts]]] = {
    "prompt_completion": _prompt_completion,
    "label": _label,
    "alpaca": _alpaca,
    "messages": _messages,
    "sharegpt": _sharegpt,
    "preference": _preference,
    "text": _text,
}
