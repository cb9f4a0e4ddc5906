"""Each method that learns from preferences makes a model better at what is preferred, on messages that no training had.

Of a triage message three things are true: intent, product and urgency. The embedded base is first taught to say one of
them, whichever. People prefer that it names the product: where it does is counted before and after.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import pytest

from local_runner.demo.flaws import draw_separate
from local_runner.demo.triage import SYSTEM_PROMPT, Ticket
from schemas.artifacts import Stored
from schemas.base_model import BaseModelRef
from schemas.data import DataArtifact, Example
from tests.evaluate.support import data_artifact as held_out
from tests.support.learning import answered, check_learned, model_of, preferred, row, taught
from tests.support.training import data_artifact, run_stage, train_config

PREFERRED, OTHERS = "product", ("intent", "urgency")
TAUGHT, COMPARED, ASKED = 1200, 800, 300
"""Messages to teach the base with, to compare answers to, and to test on."""


def said(number: int, ticket: Ticket, what: str) -> Example:
    """Return the row that answers a message with one thing that is true of it."""
    return row(number, SYSTEM_PROMPT, ticket.message, str(getattr(ticket.record, what)))


def compared(tickets: Sequence[Ticket], chance: Random) -> list[Example]:
    """Return pairs: the product is chosen, another thing that is true of the message is rejected."""
    pairs = []
    for number, ticket in enumerate(tickets):
        chosen, rejected = said(number, ticket, PREFERRED), said(number, ticket, chance.choice(OTHERS))
        sides = {"chosen": chosen.messages[-1:], "rejected": rejected.messages[-1:]}
        pairs.append(chosen.model_copy(update={"messages": chosen.prompt, **sides}))
    return pairs


@pytest.fixture(scope="module")
def tickets() -> list[Ticket]:
    return draw_separate(TAUGHT + COMPARED + ASKED, Random(5))


@pytest.fixture(scope="module")
def undecided(tmp_path_factory: pytest.TempPathFactory, tickets: list[Ticket]) -> BaseModelRef:
    """A base that says the intent a little more often than the product and the urgency."""
    what = Random(1).choices((*OTHERS, PREFERRED), [36, 32, 32], k=TAUGHT)
    rows = [said(n, ticket, one) for n, (ticket, one) in enumerate(zip(tickets, what, strict=False))]
    return taught(tmp_path_factory.mktemp("undecided"), rows)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory, tickets: list[Ticket]) -> Stored[DataArtifact]:
    part = compared(tickets[TAUGHT : TAUGHT + COMPARED], Random(2))
    return data_artifact(tmp_path_factory.mktemp("pairs"), part, kind="preference")


RATES = {"dpo": 2e-4, "kto": 2e-4, "orpo": 3e-4, "cpo": 1e-4, "simpo": 2e-4}


def settings(rate: float) -> dict[str, Any]:
    return {
        "adapter": "full",
        "learning_rate": rate,
        "max_steps": 40,
        "num_train_epochs": 9,
        "per_device_train_batch_size": 16,
        "max_length": 256,
    }


@pytest.mark.parametrize(
    "method", [pytest.param(name, marks=pytest.mark.slow if name == "dpo" else pytest.mark.full) for name in RATES]
)
def test_a_method_makes_the_model_better(
    undecided: BaseModelRef, pairs: Stored[DataArtifact], tickets: list[Ticket], tmp_path: Path, method: Any
) -> None:
    trained = run_stage(tmp_path, train_config(undecided, method=method, **settings(RATES[method])), pairs)
    asked = [said(n, ticket, PREFERRED) for n, ticket in enumerate(tickets[-ASKED:])]
    check_learned(answered(model_of(trained), asked), answered(undecided, asked), least=0.1)


@pytest.mark.full
def test_a_reward_model_learns_what_is_preferred(
    undecided: BaseModelRef, pairs: Stored[DataArtifact], tickets: list[Ticket], tmp_path: Path
) -> None:
    trained = run_stage(tmp_path / "work", train_config(undecided, method="reward", **settings(3e-4)), pairs)
    held = held_out(tmp_path / "held", test=compared(tickets[-ASKED:], Random(3)), kind="preference", labels=None)
    before = preferred(tmp_path / "before", held, base_model=undecided)
    check_learned(preferred(tmp_path / "after", held, base_model=undecided, trained=trained), before, least=0.1)
