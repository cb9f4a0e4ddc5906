"""How the model was made: data, training, serving parity, cost, lineage, environments, configuration."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.core.findings import place_of, standing, without_place
from pipeline.core.numbers import percent
from pipeline.report.page import Block, Example, Paragraph, Plot, Section, Table, filled
from pipeline.report.plots import Series, line_plot
from pipeline.report.rewards import reward_plot, reward_table
from pipeline.report.types import PlannedMeasured, Report, StageCost, Training
from pipeline.report.wording import clip, count, seconds, size

DIGEST_SHOWN = 12
_CHOOSERS = {"spec": "description", "plan": "plan", "default": "hone's default"}
_EXAMPLE_ROWS = 8
_PLANNED = ("Planned", "Measured", "Ratio")


def provenance(report: Report) -> Iterator[Section]:
    """Yield the sections that have something to show."""
    yield from filled(
        (
            ("data", "Data", _data(report)),
            ("training", "Training", _training(report)),
            ("parity", "Serving parity", _parity(report)),
            ("costs", "Cost by stage", _costs(report)),
            ("lineage", "Lineage", _lineage(report)),
            ("environment", "Environments and versions", _environments(report)),
            ("configuration", "Configuration", _configuration(report)),
        )
    )


def _data(report: Report) -> Iterator[Block]:
    data = report.data
    if data is None:
        return
    kept = ", ".join(f"{rows:,} {split}" for split, rows in data.rows.items())
    yield Paragraph(
        f"{count(data.read, 'row')} read, {sum(data.rows.values()):,} kept ({kept}) in {data.clusters:,} clusters of "
        f"related rows. Test rows that nearly repeat a training row: {data.near_train_test_rows:,}. "
        f"Source digest {data.source_digest[:DIGEST_SHOWN]}."
    )
    if data.dropped:
        yield Table(
            "Removed rows by reason",
            ("Reason", "Rows", "Of all read", "First source rows"),
            tuple(
                (
                    item.reason,
                    f"{item.count:,}",
                    percent(item.count / data.read) if data.read else "",
                    ", ".join(f"{row:,}" for row in item.examples[:_EXAMPLE_ROWS]),
                )
                for item in data.dropped
            ),
            frozenset({"Rows", "Of all read"}),
        )
    if data.findings:
        yield Table(
            "What the preflight found before anything was trained",
            ("Class", "Standing", "Where", "What, and what became of it"),
            tuple((one.code, standing(one), place_of(one), without_place(one)) for one in data.findings),
        )
    for caption, kind, counts in (
        ("Personal data found, by kind", "Kind", data.personal_data),
        ("Leaks found", "Split", data.leaked),
    ):
        if counts:
            rows = tuple((name.replace("_", " "), f"{number:,}") for name, number in counts.items())
            yield Table(caption, (kind, "Count"), rows, frozenset({"Count"}))


def _training(report: Report) -> Iterator[Block]:
    if not report.training:
        return
    numeric = ("Rows", "Replayed", "Trained tokens", "Steps", "Epochs", "Trained weights", "Loss", "Validation loss")
    rewarded = any(item.rewards is not None for item in report.training)
    nats = "Losses are mean negative log-likelihood per trained token, in nats"
    yield Table(
        "Losses are the method's own; what it learns from are rewards" if rewarded else nats,
        ("Model", *numeric),
        tuple(_training_row(item) for item in report.training),
        frozenset(numeric),
    )
    repairs = tuple(
        (item.name, f"{repair.step:,}", repair.kind.replace("_", " "), repair.action)
        for item in report.training
        for repair in item.recoveries
    )
    if repairs:
        yield Table("Repairs during training", ("Model", "Step", "Kind", "What was done"), repairs, frozenset({"Step"}))
    if rewarded:
        yield reward_table(report)
    plot = _loss_plot(report)
    if plot is not None:
        yield plot


def _training_row(item: Training) -> tuple[str, ...]:
    best = f" (best at step {item.best_step:,})" if item.best_step is not None else ""
    return (
        f"{item.name}{' (shipped)' if item.shipped else ''}",
        f"{item.rows:,}",
        f"{sum(item.replay_rows.values()):,}",
        f"{item.trained_tokens:,} of {item.tokens:,}",
        f"{item.steps:,}{' (stopped early)' if item.stopped_early else ''}",
        f"{item.epochs:g}",
        f"{item.trainable_parameters:,} of {item.parameters:,}",
        f"{item.train_loss:.4f}",
        f"{item.eval_loss:.4f}{best}" if item.eval_loss is not None and item.rewards is None else "not measured",
    )


def _loss_plot(report: Report) -> Plot | None:
    shipped = next((item for item in report.training if item.shipped), report.training[0])
    if shipped.rewards is not None:
        return reward_plot(shipped)
    trained = tuple((float(point.step), point.loss) for point in shipped.curve if point.loss is not None)
    validated = tuple((float(point.step), point.eval_loss) for point in shipped.curve if point.eval_loss is not None)
    named = (("training loss", trained, "tuned"), ("validation loss", validated, "variant"))
    series = [Series(label, points, kind) for label, points, kind in named if points]
    if not series:
        return None
    spoken = "; ".join(_spoken(line) for line in series)
    alternative = f"Loss by step of {shipped.name}: {spoken}."
    return Plot(f"Loss by step, {shipped.name}", line_plot(series, "step", "loss in nats", alternative), alternative)


def _spoken(line: Series) -> str:
    (first_step, first), (last_step, last) = line.points[0], line.points[-1]
    lowest = min(value for _, value in line.points)
    return (
        f"{line.label} from {first:.3f} at step {first_step:,.0f} to {last:.3f} at step {last_step:,.0f}, "
        f"lowest {lowest:.3f}"
    )


def _parity(report: Report) -> Iterator[Block]:
    parity = report.parity
    if parity is None:
        return
    prompts = (
        f"{parity.prompt_mismatches:,} of {count(parity.prompts, 'prompt')} got token ids other than in training"
        if parity.prompt_mismatches is not None
        else "The engine returns no prompt token ids, so equality with the training render was not measured"
    )
    yield Paragraph(
        f"{parity.engine} {parity.engine_version}, ready after {seconds(parity.ready_seconds)}. {prompts}. "
        f"{parity.answer_mismatches:,} of {parity.prompts:,} greedy answers differ from the evaluation's."
    )
    yield Example(
        "A served answer", (("Prompt", clip(parity.smoke_prompt, 480)), ("Answer", clip(parity.smoke_answer, 480)))
    )


def _costs(report: Report) -> Iterator[Block]:
    if report.costs:
        numeric = ("Calls", "CPU time", "Elapsed", "Peak memory")
        yield Table(
            "On the machine that ran it; an artifact that two calls share is counted once",
            ("Stage", *numeric),
            tuple(_cost_row(cost) for cost in report.costs),
            frozenset(numeric),
        )
    if report.planned:
        yield Table(
            "Planned and measured; measured memory is the whole process with its libraries",
            ("Quantity", *_PLANNED),
            tuple(_planned_row(row) for row in report.planned),
            frozenset(_PLANNED),
        )


def _cost_row(cost: StageCost) -> tuple[str, ...]:
    return (
        cost.stage,
        f"{cost.calls}" + (f" ({cost.reused} reused)" if cost.reused else ""),
        seconds(cost.cpu_seconds),
        seconds(cost.wall_seconds),
        size(cost.peak_memory_bytes),
    )


def _planned_row(row: PlannedMeasured) -> tuple[str, ...]:
    def written(value: float) -> str:
        return size(value) if row.unit == "bytes" else seconds(value) if row.unit == "seconds" else f"{value:,.0f}"

    if row.measured is None:
        return row.quantity, written(row.planned), "not measured", ""
    ratio = f"{row.measured / row.planned:.2f}" if row.planned else ""
    return row.quantity, written(row.planned), written(row.measured), ratio


def _lineage(report: Report) -> Iterator[Block]:
    if not report.calls:
        return
    version = report.registration.version
    aliases = f" ({', '.join(report.registration.aliases)})" if report.registration.aliases else ""
    named = f"Version {version}{aliases}. " if version is not None else ""
    yield Paragraph(
        f"{named}Run {report.run}, started {report.created_at}, description {report.spec_digest[:DIGEST_SHOWN]}. The "
        f"first {DIGEST_SHOWN} digits of each digest are shown; report.json has them whole."
    )
    yield Table(
        "Every call and what it left",
        ("Call", "Status", "Artifact", "Content digest", "CPU time"),
        tuple(
            (
                call.id,
                call.status,
                str(call.ref) if call.ref is not None else "",
                call.content_digest[:DIGEST_SHOWN] if call.content_digest is not None else "",
                seconds(call.cost.cpu_seconds) if call.cost is not None else "",
            )
            for call in report.calls
        ),
        frozenset({"CPU time"}),
    )


def _environments(report: Report) -> Iterator[Block]:
    used: dict[tuple[str, str, str], list[str]] = {}
    for call in report.calls:
        if call.environment is not None and call.environment_digest is not None:
            key = (call.environment, call.environment_digest[:DIGEST_SHOWN], call.code_version or "")
            used.setdefault(key, []).append(f"{call.stage} (version {call.stage_version})")
    if used:
        yield Table(
            "Each environment is one fully pinned file; its digest is that of the package lines",
            ("Environment", "Digest", "hone", "Stages"),
            tuple((*key, ", ".join(dict.fromkeys(stages))) for key, stages in used.items()),
        )


def _configuration(report: Report) -> Iterator[Block]:
    chosen = [row for row in report.configuration if row.chosen_by != "default"]
    defaults = [row for row in report.configuration if row.chosen_by == "default"]
    if chosen:
        yield Table(
            "What the description says and what the plan chose",
            ("Key", "Value", "Chosen by", "Reason"),
            tuple((row.key, clip(row.value, 400), _CHOOSERS[row.chosen_by], row.reason) for row in chosen),
        )
    if defaults:
        yield Table(
            "Left at hone's defaults",
            ("Key", "Value"),
            tuple((row.key, clip(row.value, 400)) for row in defaults),
            folded=True,
        )
