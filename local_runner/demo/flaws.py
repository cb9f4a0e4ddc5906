"""The flaws of real data, planted into the synthetic rows and written down, so that reports on them can be checked.

Every flaw has lines of its own: no line belongs to two kinds. Line numbers start at 1. Drawn messages stay below a
Jaccard similarity (word bigrams) of `SEPARATION` to each other; planted near copies reach at least `NEAR`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Final, TypeVar

from local_runner.demo import personal
from local_runner.demo.similarity import SimilarityIndex, bigrams, jaccard
from local_runner.demo.triage import INTENTS, URGENCIES, Ticket, draw_ticket, swap_letters

SEPARATION: Final = 0.7
NEAR: Final = 0.85
MIN_BIGRAMS: Final = 16
PAIR_KINDS: Final = ("exact_duplicates", "near_duplicates", "contradictions", "exact_leaks", "near_leaks")

# Planted rows for every thousand lines of the training file.
PER_MILLE: Final = {
    "exact_duplicates": 20,
    "near_duplicates": 30,
    "contradictions": 6,
    "personal_data": 50,
    "exact_leaks": 4,
    "near_leaks": 6,
}


_Item = TypeVar("_Item")


@dataclass(frozen=True, slots=True)
class Pair:
    """Two lines that belong together; `second` is the copy, in the same file or, for a leak, in the test file."""

    first: int
    second: int


@dataclass(frozen=True, slots=True)
class PersonalLine:
    """One piece of personal data: its line, its kind and its text."""

    line: int
    kind: personal.PersonalKind
    value: str


@dataclass(frozen=True, slots=True)
class Planted:
    """Every planted flaw by kind. Leaks pair a line of the training file with a line of the test file."""

    exact_duplicates: tuple[Pair, ...]
    near_duplicates: tuple[Pair, ...]
    contradictions: tuple[Pair, ...]
    personal_data: tuple[PersonalLine, ...]
    exact_leaks: tuple[Pair, ...]
    near_leaks: tuple[Pair, ...]
    malformed: int


@dataclass(frozen=True, slots=True)
class FlawedRows:
    """The lines of both files; in `train` the malformed line is None."""

    train: tuple[Ticket | None, ...]
    test: tuple[Ticket, ...]
    planted: Planted


class _Sheet:
    """The tickets of both files while flaws are added. A ticket is known by its key, its place in the list."""

    def __init__(self, train: list[Ticket], test: list[Ticket], random: Random) -> None:
        self.train = train
        self.test = test
        self._untouched = [key for key, ticket in enumerate(train) if len(bigrams(ticket.message)) >= MIN_BIGRAMS]
        random.shuffle(self._untouched)

    def take(self) -> int:
        """The key of a training ticket that has no flaw yet and is long enough to be copied with an edit."""
        return self._untouched.pop()

    def copies(self, count: int, change: Callable[[Ticket], Ticket]) -> list[Pair]:
        """Appends `count` changed copies to the training file; the pairs hold keys."""
        pairs = [Pair(self.take(), len(self.train) + index) for index in range(count)]
        self.train += [change(self.train[pair.first]) for pair in pairs]
        return pairs

    def leaks(self, count: int, change: Callable[[Ticket], Ticket]) -> list[Pair]:
        """Appends `count` changed copies to the test file; the pairs hold keys."""
        pairs = [Pair(self.take(), len(self.test) + index) for index in range(count)]
        self.test += [change(self.train[pair.first]) for pair in pairs]
        return pairs

    def add_personal_data(self, count: int, random: Random) -> list[PersonalLine]:
        """Appends a sentence with personal data to `count` training messages, the kinds in turn."""
        planted = []
        for index in range(count):
            key, kind = self.take(), personal.KINDS[index % len(personal.KINDS)]
            sentence, value = personal.draw_sentence(kind, random)
            ticket = self.train[key]
            self.train[key] = replace(ticket, message=f"{ticket.message} {sentence}")
            planted.append(PersonalLine(key, kind, value))
        return planted


def plant(*, rows: int, test_rows: int, random: Random) -> FlawedRows:
    """Draws the rows of both files and plants the flaws.

    Args:
        rows: lines of the training file, copies and the malformed line included; at least 1000.
        test_rows: lines of the test file, leaks included; at least a tenth of `rows`.
        random: the only source of chance.

    Raises:
        ValueError: there is no room for the flaws.
    """
    if rows < 1000 or test_rows * 10 < rows:
        raise ValueError(f"{rows} rows and {test_rows} test rows: at least 1000, and a tenth of that, are needed")
    count = {kind: rows * share // 1000 for kind, share in PER_MILLE.items()}
    train_rows = rows - sum(count[kind] for kind in ("exact_duplicates", "near_duplicates", "contradictions")) - 1
    tickets = draw_separate(train_rows + test_rows - count["exact_leaks"] - count["near_leaks"], random)
    sheet = _Sheet(tickets[:train_rows], tickets[train_rows:], random)

    exact = sheet.copies(count["exact_duplicates"], lambda ticket: ticket)
    near = sheet.copies(count["near_duplicates"], lambda ticket: near_copy(ticket, random))
    contradictions = sheet.copies(count["contradictions"], lambda ticket: contradict(ticket, random))
    exact_leaks = sheet.leaks(count["exact_leaks"], lambda ticket: ticket)
    near_leaks = sheet.leaks(count["near_leaks"], lambda ticket: near_copy(ticket, random))
    data = sheet.add_personal_data(count["personal_data"], random)

    line, test_line = _lines(rows, random), _lines(test_rows, random)
    planted = Planted(
        exact_duplicates=_pairs(exact, line, line),
        near_duplicates=_pairs(near, line, line),
        contradictions=_pairs(contradictions, line, line),
        personal_data=tuple(sorted((replace(item, line=line[item.line]) for item in data), key=lambda it: it.line)),
        exact_leaks=_pairs(exact_leaks, line, test_line),
        near_leaks=_pairs(near_leaks, line, test_line),
        malformed=line[rows - 1],
    )
    return FlawedRows(_in_lines([*sheet.train, None], line), _in_lines(sheet.test, test_line), planted)


def draw_separate(count: int, random: Random) -> list[Ticket]:
    """`count` tickets, no two of them with a similarity of `SEPARATION` or more."""
    index = SimilarityIndex()
    tickets: list[Ticket] = []
    while len(tickets) < count:
        ticket = draw_ticket(random)
        if not index.has_similar(ticket.message, SEPARATION):
            index.add(ticket.message)
            tickets.append(ticket)
    return tickets


def near_copy(ticket: Ticket, random: Random) -> Ticket:
    """The same request as a hasty person sends it again: a word more in front or behind, or two letters swapped.

    Its similarity to the original is at least `NEAR`, and below 1.
    """
    while True:
        message = random.choice(
            (
                f"{random.choice(('Again', 'Sorry', 'Please'))}: {ticket.message}",
                f"{ticket.message} {random.choice(('Regards', 'Bye', 'Hello?'))}",
                swap_letters(ticket.message, random),
            )
        )
        if NEAR <= jaccard(bigrams(message), bigrams(ticket.message)) < 1.0:
            return replace(ticket, message=message)


def contradict(ticket: Ticket, random: Random) -> Ticket:
    """The same message with another intent or another urgency."""
    if random.random() < 0.5:
        intent = random.choice([intent for intent in INTENTS if intent != ticket.record.intent])
        return replace(ticket, record=replace(ticket.record, intent=intent))
    urgency = random.choice([urgency for urgency in URGENCIES if urgency != ticket.record.urgency])
    return replace(ticket, record=replace(ticket.record, urgency=urgency))


def _lines(count: int, random: Random) -> list[int]:
    """A line number for each key, in random order."""
    lines = list(range(1, count + 1))
    random.shuffle(lines)
    return lines


def _pairs(pairs: list[Pair], first_line: list[int], second_line: list[int]) -> tuple[Pair, ...]:
    """Pairs of keys as pairs of lines, in the order of the first."""
    return tuple(sorted((Pair(first_line[p.first], second_line[p.second]) for p in pairs), key=lambda p: p.first))


def _in_lines(items: Sequence[_Item], line: list[int]) -> tuple[_Item, ...]:
    """`items` in the order of their lines."""
    return tuple(item for _, item in sorted(zip(line, items, strict=True), key=lambda entry: entry[0]))
