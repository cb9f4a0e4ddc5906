"""Which of the offered answers was given: the letter, the answer's own words, or both; nothing else is read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

LETTERS = "abc"

_PREFIXES = ("", "answer: ", "answer is ", "the answer is ", "the answer is: ")


def offered(options: Sequence[str]) -> str:
    """Return the options as a prompt lists them, one a line: ``(a) The grandfather``."""
    return "\n".join(f"({letter}) {option}" for letter, option in zip(LETTERS, options, strict=True))


def read_choice(answer: str, options: Sequence[str]) -> int | None:
    """Return the place of the option that ``answer`` names, None where it names none, or more than one.

    The whole answer must be a letter (``b``, ``B.``, ``b)``, ``(b)``), an option's text, or a letter with the text that
    belongs to it, perhaps behind "The answer is". Case, spaces and a full stop at the end mean nothing.

    >>> read_choice("(B) The grandson", ["The grandfather", "The grandson", "Unknown"])
    1
    >>> read_choice("a or b", ["The grandfather", "The grandson", "Unknown"]) is None
    True
    """
    said = _plain(answer)
    found = {
        place
        for place, option in enumerate(options)
        for form in _forms(LETTERS[place], _plain(option))
        for prefix in _PREFIXES
        if said == prefix + form
    }
    return found.pop() if len(found) == 1 else None


def _forms(letter: str, text: str) -> Iterator[str]:
    yield text
    for marked in (letter, f"({letter})", f"{letter})", f"{letter}.", f"{letter}:"):
        yield marked
        yield f"{marked} {text}"


def _plain(text: str) -> str:
    return " ".join(text.casefold().replace("\N{RIGHT SINGLE QUOTATION MARK}", "'").split()).removesuffix(".")
