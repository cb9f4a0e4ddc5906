"""Word tables of the synthetic support messages: products, needs, distractors and urgency.

Every phrase was written for this project. `{p}` stands for the product that a phrase is about, `{d}` for another
product that the message mentions only in passing.
"""

from __future__ import annotations

from typing import Final, Literal

Intent = Literal["fault", "setup", "billing", "refund", "delivery", "cancel", "advice"]
Product = Literal["camera", "router", "thermostat", "doorbell", "speaker", "lock", "hub", "sensor", "lamp", "plug"]
Urgency = Literal["low", "normal", "high"]

PRODUCTS: Final[dict[Product, tuple[str, ...]]] = {
    "camera": ("camera", "garden camera", "cam"),
    "router": ("router", "wifi box", "mesh router"),
    "thermostat": ("thermostat", "heating control", "wall thermostat"),
    "doorbell": ("doorbell", "video doorbell", "chime"),
    "speaker": ("speaker", "soundbar", "kitchen speaker"),
    "lock": ("lock", "smart lock", "deadbolt"),
    "hub": ("hub", "bridge", "home hub"),
    "sensor": ("sensor", "motion sensor", "smoke detector"),
    "lamp": ("lamp", "desk lamp", "light strip"),
    "plug": ("plug", "smart socket", "power strip"),
}

# What is wrong with a product, as a verb phrase: "the camera keeps rebooting".
FAULTS: Final = (
    "keeps rebooting",
    "will not turn on",
    "drops the connection every night",
    "blinks red all day",
    "went dead on Monday",
    "makes a buzzing noise",
    "stopped responding after the update",
    "freezes several times a day",
    "is stuck on the start screen",
    "does not react to the app any more",
    "gets far too hot",
    "loses its settings over night",
    "switches itself off",
    "has a cracked case and no signal",
)

# Praise or indifference for the product in passing: "the router works fine".
FINE: Final = (
    "works fine",
    "is great",
    "does its job",
    "has been fine for years",
    "gives me no trouble",
    "never let me down",
    "is doing well",
    "was repaired last year and is fine",
    "arrived and runs well",
    "was easy to install",
    "is paid and settled",
    "behaves now",
)

# A message's need as a whole clause, by intent; faults are made from FAULTS.
NEEDS: Final[dict[Intent, tuple[str, ...]]] = {
    "fault": (),
    "setup": (
        "I cannot get past the first step with the {p}",
        "how do I pair the {p} with my phone",
        "the manual does not say where to mount the {p}",
        "I need help installing the {p}",
        "which code do I type in to connect the {p}",
        "my new {p} does not show up when I add it in the app",
        "the wizard for the {p} asks for a key I never got",
        "I am lost with the wiring of the {p}",
        "please tell me how to get the {p} going",
    ),
    "billing": (
        "you charged me twice for the {p}",
        "the invoice for the {p} shows the wrong amount",
        "the discount on the {p} is missing on my bill",
        "my statement lists a fee for the {p} that I never agreed to",
        "I need a corrected invoice for the {p}",
        "the tax on the {p} was added two times",
        "my card was debited for a {p} I paid in cash",
        "the {p} was cheaper in the shop than on the invoice",
    ),
    "refund": (
        "I want my money back for the {p}",
        "please refund the {p}",
        "I sent the {p} back and still wait for the money",
        "the {p} is not for me, please return what I paid",
        "when will I be repaid for the {p}",
        "I would like to hand back the {p} and get the full price",
        "you promised to pay me back for the {p}",
        "how can I return the {p} for my money",
    ),
    "delivery": (
        "the {p} has not arrived",
        "the parcel with the {p} went to the wrong address",
        "the tracking of the {p} has not moved since Friday",
        "the box came without the {p} in it",
        "where is the {p} I ordered",
        "the courier left with the {p} before I could open",
        "I still wait for the {p} you shipped",
        "my {p} is said to be delivered but nobody has seen it",
    ),
    "cancel": (
        "please call off my order of the {p}",
        "do not ship the {p}, I changed my mind",
        "end the monthly plan for the {p}",
        "I no longer want the {p} I ordered this morning",
        "stop the subscription of the {p}",
        "take the {p} off my order",
        "I wish to terminate the contract for the {p}",
        "scrap the order of the {p} before it leaves",
    ),
    "advice": (
        "does the {p} also run without internet",
        "is the {p} good enough for a large house",
        "I think about buying the {p}, is it loud",
        "which {p} would you pick for a flat",
        "can the {p} be used outdoors",
        "would the {p} suit an old house",
        "how long does the battery of the {p} usually last",
        "before I buy the {p}, does it speak German",
    ),
}

# The same needs as noun phrases, for sentences that only mention them: "I am not asking for a refund of the plug".
TOPICS: Final[dict[Intent, tuple[str, ...]]] = {
    "fault": ("a repair of the {p}", "the fault in the {p}", "the broken {p}"),
    "setup": ("help installing the {p}", "the pairing of the {p}", "the wiring of the {p}"),
    "billing": ("the invoice for the {p}", "the double charge for the {p}", "the bill for the {p}"),
    "refund": ("a refund for the {p}", "my money back for the {p}", "the return of the {p}"),
    "delivery": ("the parcel with the {p}", "the delivery of the {p}", "the tracking of the {p}"),
    "cancel": ("the end of my order of the {p}", "the end of the plan for the {p}", "a stop of the {p} contract"),
    "advice": ("advice on the {p}", "the choice of a {p}", "the right kind of {p}"),
}

# One product in passing, around the clause {c} that states the need. The clause is about {p}.
ASIDE: Final = (
    "the {d} {ok}; {c}",
    "the {d} {ok}, but {c}",
    "{c}. The {d} {ok}",
    "{c}, while the {d} {ok}",
    "this is not about the {d}. {c}",
    "{c}, and no, I do not mean the {d}",
    "I have a {d} that {ok}. {c}",
    "{c}. My {d} {ok}",
    "last year it was the {d}, this time {c}",
    "forget what I wrote about the {d}, it {ok}. {c}",
)

# The same, for faults only: {f} is the verb phrase of the fault.
CONTRAST: Final = (
    "the {d} {ok}, it is the {p} that {f}",
    "it is the {p} that {f}, the {d} {ok}",
    "I blamed the {d} first, but the {p} {f}",
    "the {p} {f}, not the {d}",
    "not the {d} but the {p} {f}",
    "unlike the {d}, which {ok}, the {p} {f}",
    "the {p}, unlike the {d}, {f}",
    "I have a {d} and a {p}. The first {ok}, the second {f}",
    "I have a {p} and a {d}. The first {f}, the second {ok}",
    "we own a {d} and a {p}: the latter {f}, the former {ok}",
    "we own a {p} and a {d}: the former {f}, the latter {ok}",
    "my neighbour said the {d} was broken, yet only the {p} {f}",
)

# One topic in passing: {t} is what the message is not about, {c} the clause that states the need.
DETOUR: Final = (
    "I am not asking for {t}. {c}",
    "{c}. This has nothing to do with {t}",
    "we already settled {t}, now {c}",
    "before you offer {t}: {c}",
    "my last mail was about {t}, this one is not: {c}",
    "instead of {t}, I have this: {c}",
)

# Two topics from the same table: {a} is what the message is about, {t} is not.
CHOICE: Final = (
    "this is about {a}, not about {t}",
    "this is not about {t} but about {a}",
    "I wrote about {t} last week, now I write about {a}",
    "I write about {a} now, about {t} I wrote last week",
    "I would rather have {a} than {t}",
    "rather than {t} I would have {a}",
    "forget {t}, I ask about {a}",
    "I ask about {a}, forget {t}",
    "{t} is settled, {a} is not",
    "{a} is not settled, {t} is",
    "first it was {t}, now it is {a}",
    "you answer me about {t} and I ask about {a}",
    "I ask about {a} and you answer me about {t}",
)

GREETINGS: Final = ("hello", "hi there", "good morning", "dear team", "hey", "good evening", "to whom it may concern")
CLOSINGS: Final = ("thanks", "kind regards", "thank you", "cheers", "best wishes", "many thanks")

# How pressing it is. Several pairs differ only in a negation, and many name a fact and leave the conclusion open.
URGENCY: Final[dict[Urgency, tuple[str, ...]]] = {
    "high": (
        "this cannot wait",
        "I am in a hurry",
        "please do not take your time",
        "my father is alone in the house",
        "guests arrive tonight",
        "the shop opens in an hour",
        "we leave for the airport at noon",
        "I do not have a spare one",
        "this is not something for next week",
        "I need an answer today",
        "without it we cannot open the door",
        "the baby's room is getting cold",
        "every hour costs us customers",
        "it is urgent",
        "I would not call this a detail, it must be solved now",
    ),
    "low": (
        "this can wait",
        "I am in no hurry",
        "please take your time",
        "nobody is in the house before spring",
        "the guests left, so there is no rush",
        "the shop is closed until autumn",
        "we are back from the airport and rested, any day will do",
        "I have a spare one",
        "this is something for next month",
        "I do not need an answer today",
        "we get along well without it",
        "I was only curious",
        "it costs us nothing to wait",
        "it is not urgent",
        "I would call this a detail, solve it some time",
    ),
    "normal": (
        "please answer this week",
        "a reply by Friday would be good",
        "I look forward to your reply",
        "let me know what you need from me",
        "please write to me about the next steps",
        "I am home most evenings",
        "tell me if you need the serial number",
        "neither urgent nor forgotten, please",
    ),
}

# Two voices about the urgency: {b} counts, {a} is overruled.
OVERRULED: Final = (
    "normally I would say that {a}, but now {b}",
    "now {b}, but normally I would say that {a}",
    "my son thinks that {a}. He is wrong, {b}",
    "{b}. My son thinks that {a}, he is wrong",
    "last time I wrote that {a}, today {b}",
    "today {b}, last time I wrote that {a}",
    "it is not true that {a}: {b}",
    "{b}, it is not true that {a}",
)
OVERRULED_FACTS: Final[dict[Urgency, tuple[str, ...]]] = {
    "high": ("this cannot wait", "it is urgent", "we need it today", "every hour counts", "it must be solved now"),
    "low": ("this can wait", "it is not urgent", "any day will do", "there is no rush", "we get along without it"),
    "normal": (),
}
