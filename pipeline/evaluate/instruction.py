"""The instruction of a baseline that was given none: a fair baseline knows the task and the labels."""

from __future__ import annotations

from collections.abc import Sequence

MOST_LABELS = 100
"""More labels than these are not listed: they would take more room than the question."""


def default_instruction(description: str, labels: Sequence[str] | None) -> str | None:
    """Return the run's description, completed with the declared labels; None where there is neither.

    >>> default_instruction("Name the intent.", ["refund", "login"])
    'Name the intent.\\nAnswer with one of: refund, login'
    """
    listed = f"Answer with one of: {', '.join(labels)}" if labels and len(labels) <= MOST_LABELS else ""
    return "\n".join(part for part in (description.strip(), listed) if part) or None
