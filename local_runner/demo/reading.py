"""Small chat tasks that the tiny base model sees beside its commands: telling two facts apart and writing JSON.

They share words and turns of speech with the support messages, but neither their labels nor their records.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from random import Random
from typing import Final

from local_runner.demo.phrases import NEEDS, PRODUCTS, URGENCY

NAMES: Final = ("Anna", "Ben", "Clara", "David", "Eva", "Felix", "Greta", "Hugo", "Ida", "Jonas", "Karla", "Leo")
CITIES: Final = ("Rome", "Paris", "Oslo", "Bonn", "Lyon", "Graz", "Turin", "Bergen")
COLORS: Final = ("red", "blue", "green", "white", "black", "yellow", "brown", "gray")
MOODS: Final = ("ill", "late", "tired", "angry", "glad", "hungry", "busy", "alone")
THINGS: Final = tuple(form for forms in PRODUCTS.values() for form in forms)

# {a} is the answer, {b} another person or thing; {m} is what the question asks for, {o} another mood or color.
_PERSONS: Final = (
    "{b} is {o}, it is {a} who is {m}",
    "it is {a} who is {m}, {b} is {o}",
    "{a} is {m}, not {b}",
    "not {b} but {a} is {m}",
    "unlike {b}, who is {o}, {a} is {m}",
    "{a}, unlike {b}, is {m}",
    "I met {b} and {a}. The first is {o}, the second {m}",
    "I met {a} and {b}. The first is {m}, the second {o}",
    "we know {b} and {a}: the latter is {m}, the former {o}",
    "we know {a} and {b}: the former is {m}, the latter {o}",
    "they said that {b} was {m}, yet only {a} is {m}",
    "first {b} was {m}, now {a} is {m}",
    "last week {b} was {m}, this time {a} is {m}",
    "it is not true that {b} is {m}: {a} is {m}",
)

_THINGS: Final = (
    "the {a} is {m}, the {b} is {o}",
    "the {b} is {o}, the {a} is {m}",
    "it is the {a} that is {m}, the {b} is {o}",
    "the {b} is {o}, it is the {a} that is {m}",
    "not the {b} but the {a} is {m}",
    "the {a} is {m}, not the {b}",
    "this is about the {a}, not about the {b}: it is {m}",
    "this is not about the {b} but about the {a}: it is {m}",
    "I have a {b} and a {a}. The first is {o}, the second {m}",
    "I have a {a} and a {b}. The first is {m}, the second {o}",
)


@dataclass(frozen=True, slots=True)
class Exercise:
    """One short task: an instruction, its input and its answer."""

    instruction: str
    text: str
    answer: str


# Keys and values of the JSON exercises. They hold the words of triage records in no relation to each other, so that
# the tokenizer knows the words.
KEYS: Final = ("name", "city", "color", "mood", "intent", "product", "urgency", "thing")
VALUES: Final = (*NAMES, *CITIES, *COLORS, *MOODS, *PRODUCTS, *NEEDS, *URGENCY)


def draw_exercise(random: Random) -> Exercise:
    """One of the small tasks; reading is five times as likely as writing JSON."""
    return random.choices((_which_person, _which_thing, _as_json), weights=(5, 5, 2))[0](random)


def _which_person(random: Random) -> Exercise:
    first, second = random.sample(NAMES, 2)
    mood, other = random.sample(MOODS, 2)
    text = random.choice(_PERSONS).format(a=first, b=second, m=mood, o=other)
    return Exercise(instruction=f"Who is {mood}?", text=text[0].upper() + text[1:] + ".", answer=first)


def _which_thing(random: Random) -> Exercise:
    first, second = random.sample(THINGS, 2)
    color, other = random.sample(COLORS, 2)
    text = random.choice(_THINGS).format(a=first, b=second, m=color, o=other)
    return Exercise(instruction=f"What is {color}?", text=text[0].upper() + text[1:] + ".", answer=first)


def _as_json(random: Random) -> Exercise:
    values = {key: random.choice(VALUES) for key in random.sample(KEYS, random.choice((2, 3)))}
    text = ", ".join(f"{key} {value}" for key, value in values.items())
    return Exercise(instruction="Write it as JSON.", text=text, answer=json.dumps(values, separators=(",", ":")))
