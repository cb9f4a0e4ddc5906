"""The instruction of a baseline that was given none: a fair baseline knows the task and the labels."""

from __future__ import annotations

from collections.abc import Sequence

MOST_LABELS = 100
"""More labels than these are not listed: they would take more room than the question."""

_LIST = "Answer with one of: "


def default_instruction(description: str, labels: Sequence[str] | None) -> str | None:
    """Return the run's description, completed with the declared labels; None where there is neither.

    >>> default_instruction("Name the intent.", ["refund", "login"])
    'Name the intent.\\nAnswer with one of: refund, login'
    """
    listed = f"{_LIST}{', '.join(labels)}" if labels and len(labels) <= MOST_LABELS else ""
    return "\n".join(part for part in (description.strip(), listed) if part) or None


def without_labels(instruction: str | None) -> str | None:
    """Return a default instruction without its list of labels, for a context that has no room for it.

    >>> without_labels('Name the intent.\\nAnswer with one of: refund, login')
    'Name the intent.'
    """
    if instruction is None:
        return None
    lines = instruction.split("\n")
    return "\n".join(lines[:-1]) or None if lines[-1].startswith(_LIST) else instruction
