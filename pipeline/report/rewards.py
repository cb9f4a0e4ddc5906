"""What a training by rewards earned, and what its answers were like."""

from __future__ import annotations

from pipeline.core.numbers import percent
from pipeline.report.page import Plot, Table
from pipeline.report.plots import Series, line_plot
from pipeline.report.types import Report, Training
from schemas.rl import RolloutFigures


def reward_table(report: Report) -> Table:
    """Return what drawn answers earned and were like; of rewards and scores the mean of an answer."""
    told = [(item, item.rewards) for item in report.training if item.rewards is not None]
    metrics = tuple(dict.fromkeys(name for _, rewards in told for name in rewards.first.rewards))
    numeric = ("Reward", *metrics, "Tokens", "Cut", "Repeated", "Nats from base")
    rows = [
        (f"{item.name}, {when}", *_figures(figures, metrics))
        for item, rewards in told
        for when, figures in (("first steps", rewards.first), ("last steps", rewards.last))
    ]
    rows += [
        (f"{item.name}, greedy on validation", f"{rewards.validation:.3f}", *("" for _ in numeric[1:]))
        for item, rewards in told
        if rewards.validation is not None
    ]
    caption = "What drawn answers earned and were like, over the first and the last tenth of the logged steps"
    return Table(caption, ("Answers", *numeric), tuple(rows), frozenset(numeric))


def _figures(figures: RolloutFigures, metrics: tuple[str, ...]) -> tuple[str, ...]:
    scores = (f"{figures.rewards[name]:.3f}" if name in figures.rewards else "" for name in metrics)
    return (
        f"{figures.reward:.3f}",
        *scores,
        f"{figures.completion_length:.1f}",
        percent(figures.clipped),
        percent(figures.repetition),
        "not measured" if figures.kl is None else f"{figures.kl:.3f}",
    )


def reward_plot(shipped: Training) -> Plot | None:
    """Return how the reward of drawn and of greedy answers went; None where neither was logged."""
    earned = tuple((float(point.step), point.reward) for point in shipped.curve if point.reward is not None)
    greedy = tuple((float(point.step), -point.eval_loss) for point in shipped.curve if point.eval_loss is not None)
    named = (("drawn answers", earned, "tuned"), ("greedy answers to validation rows", greedy, "variant"))
    series = [Series(label, points, kind) for label, points, kind in named if points]
    if not series:
        return None
    spoken = "; ".join(
        f"{line.label} from {line.points[0][1]:.3f} at step {line.points[0][0]:,.0f} "
        f"to {line.points[-1][1]:.3f} at step {line.points[-1][0]:,.0f}"
        for line in series
    )
    alternative = f"Mean reward by step of {shipped.name}: {spoken}."
    return Plot(f"Reward by step, {shipped.name}", line_plot(series, "step", "mean reward", alternative), alternative)
