"""Sheets as files: CSV, Label Studio's import JSON with its labeling configuration, and the guidelines."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from pipeline.core.workspace import write_atomic
from schemas.human import LEAST_RATING, MOST_RATING, SheetItem, SheetKey, SheetKind

ANSWER_COLUMN: Mapping[SheetKind, str] = {"pairwise": "preference", "rating": "rating"}

_COLUMNS: Mapping[SheetKind, tuple[str, ...]] = {
    "pairwise": ("item", "question", "answer_a", "answer_b", "preference", "comment"),
    "rating": ("item", "question", "answer_a", "rating", "comment"),
}

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What makes a spreadsheet take a cell for a formula (OWASP, CSV Injection)."""

LABELING: Mapping[SheetKind, str] = {
    "pairwise": """\
<View>
  <Header value="Request"/>
  <Text name="question" value="$question"/>
  <Header value="Answer A"/>
  <Text name="answer_a" value="$answer_a"/>
  <Header value="Answer B"/>
  <Text name="answer_b" value="$answer_b"/>
  <Header value="Which answer is better?"/>
  <Choices name="preference" toName="question" choice="single" required="true">
    <Choice value="A" hotkey="1"/>
    <Choice value="B" hotkey="2"/>
    <Choice value="tie" hotkey="3"/>
  </Choices>
  <TextArea name="comment" toName="question" placeholder="Comment (optional)" rows="2" maxSubmissions="1"/>
</View>
""",
    "rating": f"""\
<View>
  <Header value="Request"/>
  <Text name="question" value="$question"/>
  <Header value="Answer"/>
  <Text name="answer_a" value="$answer_a"/>
  <Header value="How good is the answer? {LEAST_RATING} is useless, {MOST_RATING} could not be better"/>
  <Rating name="rating" toName="answer_a" maxRating="{MOST_RATING}" required="true"/>
  <TextArea name="comment" toName="answer_a" placeholder="Comment (optional)" rows="2" maxSubmissions="1"/>
</View>
""",
}
"""Labeling configurations for Label Studio, whose names `pipeline.evaluate.human.reading` knows."""

GUIDELINES = """\
# How to judge these answers

You see requests and answers that different systems gave. You are not told which system gave which answer, and the order
is random: please do not try to find out.

**What counts.** {criteria}

- Read the request first and ask yourself what a good answer would be. Then read the answers to their end.
- Judge each item on its own. Facts that you can check, check.
- Length, tone and layout count only as far as they help whoever asked.
- Text inside a request or an answer is never an instruction to you.
- Work alone: do not talk about items with other annotators before everybody is done.
- Leave an item empty that you cannot judge, and say why in the comment.
"""

PAIRWISE_GUIDE = """
## Comparing two answers (`pairwise`)

In `preference`, write `A` or `B` for the better answer. Write `tie` only where you would be as glad of the one as of
the other; where one is better in anything that counts, choose it.
"""

RATING_GUIDE = f"""
## Rating an answer (`rating`)

In `rating`, write a whole number from {LEAST_RATING} to {MOST_RATING}:

| rating | meaning |
|---|---|
| 5 | correct and complete; could not be better |
| 4 | right in what counts, with a small flaw |
| 3 | partly right: usable with corrections |
| 2 | mostly wrong or beside the point |
| 1 | useless, wrong or harmful |
"""

HANDING_IN = """
## Handing in

Do not change the column `item`. Save the sheet as CSV under your own name, such as `pairwise.<name>.csv`; each person
fills a copy. In Label Studio, submit each task; whoever runs the project exports it as JSON.
"""


def write_sheets(key: SheetKey, folder: Path) -> tuple[Path, ...]:
    """Write the sheets of ``key`` and their guidelines; nothing in ``folder`` tells which side an answer is from."""
    kinds = [kind for kind in ANSWER_COLUMN if any(item.kind == kind for item in key.items)]
    guides = {"pairwise": PAIRWISE_GUIDE, "rating": RATING_GUIDE}
    text = GUIDELINES.format(criteria=key.criteria) + "".join(guides[kind] for kind in kinds) + HANDING_IN
    files = {"guidelines.md": text}
    for kind in kinds:
        files |= sheet_files(kind, kind, [item for item in key.items if item.kind == kind])
    return _write(folder, files)


def write_adjudication(folder: Path, rows: Sequence[tuple[SheetItem, str]]) -> tuple[Path, ...]:
    """Write the rows on which people disagree, each with what they said, for one more person to decide."""
    files: dict[str, str] = {}
    for kind in ANSWER_COLUMN:
        of_kind = {item.code: (item, said) for item, said in rows if item.kind == kind}
        if of_kind:
            said = {code: answers for code, (_, answers) in of_kind.items()}
            files |= sheet_files(f"adjudication-{kind}", kind, [item for item, _ in of_kind.values()], said)
    return _write(folder, files)


def sheet_files(
    name: str, kind: SheetKind, items: Sequence[SheetItem], said: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Return the three files of one sheet by their names: CSV, Label Studio's JSON and its XML."""
    columns = [*_COLUMNS[kind], *(["answers"] if said is not None else [])]
    tasks, text = [], io.StringIO()
    # All cells quoted: a lone carriage return in an answer would else end a row.
    writer = csv.DictWriter(text, columns, lineterminator="\n", restval="", quoting=csv.QUOTE_ALL)
    writer.writeheader()
    for item in items:
        shown = {"item": item.code, "question": item.question, "answer_a": item.answer_a}
        shown |= {"answer_b": item.answer_b} if item.answer_b is not None else {}
        shown |= {"answers": said[item.code]} if said is not None else {}
        writer.writerow({column: _cell(value) for column, value in shown.items()})
        tasks.append({"data": shown})
    return {
        f"{name}.csv": text.getvalue(),
        f"label_studio/{name}.json": json.dumps(tasks, ensure_ascii=False, indent=1) + "\n",
        f"label_studio/{name}.xml": LABELING[kind],
    }


def _cell(text: str) -> str:
    """Return a cell that no spreadsheet takes for a formula; what it shows is read by people alone."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def _write(folder: Path, files: Mapping[str, str]) -> tuple[Path, ...]:
    written = []
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, text.encode("utf-8", "backslashreplace").decode("utf-8"))
        written.append(path)
    return tuple(written)
