"""`hone init`: a first run description for a file of examples."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from local_runner.cli.common import JsonOption, console, messages
from pipeline.control.output import print_json

if TYPE_CHECKING:
    from local_runner.guess import Guess, Wishes
    from local_runner.init import Proposal
    from pipeline.core.errors import ConfigError


class TaskOption(StrEnum):
    """The tasks, as options name them."""

    classification = "classification"
    extraction = "extraction"
    generation = "generation"


def init(
    file: Annotated[
        str, typer.Argument(help="Examples: JSONL, JSON, CSV, TSV, Parquet, Arrow, a folder, or a Hub id.")
    ],
    out: Annotated[Path, typer.Option(help="Where the description goes.")] = Path("hone.yaml"),
    name: Annotated[str | None, typer.Option(help="The run's name; made of the file's name if left out.")] = None,
    task: Annotated[TaskOption | None, typer.Option(help="The task; found in the answers if left out.")] = None,
    prompt: Annotated[str | None, typer.Option(help="The column that asks.")] = None,
    completion: Annotated[str | None, typer.Option(help="The column that answers, in free text or JSON.")] = None,
    label: Annotated[str | None, typer.Option(help="The column that answers with one of a few labels.")] = None,
    description: Annotated[
        str | None, typer.Option(help="What the model is to do, in one sentence; asked of the untuned base, too.")
    ] = None,
    base_model: Annotated[str, typer.Option(help="A folder, a Hub id, a version, or hone:tiny.")] = "hone:tiny",
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Take what is guessed without asking, unless it is a toss-up.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Write over an existing description.")] = False,
    as_json: JsonOption = False,
) -> int:
    """Write a first run description for a file of examples."""
    from local_runner.first_spec import check_base, check_free, default_name, spec_text, write_spec
    from local_runner.guess import Wishes
    from local_runner.init import SHOWN, propose
    from local_runner.show_rows import local_tokenizer, row_text
    from pipeline.core.paths import expand

    out = expand(out)
    check_free(out, force=force)
    check_base(base_model)
    wishes = Wishes(prompt=prompt, completion=completion, label=label, task=None if task is None else task.value)
    proposal = propose(file, wishes)
    asking = not yes and not as_json and sys.stdin.isatty()
    proposal = _confirmed(file, proposal, wishes, yes=yes, asking=asking)
    if description is None and asking:
        description = _asked_description(proposal)
    place, title = out.absolute().parent, name or default_name(file)
    text = spec_text(proposal, name=title, base_model=base_model, folder=place, description=description)
    tokenizer = local_tokenizer(base_model)
    rows = [(draft.row, row_text(draft, tokenizer)) for draft in proposal.drafts[:SHOWN]]
    write_spec(out, text, force=force)
    if as_json:
        print_json(_as_json(proposal, out, rows))
    else:
        _show(proposal, out, rows, templated=tokenizer is not None)
    return 0


def _confirmed(file: str, proposal: Proposal, wishes: Wishes, *, yes: bool, asking: bool) -> Proposal:
    """Return the proposal once every guessed column is confirmed; another column's name is an answer, too.

    Raises:
        ConfigError: nobody can be asked, several columns are as likely, or the answer is no.
    """
    from local_runner.init import propose

    while guess := next(iter(proposal.guesses), None):
        if yes and not guess.as_likely:
            column = guess.column
        elif asking:
            column = _ask(guess)
        else:
            raise _undecided(guess, yes)
        wishes = wishes.naming(guess.slot, column)
        proposal = propose(file, wishes)
    return proposal


def _undecided(guess: Guess, yes: bool) -> ConfigError:
    from pipeline.core.errors import ConfigError

    option = f"--{guess.slot}"
    fix = f"give {option} {guess.column}" + (f" (or {', '.join(guess.others)})" if guess.others else "")
    if yes:
        columns = ", ".join(map(repr, (guess.column, *guess.as_likely)))
        return ConfigError(
            f"columns {columns} may all be the {guess.slot}, and none more likely", where=option, fix=fix
        )
    return ConfigError(
        f"column {guess.column!r} looks like the {guess.slot} ({guess.reason}), but nothing says so",
        where=option,
        fix=fix if guess.as_likely else f"{fix}, or --yes to take it",
    )


def _ask(guess: Guess) -> str:
    """Return the column that a person names.

    Raises:
        ConfigError: the answer is no.
    """
    from pipeline.core.errors import ConfigError

    others = f"; or another column: {', '.join(guess.others)}" if guess.others else ""
    question = f"Is {guess.column!r} the {guess.slot} ({guess.reason})? [Y/n{others}]"
    answer = str(typer.prompt(question, default="y", show_default=False, err=True)).strip()
    if answer.lower() in ("n", "no"):
        answers = "--prompt" if guess.slot == "prompt" else "--completion or --label"
        raise ConfigError(
            f"the column of the {guess.slot} is not known", where=f"--{guess.slot}", fix=f"give {answers}"
        )
    return guess.column if answer.lower() in ("y", "yes") else answer


def _asked_description(proposal: Proposal) -> str:
    from local_runner.first_spec import default_description

    usual = default_description(proposal)
    question = "What is the model to do, in one sentence?"
    return str(typer.prompt(question, default=usual, err=True)).strip()


def _as_json(proposal: Proposal, out: Path, rows: list[tuple[int, str]]) -> dict[str, object]:
    return {
        "spec": str(out),
        "task": proposal.task,
        "metrics": list(proposal.metrics),
        "format": proposal.reading.layout.format,
        "columns": dict(proposal.reading.layout.columns),
        "sampled_rows": proposal.sampled,
        "bad_rows": [{"row": row.number, "reason": row.reason} for row in proposal.bad],
        "rows": [{"row": number, "text": text} for number, text in rows],
    }


def _show(proposal: Proposal, out: Path, rows: list[tuple[int, str]], *, templated: bool) -> None:
    from rich.markup import escape

    from local_runner.show_rows import clipped

    screen = console()
    for number, text in rows:
        screen.print(f"[bold]row {number}[/]")
        screen.print(escape(clipped(text.rstrip())), soft_wrap=True)
    if not templated:
        messages().print("  the base model is not on this machine: rows are shown without its chat template")
    layout = proposal.reading.layout
    columns = ", ".join(f"{slot} from {name}" for slot, name in layout.columns.items())
    screen.print(
        f"[bold]{proposal.task}[/]: {escape(columns)}; format {layout.format}; measured by {proposal.metrics[0]}",
        soft_wrap=True,
    )
    if proposal.bad:
        first = proposal.bad[0]
        more = f", {len(proposal.bad) - 1} more" if len(proposal.bad) > 1 else ""
        messages().print(
            f"[yellow]! cannot be used[/]: row {first.number}: {escape(first.reason)}{more}", soft_wrap=True
        )
    screen.print(f"wrote {escape(str(out))}; next: hone data check {escape(str(out))}", soft_wrap=True)
