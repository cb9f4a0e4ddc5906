"""Small chat tasks that the tiny base model sees beside its commands: telling two facts apart and writing JSON.

They share words and turns of speech with the support messages, but neither their labels nor their records.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from random import Random
from typing import Final

from local_runner.demo.phrases import (
    ASIDE,
    CHOICE,
    CONTRAST,
    FAULTS,
    FINE,
    NEEDS,
    ORDINAL,
    OVERRULED,
    PRODUCTS,
    TOPICS,
    URGENCY,
)

NAMES: Final = ("Anna", "Ben", "Clara", "David", "Eva", "Felix", "Greta", "Hugo", "Ida", "Jonas", "Karla", "Leo")
COLORS: Final = ("red", "blue", "green", "white", "black", "yellow", "brown", "gray")
THINGS: Final = tuple(form for forms in PRODUCTS.values() for form in forms)
SUBJECTS: Final = ("the weather", "my garden", "the soup", "a long walk", "the old bridge", "our holiday", "the rain")
FACTS: Final = (
    "it is late",
    "it is early",
    "it will rain",
    "we are lost",
    "we know the way",
    "they left",
    "they stayed",
)

# Keys and values of the JSON exercises. They hold the words of triage records in no relation to each other, so that
# the tokenizer knows the words.
KEYS: Final = ("name", "color", "intent", "product", "urgency", "thing")
VALUES: Final = (*NAMES, *COLORS, *PRODUCTS, *NEEDS, *URGENCY)

# Clauses of about the same meaning.
_SYNONYMS: Final = (
    tuple(f"the {{p}} {fault}" for fault in FAULTS) + TOPICS["fault"],
    *(NEEDS[intent] + TOPICS[intent] for intent in NEEDS if NEEDS[intent]),
    *URGENCY.values(),
)


@dataclass(frozen=True, slots=True)
class Exercise:
    """One short task: an instruction, its input and its answer."""

    instruction: str
    text: str
    answer: str


def draw_exercise(random: Random) -> Exercise:
    """One of the small tasks."""
    tasks = (_which, _subject, _fact, _card, _other_words, _as_json)
    return random.choices(tasks, weights=(2, 1, 1, 4, 2, 1))[0](random)


def _which(random: Random) -> Exercise:
    """Two people or two things in one sentence, one of them asked for."""
    text, color, answer = _contrast(f"is {random.choice(COLORS)}", random)
    return Exercise(f"Which is {color}?", _sentence(text), answer)


def _card(random: Random) -> Exercise:
    """Two or three sentences to one JSON object: which color, which thing, which fact or subject."""
    text, color, thing = _contrast(random.choice(FINE), random)
    other = _fact(random) if random.random() < 0.6 else _subject(random)
    key = "fact" if other.instruction == "What is true?" else "subject"
    texts = [_sentence(text), other.text]
    if random.random() < 0.3:
        texts.reverse()
    values = {"color": color, "thing": thing, key: other.answer}
    return Exercise("Fill in a card.", " ".join(texts), json.dumps(values, separators=(",", ":")))


def _contrast(fine: str, random: Random) -> tuple[str, str, str]:
    """A sentence that one of two people or things has a color and the other is `fine`; the color; and the one."""
    first, second = random.sample(random.choice((NAMES, THINGS, THINGS)), 2)
    color = random.choice([color for color in COLORS if not fine.endswith(color)])
    if random.random() < 0.5:
        text = random.choice(CONTRAST + ORDINAL).format(p=first, d=second, f=f"is {color}", ok=fine)
    else:
        text = random.choice(ASIDE).format(c=f"the {first} is {color}", d=second, ok=fine)
    if first in NAMES:
        for name in (first, second):
            text = re.sub(f"\\b(?:the|a|The) {name}", name, text)
    return text, color, first


def _subject(random: Random) -> Exercise:
    """Two subjects, one of which was talked about before."""
    first, second = random.sample(SUBJECTS, 2)
    return Exercise("What is it about?", _sentence(random.choice(CHOICE).format(a=first, t=second)), first)


def _fact(random: Random) -> Exercise:
    """Two voices, one of which is overruled."""
    first, second = random.sample(FACTS, 2)
    return Exercise("What is true?", _sentence(random.choice(OVERRULED).format(b=first, a=second)), first)


def _other_words(random: Random) -> Exercise:
    """A clause, said differently."""
    clauses = random.choice(_SYNONYMS)
    first, second = random.sample(clauses, 2)
    names = random.choice(tuple(PRODUCTS.values()))
    return Exercise("Say it differently.", first.format(p=names[0]), second.format(p=names[1]))


def _as_json(random: Random) -> Exercise:
    values = {key: random.choice(VALUES) for key in random.sample(KEYS, random.choice((2, 3)))}
    text = ", ".join(f"{key} {value}" for key, value in values.items())
    return Exercise("Write it as JSON.", text, json.dumps(values, separators=(",", ":")))


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:] + "."
