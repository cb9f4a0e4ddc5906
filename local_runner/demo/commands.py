"""The second synthetic task, which the tiny base model masters and must not forget: from a command to three words.

"Leave the fan in the hall as it is and dim the kitchen lamp" is answered with "kitchen lamp down". As in the
triage messages, most commands also name something that is not meant.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Final

from local_runner.demo.similarity import SimilarityIndex

SEPARATION: Final = 0.8

SYSTEM_PROMPT: Final = "Name the command: room, device, action."

ROOMS: Final = ("kitchen", "bedroom", "hall", "study", "garage", "bathroom", "cellar", "attic")

# Device -> action -> ways to ask for it.
DEVICES: Final[dict[str, dict[str, tuple[str, ...]]]] = {
    "lamp": {
        "on": ("switch on {x}", "light {x}", "turn {x} on"),
        "off": ("switch off {x}", "put out {x}", "turn {x} off"),
        "up": ("make {x} brighter", "turn up {x}"),
        "down": ("dim {x}", "make {x} darker"),
    },
    "heater": {
        "on": ("switch on {x}", "start {x}", "turn {x} on"),
        "off": ("switch off {x}", "stop {x}", "turn {x} off"),
        "up": ("make {x} warmer", "turn up {x}"),
        "down": ("make {x} cooler", "turn down {x}"),
    },
    "radio": {
        "on": ("switch on {x}", "play {x}", "turn {x} on"),
        "off": ("switch off {x}", "mute {x}", "turn {x} off"),
        "up": ("make {x} louder", "turn up {x}"),
        "down": ("make {x} quieter", "turn down {x}"),
    },
    "fan": {
        "on": ("switch on {x}", "start {x}", "turn {x} on"),
        "off": ("switch off {x}", "stop {x}", "turn {x} off"),
        "up": ("make {x} faster", "turn up {x}"),
        "down": ("make {x} slower", "turn down {x}"),
    },
    "blinds": {
        "up": ("raise {x}", "open {x}", "pull up {x}"),
        "down": ("lower {x}", "close {x}", "let down {x}"),
    },
    "door": {
        "lock": ("lock {x}", "secure {x}", "bolt {x}"),
        "unlock": ("unlock {x}", "release {x}"),
    },
}

# {c} is the command, {n} a command that is not to be carried out, {y} a thing that is not meant.
SHAPES: Final = (
    "{c}",
    "please {c}",
    "could you {c}",
    "{c} now",
    "leave {y} as it is and {c}",
    "{c}, but leave {y} alone",
    "{n}, no wait, rather {c}",
    "do not {n}, {c}",
    "{c}. I do not mean {y}",
    "{y} is fine, {c}",
    "I said {n} before, today {c}",
    "instead of {y}, {c}",
    "{c}, and do not {n}",
)


@dataclass(frozen=True, slots=True)
class Command:
    """One spoken command and its three words."""

    utterance: str
    answer: str


def draw_command(random: Random) -> Command:
    """A command whose only right reading is its answer."""
    answer, text, _ = _draw_part(random)
    other_answer, other_text, other_thing = _draw_part(random)
    while other_answer.split()[:2] == answer.split()[:2]:
        other_answer, other_text, other_thing = _draw_part(random)
    utterance = random.choice(SHAPES).format(c=text, n=other_text, y=other_thing)
    if random.random() < 0.3:
        utterance = utterance[0].upper() + utterance[1:] + "."
    return Command(utterance=utterance, answer=answer)


def draw_commands(count: int, random: Random) -> list[Command]:
    """`count` commands, no two of them with a similarity of `SEPARATION` or more."""
    index = SimilarityIndex()
    commands: list[Command] = []
    while len(commands) < count:
        command = draw_command(random)
        if not index.has_similar(command.utterance, SEPARATION):
            index.add(command.utterance)
            commands.append(command)
    return commands


def _draw_part(random: Random) -> tuple[str, str, str]:
    """An answer, a phrase that asks for it, and the thing that it is about."""
    room = random.choice(ROOMS)
    device = random.choice(tuple(DEVICES))
    action = random.choice(tuple(DEVICES[device]))
    thing = random.choice((f"the {room} {device}", f"the {device} in the {room}"))
    text = random.choice(DEVICES[device][action]).format(x=thing)
    return f"{room} {device} {action}", text, thing
