"""Writes docs/methods.md from the table of training methods and their options: ``python docs/generate_methods.py``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from schemas.base import Schema
from schemas.methods import METHODS, Method
from schemas.rl import RewardGuards
from schemas.train import TrainOptions

TARGET = Path(__file__).parent / "methods.md"

_INTRODUCTION = """\
`train.method` names one; its options stand under its name, as TRL has them (`train.dpo.beta`). All of them train an
adapter or all weights, keep checkpoints from which a killed training goes on to the same bytes, and recover from a lack
of memory and from divergence. What compares answers trains without dropout, so that they differ by training alone.

A method that learns from preferences takes rows with a chosen and a rejected answer. `kto` takes each side as an answer
by itself, or rows that have one answer and the verdict on it (`data.format: unpaired`: prompt, completion, and a label
that is true or false). The reference is the base: the model without its adapter, or a copy where all weights are
trained.

`reward` leaves a model that scores answers: the base with one output, as a sequence classifier in safetensors, an
adapter merged into it. It gives no answers, so that it is not served as chat (`serve: false`). It is evaluated by how
often it scores the chosen answer of a test pair higher (`pairwise_accuracy`), beside the base, which prefers the answer
that it finds likelier.

## Teachers

A method that learns from a teacher names another model (`train.gkd.teacher`: a folder, a Hub id, `run:NAME` or
`NAME@champion`). `gkd` reads the rows with both models and brings the student's probabilities of the trained tokens to
the teacher's, which must have the same tokenizer. `seq_kd` asks the teacher the questions of the training rows first
and trains on its answers by `sft`; with `train.rewards` it draws several and keeps the best that earns
`seq_kd.least_reward`, so that a question to which no answer is good enough is left out and counted. Answers are kept as
they come, and stored with the model (`taught.jsonl`). Validation rows keep their own.

```yaml
train:
  method: seq_kd
  seq_kd: {teacher: "triage-large@champion", num_generations: 4, max_completion_length: 64}
  rewards: [json_exact_match]
```

## Rewards

A method that learns from rewards takes ordinary rows: it asks the prompt, draws answers of its own, and is rewarded for
them by comparing them with the row's answer, which the model never sees. `train.rewards` lists metrics as
`evaluate.metrics` does ([metrics](metrics.md)), each with a `weight`; a reward is the sum of weight times score:

```yaml
train:
  method: grpo
  rewards:
    - math_answer
    - {name: json_validity, weight: 0.2}
    - {name: reward_model, params: {model: "run:judge"}, weight: 0.5}
    - ./brevity.py:score
  grpo: {num_generations: 8, max_completion_length: 128}
```

`code_execution` runs what was written in its sandbox, against the tests that the row has for an answer. Metrics that
read a model of their own (`bert_score`) are no rewards. `reward_model` is a reward model: a folder, a Hub id, a run
(`run:NAME`) or a version (`NAME@champion`), asked in its own chat template; what it gives is its output, which is not
between 0 and 1. A batch counts answers: `per_device_train_batch_size` times
`gradient_accumulation_steps` of them make a step, a multiple of `num_generations`. Rows longer than `max_length` with
their own answer are left out; drawn answers have `max_completion_length` tokens at most. Validation asks for greedy
answers; `eval_loss` is minus their mean reward, so that early stopping keeps the best. All of them train in one
process. `ppo` has no groups: each prompt is answered once, and a head on the model says what to expect of it.

A reward can be gained in another way than was meant. The log and the train stage's record therefore have, beside the
reward by each metric, the mean length of answers, the share that was cut, the share of their 4-grams that repeat and
the distance from the base in nats per token, and a training warns once of each that passes its guard:

{guards}

What was drawn, and everything else, goes on after a kill to the same bytes."""


_HEADS = (
    "method",
    "what it is",
    "learns from",
    "compares with the base",
    "sequences of a row",
    "leaves",
    "served as chat",
    "shown to learn on a CPU in",
    "shown on a GPU in",
)


def methods_markdown() -> str:
    """Return the page: a table of all methods, then the options of each that has some."""
    rows = [f"| {' | '.join(_HEADS)} |", "|---" * len(_HEADS) + "|"]
    rows += [_row(name, method) for name, method in METHODS.items()]
    sections = [_options(name, method) for name, method in METHODS.items() if name in TrainOptions.model_fields]
    introduction = _INTRODUCTION.replace("{guards}", "\n".join(_defaults(RewardGuards, "train.guards.")))
    head = ["# Training methods", "Generated by `python docs/generate_methods.py` from the table.", introduction]
    return "\n\n".join([*head, "## The table", "\n".join(rows), *sections]) + "\n"


def _row(name: str, method: Method) -> str:
    linked = f"[`{name}`](#{name})" if name in TrainOptions.model_fields else f"`{name}`"
    reference = "yes" if method.reference else "no"
    cells = [
        linked,
        method.title,
        f"{' or '.join(method.kinds)} rows",
        reference,
        str(method.sequences),
        "a model that scores answers" if method.scores else "a model that answers",
        "no" if method.scores else "yes",
        f"`{method.learns}`",
        "not yet" if method.gpu is None else f"[{method.gpu}]({method.gpu})",
    ]
    return f"| {' | '.join(cells)} |"


def _options(name: str, method: Method) -> str:
    options: Any = TrainOptions.model_fields[name].annotation
    assert issubclass(options, Schema)
    rows = _defaults(options)
    text = " ".join((options.__doc__ or "").split()).replace("``", "`")
    return f"## {name}\n\n{method.title[:1].upper()}{method.title[1:]} ({method.source}). {text}\n\n" + "\n".join(rows)


def _defaults(options: type[Schema], prefix: str = "") -> list[str]:
    """Return a table of options and what they are where nothing is said."""
    rows = ["| option | by default |", "|---|---|"]
    return rows + [f"| `{prefix}{key}` | {_shown(field.default)} |" for key, field in options.model_fields.items()]


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        return ", ".join(f"`{item}`" for item in value)
    return "none" if value is None else f"`{str(value).lower() if isinstance(value, bool) else value}`"


if __name__ == "__main__":
    TARGET.write_text(methods_markdown(), encoding="utf-8")
