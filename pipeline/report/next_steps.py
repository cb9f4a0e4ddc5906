"""What to do next, by how the run ended: the commands for a version that passed, a remedy for each condition missed."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.report.conditions import outcome
from pipeline.report.record import RunRecord
from pipeline.report.types import Registration
from schemas.register import Condition

_GAIN = "For a gain: give more or better examples, or a larger base model; or use the best baseline as it is."
_TARGET = (
    "For the target: give more examples, a larger base model or more epochs, or set a target that the task allows."
)
_FORGOTTEN = (
    "To keep what the base could do: replay rows of the base's own tasks (train.retention), train for fewer epochs, or "
    "give the reason why forgetting does not matter in evaluate.retention_waived."
)
_UNMEASURED = (
    "To show what the base still can do: name its own task in evaluate.retention, or give the reason why forgetting "
    "does not matter in evaluate.retention_waived."
)
_VARIANT = (
    "For the variants: leave the variant out, allow it to lose more (non_inferiority_margin), or give more test items."
)
_UNSERVED = (
    "To show that it is served as it was trained: run the serve stage with vLLM (hone env create serve-vllm, then the "
    "same run again)."
)
_PROMPTS = (
    "To serve it as it was trained: compare the prompts in the serve artifact's parity.jsonl; another chat template or "
    "tokenizer is in use."
)
_ANSWERS = (
    "To serve it as it was evaluated: look at the answers in the serve artifact's parity.jsonl; serve in a more "
    "precise dtype (serve.options.dtype), or let more answers differ (serve.parity.max_answer_mismatches)."
)


def next_steps(record: RunRecord, registration: Registration) -> tuple[str, ...]:
    """Return what its owner can do now."""
    if record.register is None:
        return ("Run the description again: what is finished is not done again.",)
    decision = record.register.artifact.decision
    failed = [condition for condition in decision.all_conditions if outcome(condition) == "not met"]
    if failed:
        remedies = dict.fromkeys(step for condition in failed if (step := _remedy(condition)) is not None)
        return (*remedies, *_override(registration))
    return tuple(_after_promotion(record.spec.name, registration))


def _remedy(condition: Condition) -> str | None:
    """Return what helps against a condition that was not met; None where its own text says all there is to do."""
    match condition.name.split("."):
        case ["gain", *_]:
            return _GAIN
        case ["target", *_]:
            return _TARGET
        case ["retention"]:
            return _UNMEASURED
        case ["retention", *_]:
            return _FORGOTTEN
        case ["variant", *_]:
            return _VARIANT
        case ["parity", *_] if condition.estimate is None:
            return _UNSERVED
        case ["parity", "prompts"]:
            return _PROMPTS
        case ["parity", "answers"]:
            return _ANSWERS
        case _:
            return None


def _after_promotion(name: str, registration: Registration) -> Iterator[str]:
    version = registration.version or name
    if registration.version is not None and "champion" not in registration.aliases:
        yield f"Make it the champion: hone promote {version}."
    yield f"Serve it: hone serve {version}."
    yield f"Take it to another machine: hone export {version} --to FOLDER."


def _override(registration: Registration) -> Iterator[str]:
    if registration.version is not None and not registration.overrides:
        yield (
            f"To use it all the same: hone promote {registration.version} --reason WHY; the reason stays on its card."
        )
