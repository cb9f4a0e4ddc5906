"""Two hundred conversations of every kind that data sets hold, made from lists and a number."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from schemas.data import Message

Kind = Literal["single", "turns", "system", "empty system", "tools", "calls", "reasoning", "unicode", "long", "markup"]
KINDS: tuple[Kind, ...] = (
    "single", "turns", "system", "empty system", "tools", "calls", "reasoning", "unicode", "long", "markup",
)  # fmt: skip
EACH = 20

_ASKED = (
    "Where is my order?", "  Two spaces, then a question?", "Write 'hello' twice.", "line one\nline two\n\nline four",
    "What is 2 + 2?", "a", "Summarize: the fox is quick.", "¿Dónde está?", "tab\there", "Answer in one word!",
)  # fmt: skip
_ANSWERED = (
    "It is on its way.", '{"intent": "order", "urgency": "low"}', "hello hello", "- one\n- two", "4", "b",
    "A fox.\n\nThat is all.", "Aquí.", "x\ty", "Yes",
)  # fmt: skip
_WORLD = (
    "مرحبا، أين طلبي؟", "שלום, איפה ההזמנה שלי?", "注文はどこですか。", "주문은 어디에 있나요?", "Ünïcödé é vs é",
    "👩‍👩‍👧‍👦 family 🏳️‍🌈", "\u202eright to left\u202c", "नमस्ते, मेरा ऑर्डर कहाँ है?", "zero\u200bwidth",
    "Ελληνικά и кириллица",
)  # fmt: skip
_MARKUP = (
    "What does <think> do in HTML?", "a < b && c > d", "{{ not_a_template }} {% raw %}", "</s> and <s>",
    "[INST] no [/INST]",
    "```python\nprint('<div>')\n```", "\\n is no newline", "C:\\path\\file",
    "100% of $5 & 'quotes' \"double\"", "<tool_call> in prose",
)  # fmt: skip
_TOOL = {
    "type": "function",
    "function": {
        "name": "lookup",
        "description": "Find the weather.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "description": "A town."}, "days": {"type": "integer"}},
            "required": ["city"],
        },
    },
}
_BARE_TOOL = {"type": "function", "function": {"name": "now", "parameters": {"type": "object", "properties": {}}}}


@dataclass(frozen=True)
class Conversation:
    """Messages that end with an answer, and the tools on offer."""

    kind: Kind
    number: int
    messages: tuple[Message, ...]
    tools: tuple[dict[str, Any], ...] | None = None

    @property
    def name(self) -> str:
        """What a failure is called by."""
        return f"{self.kind} {self.number}"


def conversations() -> Iterator[Conversation]:
    """Yield all of them, `EACH` of every kind."""
    for kind in KINDS:
        for number in range(EACH):
            yield _make(kind, number)


def _make(kind: Kind, number: int) -> Conversation:
    place = number % 10
    asked, answered = _ASKED[place] + " " * (number // 10), _ANSWERED[(place + number // 10) % 10]
    user, answer = _user(asked), _assistant(answered)
    tools: tuple[dict[str, Any], ...] | None = None
    match kind:
        case "single":
            messages = [user, answer]
        case "turns":
            messages = [
                turn
                for step in range(2 + number % 4)
                for turn in (_user(_ASKED[(place + step) % 10]), _assistant(_ANSWERED[step]))
            ]
        case "system":
            messages = [
                _system(f"You answer number {number}.\nBe brief."),
                user,
                answer,
                *([user, answer] * (number % 2)),
            ]
        case "empty system":
            messages = [_system(""), user, answer, *([user, answer] * (number % 2))]
        case "tools":
            tools = (_TOOL, _BARE_TOOL)[number % 2 :]
            messages = [*([_system("Use tools.")] * (number % 2)), user, answer]
        case "calls":
            tools, messages = (_TOOL,), _called(number, user, answer)
        case "reasoning":
            thought = answer.model_copy(update={"reasoning_content": f"They ask {number}.\nSo I say it."})
            messages = [user, thought, *([user, thought] * (number % 3))]
        case "unicode":
            messages = [_user(_WORLD[place]), _assistant(_WORLD[(place + 1 + number // 10) % 10])]
        case "long":
            messages = [_user(" ".join([asked] * (150 + 10 * number))), _assistant(" ".join([answered] * 40))]
        case "markup":
            messages = [_user(_MARKUP[place]), _assistant(_MARKUP[(place + 1 + number // 10) % 10])]
    return Conversation(kind, number, tuple(messages), tools)


def _called(number: int, user: Message, answer: Message) -> list[Message]:
    arguments = {"city": "Oslo", "days": number} if number % 2 else {"city": "Tromsø"}
    call = {"id": "call00001", "type": "function", "function": {"name": "lookup", "arguments": arguments}}
    result = Message(role="tool", content='{"sky": "clear"}', name="lookup", tool_call_id="call00001")
    return [user, Message(role="assistant", content="", tool_calls=(call,)), result, answer]


def _user(content: str) -> Message:
    return Message(role="user", content=content)


def _assistant(content: str) -> Message:
    return Message(role="assistant", content=content)


def _system(content: str) -> Message:
    return Message(role="system", content=content)
