"""What the first page says in words: what was asked, ship or not and why, and what the numbers cannot show."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.core.numbers import percent
from pipeline.report import limits
from pipeline.report.conditions import WORDS, statements
from pipeline.report.configuration import asked_model, shown
from pipeline.report.progress import not_reached
from pipeline.report.record import RunRecord
from pipeline.report.scores import primary_metric
from pipeline.report.types import Answer, Fact, Registration, Statement
from pipeline.report.wording import clip, count
from schemas.adapters import ADAPTERS, OTHERS
from schemas.methods import METHODS

_ADAPTERS = {
    "lora": "a LoRA adapter",
    "qlora": "a QLoRA adapter (base in 4 bits)",
    "full": "all weights trained",
    **{line.kind: f"an adapter of kind {name}" for name, line in ADAPTERS.items() if line.kind in OTHERS},
}


_DESCRIPTION_LENGTH = 1000


def asked(record: RunRecord) -> tuple[Fact, ...]:
    """Return what the description asks for."""
    spec = record.spec
    described = clip(" ".join(spec.description.split()), _DESCRIPTION_LENGTH)
    facts = [Fact(name="Task", text=f"{described} ({spec.task})" if described else spec.task)]
    facts.append(Fact(name="Base model", text=asked_model(spec)))
    facts.append(Fact(name="Method", text=f"{METHODS[spec.train.method].title}, {_ADAPTERS[spec.train.adapter]}"))
    facts.append(Fact(name="Data", text=_data_text(record)))
    target = ", ".join(f"{metric} of at least {percent(value)}" for metric, value in spec.evaluate.target.items())
    facts.append(Fact(name="Target", text=target or "none was set"))
    limits = spec.constraints.model_dump(exclude_none=True)
    if limits:
        units = {"max_cost": "{:g} US dollars", "max_gpu_hours": "{:g} GPU hours", "max_hours": "{:g} hours"}
        text = ", ".join(units[name].format(value) for name, value in limits.items())
        facts.append(Fact(name="Budget", text=f"at most {text}"))
    return tuple(facts)


def _data_text(record: RunRecord) -> str:
    source = shown(record.spec.data.path)
    if record.data is None:
        return source
    data = record.data.artifact
    kept = ", ".join(f"{rows:,} {split}" for split, rows in data.rows.items())
    return f"{source}: {count(data.read, 'row')} read; {kept}"


def answer(record: RunRecord) -> Answer:
    """Return the verdict for people; a run without a decision has none."""
    if record.register is None:
        return "undecided"
    return "ship" if record.register.artifact.decision.verdict == "promoted" else "do not ship"


def condition_statements(record: RunRecord) -> tuple[Statement, ...]:
    """Return the conditions of the gate in plain words, what failed first; none before there is a decision."""
    if record.register is None:
        return ()
    return statements(record.register.artifact, record.file.retention_waived)


def reasons(record: RunRecord, registration: Registration) -> tuple[str, ...]:
    """Return why: what failed first, then what held; of an unfinished run, what stopped it."""
    if record.register is None:
        return tuple(_unfinished(record))
    overridden = [
        f"A person overrode the refusal ({note.time}) and gave this reason: {note.reason}"
        for note in registration.overrides
    ]
    found = condition_statements(record)
    return (*overridden, *(f"{WORDS[statement.outcome]}: {statement.text}." for statement in found))


def _unfinished(record: RunRecord) -> Iterator[str]:
    yield "The run has no decision yet."
    for call_id, call in record.calls.items():
        if call.error is not None:
            fix = f" What to do: {call.error.fix}." if call.error.fix else ""
            where = f"{call.error.where}: " if call.error.where else ""
            yield f"{call_id} failed: {where}{call.error.message}.{fix}"
        elif call.status == "failed":
            yield f"{call_id} failed."
    missing = not_reached(record)
    if missing:
        yield f"Not reached: {', '.join(missing)}."


def limitations(record: RunRecord) -> tuple[str, ...]:
    """Return what a reader must know before trusting the numbers, what bears on the score first."""
    tuned = record.evaluations.get(record.shipped)
    decided = record.register is not None
    found = [*limits.first_items_limits(record.spec.evaluate.max_items)]
    if record.data is not None:
        found += limits.split_limits(record.data.artifact)
    if tuned is not None:
        found += limits.answer_limits(tuned.artifact, primary_metric(record))
    found += limits.forgetting_limits(record.file.retention_waived, bool(record.retention) or not decided)
    found += limits.bias_limits(bool(record.bias) or not decided)
    found += limits.seed_limits(len(record.spec.train.seeds))
    if record.plan is not None:
        found += limits.power_limits(record.plan.artifact.power)
        found += limits.budget_limits(record.plan.artifact)
    model = record.models.get(record.shipped)
    if model is not None:
        found += limits.training_limits(model.artifact)
    if record.data is not None:
        found += limits.data_limits(record.data.artifact)
        found += limits.preflight_limits(record.data.artifact)
    found += limits.archived_limits(item.artifact.variant for item in record.variants.values())
    if decided or record.serve is not None:
        found += limits.serving_limits(record.serve.artifact if record.serve is not None else None)
    return tuple(found)
