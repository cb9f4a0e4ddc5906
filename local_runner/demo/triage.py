"""The synthetic task of the embedded default: a support message becomes a JSON triage record.

A grammar draws the record first and then a message that states it, so every label is right by construction. Most
messages name a second product or a second need in passing, and urgency is often a fact, a negated phrase or one of
two voices: which words occur says little, how they stand to each other decides.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from random import Random
from typing import Final, get_args

from local_runner.demo.phrases import (
    ASIDE,
    CHOICE,
    CLOSINGS,
    CONTRAST,
    DETOUR,
    FAULTS,
    FINE,
    GREETINGS,
    NEEDS,
    OVERRULED,
    OVERRULED_FACTS,
    PRODUCTS,
    TOPICS,
    URGENCY,
    Intent,
    Product,
    Urgency,
)

INTENTS: Final[tuple[Intent, ...]] = tuple(NEEDS)
URGENCIES: Final[tuple[Urgency, ...]] = tuple(URGENCY)

SYSTEM_PROMPT: Final = "Triage the message as JSON: intent, product, urgency."


@dataclass(frozen=True, slots=True)
class Record:
    """What a triage desk needs to know about one message."""

    intent: Intent
    product: Product
    urgency: Urgency

    def to_json(self) -> str:
        """The canonical answer: keys in this order, no spaces."""
        fields = {"intent": self.intent, "product": self.product, "urgency": self.urgency}
        return json.dumps(fields, separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class Ticket:
    """One message and its record."""

    message: str
    record: Record


def draw_record(random: Random) -> Record:
    """A record: all products and urgencies equally likely, and faults twice as likely as any other intent."""
    intent = random.choice((*INTENTS, "fault"))
    return Record(intent=intent, product=random.choice(tuple(PRODUCTS)), urgency=random.choice(URGENCIES))


def draw_ticket(random: Random) -> Ticket:
    """A record and a message that states it."""
    record = draw_record(random)
    return Ticket(message=write_message(record, random), record=record)


def write_message(record: Record, random: Random) -> str:
    """A message of one to four sentences whose only right reading is `record`."""
    need = _need(record, random)
    urgency = _urgency(record.urgency, random)
    sentences = [need, urgency] if random.random() < 0.75 else [urgency, need]
    if random.random() < 0.25:
        sentences.insert(0, random.choice(GREETINGS))
    if random.random() < 0.15:
        sentences.append(random.choice(CLOSINGS))
    text = " ".join(_sentence(sentence) for sentence in sentences if sentence)
    return _surface(text, random)


def _need(record: Record, random: Random) -> str:
    product = random.choice(PRODUCTS[record.product])
    other = _other_product(record.product, random)
    fault = random.choice(FAULTS)
    fine = random.choice(FINE)
    clause = f"the {product} {fault}" if record.intent == "fault" else random.choice(NEEDS[record.intent])
    clause = clause.format(p=product)
    shape = random.random()
    if shape < 0.15:
        return clause
    if shape < 0.55 and record.intent == "fault":
        return random.choice(CONTRAST).format(p=product, d=other, f=fault, ok=fine)
    if shape < 0.55:
        return random.choice(ASIDE).format(d=other, ok=fine, c=clause)
    intent = random.choice([intent for intent in INTENTS if intent != record.intent])
    topic = random.choice(TOPICS[intent]).format(p=random.choice((product, other)))
    if shape < 0.9:
        return random.choice(DETOUR).format(t=topic, c=clause)
    about = random.choice(TOPICS[record.intent]).format(p=product)
    return random.choice(CHOICE).format(a=about, t=topic)


def _other_product(product: Product, random: Random) -> str:
    other = random.choice([name for name in get_args(Product) if name != product])
    return random.choice(PRODUCTS[other])


def _urgency(urgency: Urgency, random: Random) -> str:
    if urgency == "normal":
        return random.choice(URGENCY["normal"]) if random.random() < 0.6 else ""
    if random.random() < 0.4:
        opposite: Urgency = "low" if urgency == "high" else "high"
        valid, overruled = random.choice(OVERRULED_FACTS[urgency]), random.choice(OVERRULED_FACTS[opposite])
        return random.choice(OVERRULED).format(a=overruled, b=valid)
    return random.choice(URGENCY[urgency])


def _sentence(text: str) -> str:
    ending = "" if text[-1] in ".!?" else "."
    return text[0].upper() + text[1:] + ending


def _surface(text: str, random: Random) -> str:
    """Writes `text` as people type: sometimes without capitals, sometimes with two letters swapped."""
    style = random.random()
    if style < 0.15:
        text = text.lower()
    if style > 0.9:
        text = swap_letters(text, random)
    return text


def swap_letters(text: str, random: Random) -> str:
    """`text` with two neighboring letters inside one word of five or more letters swapped."""
    words = text.split(" ")
    long_words = [index for index, word in enumerate(words) if len(word) >= 5 and word[1:4].isalpha()]
    if not long_words:
        return text
    index = random.choice(long_words)
    word = words[index]
    words[index] = word[0] + word[2] + word[1] + word[3:]
    return " ".join(words)
