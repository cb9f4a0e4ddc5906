"""`hone predict`: a registered version answers a file of questions."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from local_runner.asking import Asked
from pipeline.core.context import CallContext
from pipeline.core.errors import ConfigError
from pipeline.core.workspace import write_atomic
from pipeline.data.prompts import Prompt, read_prompts
from pipeline.evaluate.items import Item
from pipeline.evaluate.local_model import LocalModel
from pipeline.evaluate.prompts import Task
from pipeline.evaluate.respondents import ask_local


@dataclass(frozen=True)
class Prediction:
    """One answer. ``prompt`` is the question for people; ``finish_reason`` ``length``: the answer was cut."""

    row: int
    id: str | None
    prompt: str
    prediction: str
    finish_reason: str

    def line(self) -> str:
        """Return the answer as one line of JSON, with its line end; a row without an id has none here."""
        record = {name: value for name, value in self.__dict__.items() if value is not None}
        text = json.dumps(record, ensure_ascii=False)
        return text.encode("utf-8", "backslashreplace").decode() + "\n"


def predict(asked: Asked, source: str, context: CallContext) -> list[Prediction]:
    """Answer every row of a file, in its order.

    Raises:
        SourceError, ConfigError, DataError: the file cannot be read, or rows ask nothing.
        ModelError, RenderError, OutOfMemory: the model cannot be loaded or asked.
    """
    prompts = read_prompts(source, asked.data, asked.row_format, context)
    items = [_item(prompt) for prompt in prompts]
    model = LocalModel(asked.files, None, None)
    respondent = ask_local(model, items, Task(), asked.generation, context)
    with context.progress("predict", len(items)) as advance:
        completions = respondent.answer(0, len(items), context, advance)
    return [
        Prediction(prompt.row, prompt.id, item.text, completion.text, completion.finish_reason)
        for prompt, item, completion in zip(prompts, items, completions, strict=True)
    ]


def check_writable(out: Path) -> None:
    """Find out before the work that its result can be written.

    Raises:
        ConfigError: ``out`` is a folder, or its folder is not there.
    """
    if out.is_dir():
        raise ConfigError("this is a folder", where=f"--out {out}", fix="name a file: --out answers.jsonl")
    if not out.absolute().parent.is_dir():
        raise ConfigError("its folder does not exist", where=f"--out {out}", fix=f"make {out.absolute().parent} first")


def write_predictions(out: Path, predictions: Sequence[Prediction]) -> None:
    """Write JSON lines so that ``out`` holds either what it held before or all of them."""
    write_atomic(out, "".join(prediction.line() for prediction in predictions))


def _item(prompt: Prompt) -> Item:
    return Item(
        id=prompt.id or str(prompt.row),
        row=prompt.row,
        cluster=0,
        near_train=False,
        prompt=prompt.messages,
        tools=prompt.tools,
        reference="",
        label=None,
    )
