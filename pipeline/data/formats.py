"""Row formats: one function per format turns the values of a row into the parts of a `Draft`, or says why it cannot."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from pipeline.data.alpaca import joined, parse_history
from pipeline.data.columns import KnownFormat, Slot
from pipeline.data.fields import Fields, Values
from pipeline.data.rows import Draft, RowFault, SourceRow
from pipeline.data.template import RowTemplate
from pipeline.data.text import is_blank
from pipeline.data.turns import check_conversation, check_prompt, parse_messages, parse_sharegpt, parse_tools
from schemas.base import canonical_digest
from schemas.data import DataOptions, ExampleKind, Message, Split

Parts = dict[str, Any]


@dataclass
class Formatter(Fields):
    """Turns the rows of one source into drafts.

    Raises:
        ConfigError: a template names something that is no column.
    """

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
        values = self.values(row)
        parts = _FORMATS[self.layout.format](self, values)
        if "messages" in parts:
            parts["messages"] = self._with_system(parts["messages"], values)
        if "tools" in self.layout.columns:
            parts["tools"] = self.tools(row)
        if "group" in self.layout.columns:
            parts["group"] = self.group(values)
        if "language" in self.layout.columns:
            parts["language"] = self.language(values)
        return Draft(source=source, row=row.number, **parts)

    def ask(self, row: SourceRow) -> tuple[Message, ...]:
        """Return the turns of a row that ask; an answer at their end is left out, and none is needed.

        Raises:
            ValueError: the row asks nothing; the message is the reason.
        """
        values = self.values(row)
        match self.layout.format:
            case "messages" | "sharegpt":
                value, column = self.value(values, "messages")
                parse = parse_messages if self.layout.format == "messages" else parse_sharegpt
                turns = parse(value, column, self.unread_keys)
                turns = turns[:-1] if turns[-1].role == "assistant" else turns
                check_prompt(turns)
            case "alpaca":
                turns = _instruction(self, values)
            case "label" | "text":
                turns = _prompt(self, values, "text")["messages"]
            case "prompt_completion" | "preference" | "unpaired":
                turns = _prompt(self, values, "prompt")["messages"]
        return self._with_system(turns, values)

    @property
    def unread(self) -> tuple[str, ...]:
        """The columns that neither the format nor a template reads."""
        templates = (self.prompt_template, self.completion_template)
        by_template = {name for template in templates if template is not None for name in template.columns}
        return tuple(name for name in self.layout.unused if name not in by_template)

    def _with_system(self, messages: tuple[Message, ...], values: Values) -> tuple[Message, ...]:
        own = self.system(values)
        if own and messages[0].role != "system":
            messages = (Message(role="system", content=own), *messages)
        elif own and messages[0].content != own:
            raise ValueError(f"column {self.layout.columns['system']!r} and turn 1 are two different system turns")
        if self.options.system is None:
            return messages
        if messages and messages[0].role == "system":
            self.own_system += 1
            return messages
        return (Message(role="system", content=self.options.system), *messages)


def format_digest(row_format: KnownFormat, options: DataOptions) -> str:
    """Return the digest of how rows become conversations: their format, the templates and the system turn."""
    return canonical_digest([row_format, options.prompt_template, options.completion_template, options.system])


def kind_of(row_format: KnownFormat) -> ExampleKind:
    """Return what rows of a format become."""
    match row_format:
        case "preference" | "unpaired" | "text":
            return row_format
        case _:
            return "conversation"


def _filled(template: RowTemplate, values: Values, what: str) -> str:
    text = template.render(values)
    if is_blank(text):
        reason = f"the {what} is empty"
        raise RowFault("empty_answer", reason) if what == "answer" else ValueError(reason)
    return text


def _prompt(form: Formatter, values: Values, slot: Slot) -> Parts:
    """The user's turn: the template's text, or the column's text or turns."""
    template = form.prompt_template
    if template is not None:
        own = "\n".join(str(values[name]) for name in template.columns if values.get(name) is not None)
        return {"messages": (_user(_filled(template, values, "prompt")),), "own_text": own or None}
    value, column = form.value(values, slot)
    if isinstance(value, dict) and "messages" in value:
        return _prompt_object(form, value, column)
    if isinstance(value, (list, tuple)):
        messages = parse_messages(value, column, form.unread_keys)
        check_prompt(messages)
        return {"messages": messages}
    return {"messages": (_user(form.text(values, slot)),)}


def _prompt_object(form: Formatter, value: dict[str, Any], column: str) -> Parts:
    """OpenAI's ``input`` of a preference: turns, and the tools that they may use."""
    form.unread_keys.update(key for key in value if key not in ("messages", "tools"))
    messages = parse_messages(value["messages"], f"{column}.messages", form.unread_keys)
    check_prompt(messages)
    return {"messages": messages, "tools": parse_tools(value.get("tools"), f"{column}.tools")}


def _user(text: str) -> Message:
    return Message(role="user", content=text)


def _answer(text: str) -> Message:
    return Message(role="assistant", content=text)


def _prompt_completion(form: Formatter, values: Values) -> Parts:
    parts = _answered(form, values)
    if "label" in form.layout.columns:
        parts["label"] = form.label(values)
    elif form.options.labels is not None:
        parts["label"] = form.declared(parts["messages"][-1].content)
    return parts


def _unpaired(form: Formatter, values: Values) -> Parts:
    return {**_answered(form, values), "desirable": form.verdict(values)}


def _answered(form: Formatter, values: Values) -> Parts:
    """The turns that ask and the one that answers."""
    parts = _prompt(form, values, "prompt")
    if form.completion_template is not None:
        answer: tuple[Message, ...] = (_answer(_filled(form.completion_template, values, "answer")),)
    elif isinstance(value := form.value(values, "completion")[0], (list, tuple)):
        answer = parse_messages(value, form.layout.columns["completion"], form.unread_keys)
    else:
        answer = (_answer(form.text(values, "completion", "empty_answer")),)
    parts["messages"] = (*parts["messages"], *answer)
    check_conversation(parts["messages"])
    return parts


def _label(form: Formatter, values: Values) -> Parts:
    parts = _prompt(form, values, "text")
    label = form.label(values)
    completion = form.completion_template
    answer = label if completion is None else _filled(completion, values, "answer")
    return {**parts, "messages": (*parts["messages"], _answer(answer)), "label": label}


def _alpaca(form: Formatter, values: Values) -> Parts:
    return _conversation(form, (*_instruction(form, values), _answer(form.text(values, "completion", "empty_answer"))))


def _instruction(form: Formatter, values: Values) -> tuple[Message, ...]:
    """Alpaca's earlier turns, and the instruction with its input."""
    more, history = form.layout.columns.get("input", ""), form.layout.columns.get("history", "")
    asked = joined(form.text(values, "prompt"), values.get(more), more)
    return (*parse_history(values.get(history), history), _user(asked))


def _messages(form: Formatter, values: Values) -> Parts:
    return _conversation(form, parse_messages(*form.value(values, "messages"), form.unread_keys))


def _sharegpt(form: Formatter, values: Values) -> Parts:
    return _conversation(form, parse_sharegpt(*form.value(values, "messages"), form.unread_keys))


def _conversation(form: Formatter, messages: tuple[Message, ...]) -> Parts:
    """Turns that end with an answer, which is one of the declared labels where there are any."""
    check_conversation(messages)
    if form.options.labels is None:
        return {"messages": messages}
    return {"messages": messages, "label": form.declared(messages[-1].content)}


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
            code = error.code if isinstance(error, RowFault) else "unusable_row"
            raise RowFault(code, f"{name}: {error}") from None
    if chosen == rejected:
        raise RowFault("equal_pair", "chosen and rejected are the same")
    return {**parts, "chosen": chosen, "rejected": rejected}


def _continuation(form: Formatter, values: Values, slot: Slot) -> tuple[Message, ...]:
    value, column = form.value(values, slot)
    if isinstance(value, (list, tuple)):
        return parse_messages(value, column, form.unread_keys)
    return (_answer(form.text(values, slot, "empty_answer")),)


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
    "unpaired": _unpaired,
    "text": _text,
}
