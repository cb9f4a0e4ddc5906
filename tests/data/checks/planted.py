"""Planted cases: clean data sets of twelve shapes, and for each class of faults one that is planted into such a set.

A case is made from a seed: which row is hit changes with it.
"""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from schemas.base import Reference
from schemas.faults import FaultCode
from schemas.preflight import PreflightConfig
from schemas.render import RenderConfig, RenderOptions
from tests.data.support import Outcome, run_stage, sentence, write_rows
from tests.render import templates
from tests.support.tiny_model import tiny_tokenizer

ROWS = 60
WHOLE = {"validation": 0.0, "test": 0.0}
Row = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """Rows and settings; ``hit`` are the row numbers (of the source file) that the finding must name, if any.

    ``benchmark`` are rows of a file of benchmark items, ``trained`` those that the base was trained on as a version;
    ``tokenizer`` names one of `write_tokenizers`.
    """

    rows: list[Row]
    test: list[Row] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    render: Mapping[str, Any] = field(default_factory=dict)
    preflight: Mapping[str, Any] = field(default_factory=dict)
    benchmark: list[Row] | None = None
    trained: list[Row] | None = None
    tokenizer: str = "plain"
    max_length: int = 512
    hit: tuple[int, ...] = ()


def run_case(case: Case, folder: Path, tokenizers: Mapping[str, Reference]) -> Outcome:
    """Carry out the data stage on a case."""
    benchmarks = ()
    if case.benchmark is not None:
        benchmarks = (Reference(location=str(write_rows(folder / "items.jsonl", case.benchmark))),)
    render = RenderConfig(
        tokenizer=tokenizers[case.tokenizer],
        options=RenderOptions.model_validate(case.render),
        max_length=case.max_length,
    )
    config = PreflightConfig.model_validate({**case.preflight, "benchmarks": benchmarks})
    trained = {"version": run_stage(folder / "before", case.trained, split=WHOLE)} if case.trained is not None else None
    return run_stage(
        folder, case.rows, test=case.test, render=render, preflight=config, trained=trained, **case.options
    )


def write_tokenizers(folder: Path) -> dict[str, Reference]:
    """Write the tokenizers that cases name: as it should be, and each wrong in one way."""
    from tokenizers.processors import TemplateProcessing

    made: dict[str, Any] = {"plain": tiny_tokenizer(), "small": tiny_tokenizer()}
    begins = copy.deepcopy(tiny_tokenizer())
    begins.add_special_tokens({"bos_token": "<|bos|>"})  # type: ignore[attr-defined]
    begins.backend_tokenizer.post_processor = TemplateProcessing(  # type: ignore[attr-defined]
        single="<|bos|> $A", special_tokens=[("<|bos|>", begins.bos_token_id)]
    )
    made["begins"] = begins
    made["pads"] = copy.deepcopy(tiny_tokenizer())
    made["pads"].pad_token = made["pads"].eos_token
    for name, tokenizer in made.items():
        tokenizer.save_pretrained(str(folder / name))
    (folder / "small" / "config.json").write_text(json.dumps({"model_type": "llama", "vocab_size": 100}))
    (folder / "plain" / "config.json").write_text(json.dumps({"model_type": "llama", "vocab_size": 384}))
    return {name: Reference(location=str(folder / name)) for name in made}


def asks(count: int = ROWS, start: int = 0, words: int = 10) -> list[Row]:
    return [
        {"prompt": sentence(index, words), "completion": f"reply {index} {sentence(index + 3, 1 + index % 3)}"}
        for index in range(start, start + count)
    ]


def labeled(count: int = ROWS, start: int = 0) -> list[Row]:
    return [
        {"text": sentence(index, 8), "label": ("late", "lost", "paid")[index % 3]}
        for index in range(start, start + count)
    ]


def turn(role: str, content: str, **more: Any) -> Row:
    return {"role": role, "content": content, **more}


def chats(turns: int = 2, **more: Any) -> list[Row]:
    """Return conversations of ``turns`` questions; ``more`` are keys of every assistant turn."""
    return [
        {
            "messages": [
                one
                for step in range(turns)
                for one in (
                    turn("user", sentence(index * turns + step, 7)),
                    turn("assistant", f"reply {index} {step}", **more),
                )
            ]
        }
        for index in range(ROWS)
    ]


def pairs() -> list[Row]:
    return [
        {
            "prompt": sentence(index, 9),
            "chosen": sentence(index + 1, 2 + index % 2),
            "rejected": sentence(index + 2, 3 - index % 2),
        }
        for index in range(ROWS)
    ]


TOOL = {"type": "function", "function": {"name": "find", "parameters": {"type": "object", "properties": {}}}}


def with_tools() -> list[Row]:
    call = {"type": "function", "function": {"name": "find", "arguments": "{}"}}
    return [
        {
            "messages": [
                turn("user", sentence(index, 7)),
                {"role": "assistant", "content": None, "tool_calls": [call]},
                turn("tool", f"found {index}"),
                turn("assistant", f"reply {index}"),
            ],
            "tools": [TOOL],
        }
        for index in range(ROWS)
    ]


def foreign(index: int) -> str:
    """Return a sentence of seven words in Cyrillic letters, unlike others."""
    letters = "бвгджзклмнпрст"
    words = (letters[(index * 5 + step * 3) % 14] + "о" + letters[(index + step) % 14] + "а" for step in range(7))
    return " ".join(f"{word}{index}" for word in words)


EVERY_TURN = {"completion_only_loss": False, "assistant_only_loss": True}

CLEAN: dict[str, Case] = {
    "questions": Case(asks()),
    "labels": Case(labeled()),
    "declared labels": Case(labeled(), options={"labels": ["late", "lost", "paid"]}),
    "every turn": Case(chats(), render=EVERY_TURN),
    "weights": Case(chats(weight=1), render=EVERY_TURN),
    "system": Case(asks(), options={"system": "Answer in one line."}),
    "tools": Case(with_tools(), render=EVERY_TURN),
    "reasoning": Case(chats(1, reasoning_content="first this, then that")),
    "preferences": Case(pairs()),
    "texts": Case([{"text": sentence(index, 20)} for index in range(ROWS)]),
    "languages": Case(
        [*asks(30), *({"prompt": foreign(index), "completion": foreign(index + 100)} for index in range(30))],
        preflight={"languages": ["en", "ru"]},
    ),
    "a test file, benchmarks": Case(
        asks(words=14),
        test=asks(20, start=200, words=14),
        options={"split": {"validation": 0.0}},
        benchmark=[{"question": sentence(index, 12)} for index in range(300, 320)],
        trained=[*asks(20, start=100, words=14), *asks(10, words=14)],
    ),
    "lengths": Case(asks(), render={"long_rows": "truncate"}, max_length=200),
}
"""Data sets without a fault."""


def _spoiled(case: Case, seed: int, change: Callable[[Row], object], **more: Any) -> Case:
    """Return the case with ``change`` made to a row that the seed chooses."""
    rows = copy.deepcopy(case.rows)
    at = random.Random(seed).randrange(len(rows))
    change(rows[at])
    return Case(**{**vars(case), "rows": rows, "hit": (at + 1,), **more})


def _added(case: Case, seed: int, make: Callable[[Row], Row], **more: Any) -> Case:
    """Return the case with a row at its end that is made of one that the seed chooses."""
    source = case.rows[random.Random(seed).randrange(len(case.rows))]
    rows = [*case.rows, make(copy.deepcopy(source))]
    return Case(**{**vars(case), "rows": rows, "hit": (len(rows),), **more})


def _with(case: Case, **more: Any) -> Case:
    return Case(**{**vars(case), **more})


def _template(case: Case, template: str, **options: Any) -> Case:
    return _with(case, render={"chat_template": template, **options})


QUESTIONS, LABELS, CHATS, PAIRS = CLEAN["questions"], CLEAN["labels"], CLEAN["every turn"], CLEAN["preferences"]
FILES = CLEAN["a test file, benchmarks"]

NO_SYSTEM = templates.PLAIN_CHATML.replace("{% for m in messages %}", "{% for m in messages if m.role != 'system' %}")
NO_FIRST = templates.PLAIN_CHATML.replace("{% for m in messages %}", "{% for m in messages[1:] %}")
LLAMA = (
    "{% for m in messages %}<|start_header_id|>{{ m['role'] }}<|end_header_id|>\n{{ m['content'] }}<|eot_id|>"
    "{% endfor %}{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n{% endif %}"
)
SPACED = templates.NO_END.replace("\n{% endfor", "<|im_end|>\n{% endfor")


def _shared_group(seed: int) -> Case:
    """Every row has a group of its own, but for one row of the test file that is of a training row's group."""
    assert FILES.test is not None
    at = random.Random(seed).randrange(len(FILES.test))
    rows = [{**row, "doc": f"d{index}"} for index, row in enumerate(FILES.rows)]
    test = [{**row, "doc": f"t{index}"} for index, row in enumerate(FILES.test)]
    test[at]["doc"] = "d7"
    options = {**FILES.options, "columns": {"group": "doc"}, "split": {"by": "group", "validation": 0.0}}
    return _with(FILES, rows=rows, test=test, options=options, hit=(at + 1,))


def _near(row: Row) -> Row:
    return {**row, "prompt": row["prompt"] + " indeed"}


def _copied_to_test(seed: int, **more: Any) -> Case:
    """A test row that asks what a training row asks."""
    at = random.Random(seed).randrange(ROWS)
    assert FILES.test is not None
    test = [*FILES.test, {"prompt": FILES.rows[at]["prompt"], "completion": "another"}]
    return _with(FILES, test=test, **more)


def _trained_elsewhere(seed: int) -> Case:
    assert FILES.test is not None and FILES.trained is not None
    at = random.Random(seed).randrange(len(FILES.test))
    return _with(FILES, trained=[*FILES.trained, _near(FILES.test[at])], hit=(at + 1,))


def _quoted(seed: int) -> Case:
    assert FILES.test is not None
    at = random.Random(seed).randrange(len(FILES.test))
    test = copy.deepcopy(FILES.test)
    test[at]["prompt"] = sentence(400, 14)
    long = {"prompt": f"{sentence(500, 20)} {sentence(400, 14)} {sentence(501, 20)}", "completion": "summary"}
    return _with(FILES, rows=[*FILES.rows, long], test=test, hit=(at + 1,))


def _benchmark(seed: int, where: str) -> Case:
    assert FILES.test is not None and FILES.benchmark is not None
    rows = FILES.rows if where == "rows" else FILES.test
    at = random.Random(seed).randrange(len(rows))
    item = {"question": f"{rows[at]['prompt']} exactly", "answer": "1"}
    return _with(FILES, benchmark=[*FILES.benchmark, item], hit=(at + 1,))


def _set(key: str, value: Any) -> Callable[[Row], None]:
    return lambda row: row.update({key: value})


def _set_turn(place: int, key: str, value: Any) -> Callable[[Row], None]:
    return lambda row: row["messages"][place].update({key: value})


def _silence_all(row: Row) -> None:
    for one in row["messages"]:
        if one["role"] == "assistant":
            one["weight"] = 0


def _weights(*values: float) -> Callable[[Row], None]:
    def change(row: Row) -> None:
        answers = (one for one in row["messages"] if one["role"] == "assistant")
        for one, value in zip(answers, values, strict=True):
            one["weight"] = value

    return change


def _verdicts(bad: int, **more: Any) -> Case:
    rows = [{**row, "label": index >= bad} for index, row in enumerate(asks())]
    return Case(rows, **more)


def _with_address(rows: list[Row]) -> list[Row]:
    """Give three rows of sixty an answer with an address."""
    return [
        {**row, "completion": f"write to office{index}@example.com"} if index < 3 else row
        for index, row in enumerate(rows)
    ]


def _rare(seed: int) -> Case:
    """Two rows of a label, both trained."""
    rare = [{"text": sentence(600 + seed + number, 8), "label": "rare"} for number in range(2)]
    return _with(LABELS, rows=[*LABELS.rows, *rare], test=labeled(12, start=700), hit=(ROWS + 1, ROWS + 2))


PLANTED: dict[FaultCode, Callable[[int], Case]] = {
    "no_row_left": lambda _: _with(QUESTIONS, max_length=4),
    "unrenderable_row": lambda seed: _added(
        _template(Case(chats(1)), templates.ONE_QUESTION),
        seed,
        lambda row: {"messages": [*row["messages"], turn("user", "more"), turn("assistant", "no")]},
    ),
    "generation_markers_missing": lambda _: _template(CHATS, templates.LAST_TURN, **EVERY_TURN),
    "no_trained_token": lambda seed: _spoiled(CHATS, seed, _silence_all),
    "last_turn_silent": lambda seed: _spoiled(CHATS, seed, _weights(1, 0), render={}),
    "no_trained_token_after_truncation": lambda seed: _spoiled(
        CLEAN["lengths"], seed, _set("prompt", sentence(900, 26) + sentence(901, 26)), max_length=150
    ),
    "wrong_turns_trained": lambda _: _template(CHATS, templates.EVERYTHING_MARKED, **EVERY_TURN),
    "weights_ignored": lambda seed: _spoiled(CHATS, seed, _weights(1, 1), render={}),
    "earlier_turns_untrained": lambda _: _with(CHATS, render={}),
    "end_of_turn_untrained": lambda _: _template(QUESTIONS, templates.NO_END),
    "end_of_turn_twice": lambda seed: _spoiled(QUESTIONS, seed, _set("completion", "yes<|im_end|>")),
    "bos_doubled": lambda _: _with(
        _template(QUESTIONS, "{{ bos_token }}{{ bos_token }}" + templates.PLAIN_CHATML), tokenizer="begins"
    ),
    "bos_missing": lambda _: _with(QUESTIONS, tokenizer="begins"),
    "joined_prompt": lambda seed: _spoiled(
        _template(QUESTIONS, SPACED), seed, _set("completion", "refund of the order")
    ),
    "system_dropped": lambda _: _with(_template(QUESTIONS, NO_SYSTEM), options={"system": "Be short."}),
    "tools_dropped": lambda _: _template(
        CLEAN["tools"], templates.PLAIN_CHATML.replace("m['content']", "m['content'] or ''"), **EVERY_TURN
    ),
    "reasoning_dropped": lambda _: _template(CLEAN["reasoning"], templates.PLAIN_CHATML),
    "turn_dropped": lambda _: _template(QUESTIONS, NO_FIRST),
    "special_token_in_text": lambda seed: _spoiled(QUESTIONS, seed, _set("prompt", "what is <|im_start|> for")),
    "rows_too_long": lambda seed: _spoiled(
        QUESTIONS, seed, _set("completion", sentence(900, 26) + sentence(901, 26)), max_length=200
    ),
    "most_rows_too_long": lambda seed: _with(
        QUESTIONS,
        rows=[{**row, "completion": sentence(900 + place, 30)} for place, row in enumerate(asks(31 + seed))]
        + asks(29 - seed, start=31 + seed),
        options={"split": {"test": 0.0, "validation": 0.0}},
        max_length=120,
        hit=tuple(range(1, 11)),
    ),
    "template_of_another_model": lambda _: _template(QUESTIONS, LLAMA),
    "pad_is_end_of_turn": lambda _: _with(QUESTIONS, tokenizer="pads"),
    "vocabulary_too_small": lambda _: _with(QUESTIONS, tokenizer="small"),
    "unusable_row": lambda seed: _spoiled(QUESTIONS, seed, _set("prompt", None)),
    "empty_answer": lambda seed: _spoiled(QUESTIONS, seed, _set("completion", " ")),
    "answer_repeats_prompt": lambda seed: _spoiled(QUESTIONS, seed, lambda row: row.update(completion=row["prompt"])),
    "contradiction": lambda seed: _added(QUESTIONS, seed, lambda row: {**row, "completion": "no"}, hit=()),
    "exact_duplicate": lambda seed: _added(QUESTIONS, seed, lambda row: row),
    "near_duplicate": lambda seed: _added(QUESTIONS, seed, _near),
    "disagreeing_near_duplicates": lambda seed: _added(
        QUESTIONS, seed, lambda row: {**_near(row), "completion": "not at all"}, hit=()
    ),
    "personal_data": lambda seed: _spoiled(QUESTIONS, seed, _set("prompt", "write to anna.nowak@example.com today")),
    "personal_data_in_answers": lambda _: _with(QUESTIONS, rows=_with_address(asks()), hit=(1, 2, 3)),
    "undeclared_language": lambda seed: _spoiled(
        QUESTIONS, seed, _set("prompt", foreign(3)), preflight={"languages": ["en"]}
    ),
    "few_rows": lambda _: _with(QUESTIONS, rows=asks(20)),
    "training_asks_test": lambda seed: _copied_to_test(seed, hit=(random.Random(seed).randrange(ROWS) + 1,)),
    "test_copies_training": lambda seed: _copied_to_test(
        seed, options={"decontaminate": "report", "split": {"validation": 0.0}}, hit=(21,)
    ),
    "test_near_training": lambda seed: _with(FILES, test=[*(FILES.test or []), _near(FILES.rows[seed])], hit=(21,)),
    "test_trained_elsewhere": _trained_elsewhere,
    "test_group_in_training": _shared_group,
    "test_in_training_text": _quoted,
    "benchmark_in_training": lambda seed: _benchmark(seed, "rows"),
    "benchmark_in_test": lambda seed: _benchmark(seed, "test"),
    "test_too_small": lambda seed: _with(QUESTIONS, preflight={"rows_for_gain": 100 + seed}),
    "undeclared_label": lambda seed: _spoiled(CLEAN["declared labels"], seed, _set("label", "lates")),
    "few_rows_of_label": _rare,
    "label_never_trained": lambda seed: _with(
        LABELS, test=[*labeled(12, start=700), {"text": sentence(720 + seed, 8), "label": "new"}], hit=(13,)
    ),
    "one_answer": lambda _: _with(QUESTIONS, rows=[{**row, "completion": "yes"} for row in asks()]),
    "equal_pair": lambda seed: _spoiled(PAIRS, seed, lambda row: row.update(chosen=row["rejected"])),
    "length_bias": lambda _: _with(PAIRS, rows=[{**row, "chosen": row["chosen"] + " and more" * 9} for row in pairs()]),
    "unpaired_as_answers": lambda _: _verdicts(30, hit=tuple(range(1, 11))),
    "unpaired_unbalanced": lambda _: _verdicts(4),
    "adapter_not_servable": lambda _: _with(QUESTIONS, preflight={"unservable": ["vLLM does not serve DoRA"]}),
}
"""For each class a data set with that fault, from a seed."""

ENTAILED: dict[FaultCode, frozenset[FaultCode]] = {
    "no_row_left": frozenset({"rows_too_long"}),
    "last_turn_silent": frozenset({"earlier_turns_untrained"}),
    "weights_ignored": frozenset({"earlier_turns_untrained"}),
    "no_trained_token_after_truncation": frozenset({"rows_too_long"}),
    "most_rows_too_long": frozenset({"few_rows"}),
    "wrong_turns_trained": frozenset({"end_of_turn_untrained"}),
    "end_of_turn_twice": frozenset({"special_token_in_text"}),
    "template_of_another_model": frozenset({"end_of_turn_untrained"}),
    "personal_data_in_answers": frozenset({"personal_data"}),
    "unpaired_unbalanced": frozenset({"unpaired_as_answers"}),
    # ten of the rows that these copy were trained elsewhere, too
    "training_asks_test": frozenset({"test_trained_elsewhere"}),
    "test_copies_training": frozenset({"test_trained_elsewhere"}),
    "test_near_training": frozenset({"test_trained_elsewhere"}),
}
"""Classes that a planted one brings with it: the same rows, seen from another side."""
