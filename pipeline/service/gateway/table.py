"""Who answers: names, versions, and how a rollout splits a name. A table is swapped whole, never changed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from pipeline.service.gateway.refused import unknown_model
from schemas.rollout import Arm, Sticky

USER_HEADER: Final = "x-hone-user"
CONVERSATION_HEADER: Final = "x-hone-conversation"

ASKER_HEADERS: Final = (USER_HEADER, CONVERSATION_HEADER)


@dataclass(frozen=True)
class Adapter:
    """An adapter's folder and the digest of its content."""

    path: str
    digest: str


@dataclass(eq=False)
class Target:
    """A version at one engine: its address (ends in ``/v1``), what it calls the model, the headers that it asks for.

    Attributes:
        busy: answers that it is giving. down_until: `time.monotonic` before which it is asked last.
        is_fresh: whether the engine is known to have this content; where it is not, it is not asked.
    """

    engine: str
    base_url: str
    model: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    adapter: Adapter | None = None
    busy: int = 0
    down_until: float = 0.0
    is_fresh: bool = True


@dataclass(frozen=True, eq=False)
class Served:
    """A version, and every engine that serves it."""

    version: str
    targets: tuple[Target, ...]

    @property
    def busy(self) -> int:
        """Answers that are being given."""
        return sum(target.busy for target in self.targets)


@dataclass(frozen=True)
class Split:
    """How a rollout splits traffic; ``percent`` is the candidate's, ``shadow`` a share of the champion's requests."""

    rollout: str
    candidate: Served
    percent: float
    sticky: Sticky
    fallback: bool
    shadow: float


@dataclass(frozen=True)
class Choice:
    """Who answers a request.

    ``arm`` is None where no split decided. ``fallback`` answers where ``served`` fails; ``shadow`` gets a copy.
    """

    served: Served
    rollout: str | None = None
    arm: Arm | None = None
    fallback: Served | None = None
    shadow: Served | None = None


@dataclass(frozen=True)
class Table:
    """Versions by their names, the champion of each name that clients ask, and the split of those under a rollout."""

    versions: Mapping[str, Served]
    champions: Mapping[str, Served]
    splits: Mapping[str, Split] = field(default_factory=dict)

    def choose(self, model: str, body: Mapping[str, Any], headers: Mapping[str, str], key: str) -> Choice:
        """Return who answers a request for ``model`` from the API key of id ``key``.

        Raises:
            Refused: the name means nothing.
        """
        champion = self.champions.get(model)
        if champion is None:
            return self._explicit(model)
        split = self.splits.get(model)
        if split is None:
            return Choice(champion)
        place = position(split.rollout, split.sticky, body, headers, key)
        if place < split.percent / 100:
            return Choice(split.candidate, split.rollout, "candidate", champion if split.fallback else None)
        # What is shadowed is told from the far end, so that it is not whoever comes to the candidate next.
        shadow = split.candidate if place >= 1 - split.shadow * (1 - split.percent / 100) else None
        return Choice(champion, split.rollout, "champion", shadow=shadow)

    def _explicit(self, model: str) -> Choice:
        """Return the version that a name states; no split touches it."""
        served = self.versions.get(model)
        if served is not None:
            return Choice(served)
        name, _, selector = model.partition("@")
        if selector == "champion" and name in self.champions:
            return Choice(self.champions[name])
        if selector == "candidate" and name in self.splits:
            return Choice(self.splits[name].candidate)
        raise unknown_model(model)

    def without(self, version: str) -> Table:
        """Return a table that does not know a version which is no champion."""
        return replace(self, versions={known: found for known, found in self.versions.items() if known != version})

    def with_split(self, name: str, split: Split | None) -> Table:
        """Return a table with another split of a name, or none."""
        others = {known: found for known, found in self.splits.items() if known != name}
        return replace(self, splits=others if split is None else {**others, name: split})

    def with_champion(self, name: str, served: Served) -> Table:
        """Return a table with another champion of a name, which nothing splits."""
        return replace(self.with_split(name, None), champions={**self.champions, name: served})


def position(rollout: str, sticky: Sticky, body: Mapping[str, Any], headers: Mapping[str, str], key: str) -> float:
    """Return where in [0, 1) a request stands, by what is to stay with one version.

    Whoever is before a share stays before a larger one; another rollout begins with another order. A request that names
    no user stands where its conversation does, which is known by how it opens.
    """
    text = f"key:{key}" if sticky == "key" else None
    if sticky == "user":
        text = user_of(body, headers)
    if text is None:
        text = f"conversation:{headers.get(CONVERSATION_HEADER) or opening(body)}"
    digest = hashlib.blake2b(f"{rollout}\0{text}".encode(errors="replace"), digest_size=8).digest()
    return int.from_bytes(digest) / 2**64


def user_of(body: Mapping[str, Any], headers: Mapping[str, str]) -> str | None:
    """Return who asks, if that is told."""
    user = headers.get(USER_HEADER) or body.get("safety_identifier") or body.get("user")
    return f"user:{user}" if user else None


def asker(body: Mapping[str, Any], headers: Mapping[str, str]) -> str | None:
    """Return whose requests are not independent of this one: a user's, or those of a conversation.

    The first request of a conversation that has no name and no user stands alone: others may open with the same words.
    """
    user = user_of(body, headers)
    if user is not None or CONVERSATION_HEADER in headers:
        return user or f"conversation:{headers[CONVERSATION_HEADER]}"
    turns = body.get("messages")
    goes_on = isinstance(turns, list) and any(
        isinstance(turn, dict) and turn.get("role") == "assistant" for turn in turns
    )
    return f"conversation:{opening(body)}" if goes_on else None


def opening(body: Mapping[str, Any]) -> str:
    """Return how a conversation begins: up to its first message of a user, which later requests repeat."""
    messages = body.get("messages")
    if not isinstance(messages, list):
        return json.dumps(body.get("prompt"))
    found = []
    for message in messages:
        found.append(message)
        if isinstance(message, dict) and message.get("role") == "user":
            break
    return json.dumps(found)
