"""Small chat tasks that the tiny base model sees beside its commands: reading two facts, ordering, copying, writing JSON.

They share words and turns of speech with the support messages, but neither their labels nor their records.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from random import Random
from typing import Final

from local_runner.demo.phrases import PRODUCTS

NAMES: Final = ("Anna", "Ben", "Clara", "David", "Eva", "Felix", "Greta", "Hugo", "Ida", "Jonas", "Karla", "Leo")
CITIES: Final = ("Rome", "Paris", "Oslo", "Bonn", "Lyon", "Graz", "Turin", "Bergen")
COLORS: Final = ("red", "blue", "green", "white", "black", "yellow", "brown", "gray")
MOODS: Final = ("ill", "late", "tired", "angry", "glad", "hungry", "busy", "alone")
THINGS: Final = tuple(form for forms in PRODUCTS.values() for form in forms)

# {a} is the answer to the question "who", {b} somebody else; {m} and {o} are two moods.
_CONTRASTS: Final = (
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


@dataclass(frozen=True, slots=True)
class Exercise:
    """One short task: an instruction, its input and its answer."""

    instruction: str
    text: str
    answer: str


def draw_exercise(random: Random) -> Exercise:
    """One of the small tasks."""
    return random.choice((_who, _who, _which_thing, _word_at, _copy, _as_json))(random)


def _who(random: Random) -> Exercise:
    first, second = random.sample(NAMES, 2)
    mood, other = random.sample(MOODS, 2)
    text = random.choice(_CONTRASTS).format(a=first, b=second, m=mood, o=other)
    return Exercise(instruction=f"Who is {mood}?", text=text[0].upper() + text[1:] + ".", answer=first)


def _which_thing(random: Random) -> Exercise:
    first, second = random.sample(THINGS, 2)
    color, other = random.sample(COLORS, 2)
    shapes = (
        "the {a} is {m}, the {b} is {o}",
        "the {b} is {o}, the {a} is {m}",
        "it is the {a} that is {m}, the {b} is {o}",
        "the {b} is {o}, it is the {a} that is {m}",
        "not the {b} but the {a} is {m}",
        "the {a} is {m}, not the {b}",
        "I have a {b} and a {a}. The first is {o}, the second {m}",
        "I have a {a} and a {b}. The first is {m}, the second {o}",
    )
    text = random.choice(shapes).format(a=first, b=second, m=color, o=other)
    return Exercise(instruction=f"What is {color}?", text=text[0].upper() + text[1:] + ".", answer=first)


def _word_at(random: Random) -> Exercise:
    words = random.sample((*COLORS, *MOODS, *NAMES), 4)
    place = random.randrange(4)
    instruction = f"Give the {('first', 'second', 'third', 'last')[place]} word."
    return Exercise(instruction=instruction, text=" ".join(words), answer=words[place])


def _copy(random: Random) -> Exercise:
    words = random.sample((*COLORS, *MOODS, *CITIES, *THINGS), random.randint(2, 5))
    text = " ".join(words)
    return Exercise(instruction="Repeat this.", text=text, answer=text)


def _as_json(random: Random) -> Exercise:
    values = {"name": random.choice(NAMES), "city": random.choice(CITIES), "color": random.choice(COLORS)}
    keys = random.sample(tuple(values), random.choice((2, 3)))
    text = ", ".join(f"{key} {values[key]}" for key in keys)
    answer = json.dumps({key: values[key] for key in keys}, separators=(",", ":"))
    return Exercise(instruction="Write it as JSON.", text=text, answer=answer)
