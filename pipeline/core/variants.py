"""What is said of a variant whose library is archived upstream: by the stage that makes it, on reports and cards."""

from __future__ import annotations

from schemas.optimize import SUCCESSORS, Variant

LIBRARIES = {"auto_gptq": "auto-gptq", "autoawq": "autoawq"}
"""Archived backends by the names of their packages."""

LOADERS = {"auto_gptq": "gptqmodel and optimum", "autoawq": "gptqmodel"}
"""What transformers 5 needs to load what they write."""


def archived_note(variant: Variant) -> str | None:
    """Return who made an archived backend's variant, its successor, and what loads it; None for other variants."""
    successor = SUCCESSORS.get(variant.backend)
    if successor is None:
        return None
    return (
        f"{variant.name} is made by {LIBRARIES[variant.backend]}, which is archived upstream and succeeded by "
        f"{successor}. vLLM loads it, and evaluates it here; transformers 5 needs {LOADERS[variant.backend]} for it."
    )
