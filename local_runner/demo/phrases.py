"""Word tables of the synthetic support messages: products, needs, distractors and urgency.

Every phrase was written for this project. `{p}` stands for the product that a phrase is about, `{d}` for another
product that the message mentions only in passing.
"""

from __future__ import annotations

from typing import Final, Literal

Intent = Literal["fault", "setup", "billing", "refund", "delivery", "cancel"]
Product = Literal["camera", "router", "thermostat", "doorbell", "speaker", "lock", "lamp", "plug"]
Urgency = Literal["low", "normal", "high"]

PRODUCTS: Final[dict[Product, tuple[str, ...]]] = {
    "camera": ("camera", "webcam"),
    "router": ("router", "modem"),
    "thermostat": ("thermostat", "heater"),
    "doorbell": ("doorbell", "chime"),
    "speaker": ("speaker", "soundbar"),
    "lock": ("lock", "deadbolt"),
    "lamp": ("lamp", "light"),
    "plug": ("plug", "socket"),
}

# What is wrong with a product, as a verb phrase: "the camera keeps rebooting".
FAULTS: Final = (
    "keeps rebooting",
    "will not turn on",
    "drops the connection",
    "blinks red all day",
    "went dead on Monday",
    "makes a buzzing noise",
    "freezes every night",
    "does not react any more",
)

# Praise or indifference for the product in passing: "the router works fine".
FINE: Final = (
    "works fine",
    "is great",
    "does its job",
    "gives me no trouble",
    "never let me down",
    "behaves now",
)

# A message's need as a whole clause, by intent; faults are made from FAULTS.
NEEDS: Final[dict[Intent, tuple[str, ...]]] = {
    "fault": (),
    "setup": (
        "how do I pair the {p} with my phone",
        "I need help installing the {p}",
        "I am lost with the wiring of the {p}",
        "the manual does not say where to mount the {p}",
        "please tell me how to get the {p} going",
    ),
    "billing": (
        "you charged me twice for the {p}",
        "the invoice for the {p} shows the wrong amount",
        "the discount on the {p} is missing on my bill",
        "my statement lists a fee for the {p}",
        "the tax on the {p} was added two times",
    ),
    "refund": (
        "I want my money back for the {p}",
        "I sent the {p} back and still wait for the money",
        "please return what I paid for the {p}",
        "when will I be repaid for the {p}",
        "I would like to hand back the {p} for the full price",
    ),
    "delivery": (
        "the {p} has not arrived",
        "the parcel with the {p} went to the wrong address",
        "the tracking of the {p} has not moved since Friday",
        "where is the {p} I ordered",
        "the courier left with the {p} before I could open",
    ),
    "cancel": (
        "please call off my order of the {p}",
        "do not ship the {p}, I changed my mind",
        "I no longer want the {p} I ordered",
        "stop the subscription of the {p}",
        "take the {p} off my order",
    ),
}

# The same needs as noun phrases, for sentences that only mention them: "this is not about the bill for the plug".
TOPICS: Final[dict[Intent, tuple[str, ...]]] = {
    "fault": ("a repair of the {p}", "the broken {p}"),
    "setup": ("help with installing the {p}", "the wiring of the {p}"),
    "billing": ("the invoice for the {p}", "the double charge for the {p}"),
    "refund": ("a refund for the {p}", "my money back for the {p}"),
    "delivery": ("the parcel with the {p}", "the tracking of the {p}"),
    "cancel": ("calling off the {p}", "the end of the subscription of the {p}"),
}

# One product in passing, around the clause {c} that states the need. The clause is about {p}.
ASIDE: Final = (
    "the {d} {ok}, but {c}",
    "{c}. The {d} {ok}",
    "this is not about the {d}: {c}",
    "{c}, and I do not mean the {d}",
    "last year it was the {d}, this time {c}",
)

# The same, for faults only: {f} is the verb phrase of the fault.
CONTRAST: Final = (
    "the {d} {ok}, it is the {p} that {f}",
    "it is the {p} that {f}, the {d} {ok}",
    "the {p} {f}, not the {d}",
    "not the {d} but the {p} {f}",
    "unlike the {d}, the {p} {f}",
    "the {p}, unlike the {d}, {f}",
)

# The same by order of mention; only the tiny base model's exercises have these.
ORDINAL: Final = (
    "I have a {d} and a {p}: the first {ok}, the second {f}",
    "I have a {p} and a {d}: the first {f}, the second {ok}",
)

# One topic in passing: {t} is what the message is not about, {c} the clause that states the need.
DETOUR: Final = (
    "I am not asking for {t}: {c}",
    "{c}. This has nothing to do with {t}",
    "we already settled {t}, now {c}",
)

# Two topics from the same table: {a} is what the message is about, {t} is not.
CHOICE: Final = (
    "this is about {a}, not about {t}",
    "this is not about {t} but about {a}",
    "last week I wrote about {t}, now it is about {a}",
    "now it is about {a}, last week I wrote about {t}",
    "forget {t}, I ask about {a}",
    "I ask about {a}, forget {t}",
    "{t} is settled, {a} is not",
    "{a} is not settled, {t} is",
)

GREETINGS: Final = ("hello", "hi there", "good morning", "dear team", "hey", "good evening")
CLOSINGS: Final = ("thanks", "kind regards", "thank you", "cheers", "best wishes")

# How pressing it is. Several pairs differ only in a negation, and many name a fact and leave the conclusion open.
URGENCY: Final[dict[Urgency, tuple[str, ...]]] = {
    "high": (
        "this cannot wait",
        "I am in a hurry",
        "guests arrive tonight",
        "the shop opens in an hour",
        "I do not have a spare one",
        "I need an answer today",
        "my father is alone in the house",
        "it is urgent",
    ),
    "low": (
        "this can wait",
        "I am in no hurry",
        "the guests left yesterday",
        "the shop is closed until autumn",
        "I have a spare one",
        "I do not need an answer today",
        "nobody is in the house before spring",
        "it is not urgent",
    ),
    "normal": (
        "please answer this week",
        "a reply by Friday would be good",
        "I look forward to your reply",
        "let me know what you need from me",
        "I am home most evenings",
    ),
}

# Two voices about the urgency: {b} counts, {a} is overruled.
OVERRULED: Final = (
    "normally I would say that {a}, but now {b}",
    "now {b}, but normally I would say that {a}",
    "my son thinks that {a}, he is wrong: {b}",
    "{b}. My son thinks that {a}, he is wrong",
    "it is not true that {a}: {b}",
    "{b}, it is not true that {a}",
)
OVERRULED_FACTS: Final[dict[Urgency, tuple[str, ...]]] = {
    "high": ("this cannot wait", "it is urgent", "we need it today", "every hour counts"),
    "low": ("this can wait", "it is not urgent", "any day will do", "there is no rush"),
    "normal": (),
}
