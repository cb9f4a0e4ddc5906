"""What to do next, by how the run ended: the commands for a version that passed, a remedy for each condition missed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pipeline.report.record import RunRecord
from pipeline.report.types import Registration, Statement

_HEADINGS = {
    "gain": "For a gain",
    "target": "For the target",
    "retention": "To keep what the base could do",
    "variant": "For the variants",
    "parity": "To show that it is served as it was trained",
}
_REMEDIES = {
    "gain": "give more or better examples, or a larger base model; or use the best baseline as it is",
    "target": "give more examples, a larger base model or more epochs, or set a target that the task allows",
    "retention": "replay rows of the base's own tasks (train.replay), train for fewer epochs, or give the reason why "
    "forgetting does not matter in evaluate.retention_waived",
    "variant": "leave the variant out, allow it to lose more (non_inferiority_margin), or give more test items",
    "parity": "run the serve stage with vLLM (hone env create serve-vllm, then the same run again)",
}


def next_steps(record: RunRecord, registration: Registration, failed: Sequence[Statement]) -> tuple[str, ...]:
    """Return what its owner can do now; failed are the conditions that refused the version."""
    if record.register is None:
        return ("Run the description again: what is finished is not done again.",)
    if failed:
        return tuple(_after_refusal(registration, failed))
    return tuple(_after_promotion(record.spec.name, registration))


def _after_promotion(name: str, registration: Registration) -> Iterator[str]:
    version = registration.version or name
    if registration.version is not None and "champion" not in registration.aliases:
        yield f"Make it the champion: hone promote {version}."
    yield f"Serve it: hone serve {version}."
    yield f"Take it to another machine: hone export {version} --to FOLDER."


def _after_refusal(registration: Registration, failed: Sequence[Statement]) -> Iterator[str]:
    kinds = dict.fromkeys(statement.name.partition(".")[0] for statement in failed)
    for kind in kinds:
        if kind in _REMEDIES:
            yield f"{_HEADINGS[kind]}: {_REMEDIES[kind]}."
    if registration.version is not None and not registration.overrides:
        yield (
            f"To use it all the same: hone promote {registration.version} --reason WHY; the reason stays on its card."
        )
