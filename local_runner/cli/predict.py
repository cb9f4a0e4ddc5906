"""`hone predict` and `hone chat`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from local_runner.cli.common import (
    DEFAULT_WORKSPACE,
    JsonOption,
    WorkspaceOption,
    console,
    messages,
    registry,
    workspace_root,
)
from local_runner.cli.run import interruptible
from local_runner.cli.versions import VersionArgument
from pipeline.control.output import print_json

if TYPE_CHECKING:
    from local_runner.asking import Asked
    from local_runner.chat import Chat
    from local_runner.predict import Prediction
    from pipeline.core.errors import HoneError
    from schemas.errors import ExitCode

VariantOption = Annotated[
    str | None, typer.Option(help="adapter, model, merged, w4a16 ...; the served one if left out.")
]


def predict(
    version: VersionArgument,
    file: Annotated[str, typer.Argument(help="Rows as in training (answers may be missing), or prompt, or messages.")],
    out: Annotated[Path | None, typer.Option(help="Write JSON lines here; standard output if left out.")] = None,
    variant: VariantOption = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Prompts at once; as in the evaluation.")] = None,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    as_json: JsonOption = False,
) -> int:
    """Answer every row of a file with a registered version."""
    from local_runner.predict import check_writable, write_predictions
    from local_runner.predict import predict as answer
    from pipeline.control.display import Display
    from pipeline.core.context import CallContext

    if out is not None:
        check_writable(out)
    asked, told = _open(workspace, version, variant, batch_size), messages()
    with interruptible(told) as cancelled, Display(told, quiet=as_json) as display:
        context = CallContext(call_id="predict", sink=display, cancelled=cancelled)
        context.emit("started", asked.version)
        predictions = answer(asked, file, context)
        context.emit("finished")
    if out is not None:
        write_predictions(out, predictions)
    _tell(asked, predictions, out, as_json)
    return 0


def _tell(asked: Asked, predictions: list[Prediction], out: Path | None, as_json: bool) -> None:
    cut = sum(prediction.finish_reason == "length" for prediction in predictions)
    if as_json:
        told = {"version": asked.version, "variant": asked.variant, "rows": len(predictions), "cut": cut}
        answers = [prediction.__dict__ for prediction in predictions]
        print_json(told | ({"predictions": answers} if out is None else {"out": str(out)}))
        return
    if out is None:
        sys.stdout.write("".join(prediction.line() for prediction in predictions))
    else:
        done = f"{len(predictions)} answers of {asked.version} ({asked.variant}) in {out}"
        console().print(done, markup=False, soft_wrap=True)
    if cut:
        messages().print(f"  [yellow]![/] {cut} answers were cut at {asked.generation.max_new_tokens} tokens")


def chat(
    version: VersionArgument,
    variant: VariantOption = None,
    system: Annotated[str | None, typer.Option(help="The system turn; that of training if left out.")] = None,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    as_json: JsonOption = False,
) -> int:
    """Talk with a registered version; /reset forgets the conversation, /exit ends it."""
    from local_runner.chat import open_chat, template_note

    asked = _open(workspace, version, variant, None)
    out = messages()
    if not as_json:
        out.print(f"loading {asked.version} ({asked.variant})", soft_wrap=True)
    talk = open_chat(asked, system)
    interactive = sys.stdin.isatty() and not as_json
    if interactive:
        note = template_note(asked)
        out.print(
            "/reset forgets the conversation, /exit ends it" + (f"; {note}" if note else ""),
            markup=False,
            soft_wrap=True,
        )
    return int(_converse(talk, _lines(interactive), as_json=as_json))


def _lines(interactive: bool) -> Iterator[str]:
    """Yield what the user types, or the lines of standard input, until they end."""
    if not interactive:
        yield from sys.stdin
        return
    import readline  # noqa: F401 - gives `input` editing and history

    while True:
        try:
            yield input("> ")
        except EOFError:
            return


def _converse(talk: Chat, lines: Iterator[str], *, as_json: bool) -> ExitCode:
    """Answer line by line; an error ends its turn, and its code is the command's if it is the last."""
    from pipeline.core.context import CallContext
    from pipeline.core.errors import HoneError
    from schemas.errors import ExitCode

    commands: dict[str, Callable[[], None]] = {"/reset": talk.reset}
    code = ExitCode.OK
    for line in lines:
        text = line.strip()
        if text == "/exit":
            break
        if text in commands:
            commands[text]()
            continue
        if not text:
            continue
        try:
            if text.startswith("/"):
                raise _unknown_command(text)
            answer = talk.reply(text, CallContext(call_id="chat"))
        except HoneError as error:
            code = _show_error(error, as_json=as_json)
            continue
        code = ExitCode.OK
        _show_answer(answer.text, answer.finish_reason, as_json=as_json)
    return code


def _show_answer(text: str, finish_reason: str, *, as_json: bool) -> None:
    import json

    from local_runner.show_rows import visible

    if as_json:
        sys.stdout.write(json.dumps({"answer": text, "finish_reason": finish_reason}, ensure_ascii=False) + "\n")
    else:
        console().print(visible(text), markup=False, soft_wrap=True)
        if finish_reason == "length":
            messages().print("  [dim]cut at max_new_tokens[/]")
    sys.stdout.flush()


def _show_error(error: HoneError, *, as_json: bool) -> ExitCode:
    import json

    from pipeline.control.display import show_error

    if as_json:
        sys.stdout.write(json.dumps({"error": error.record().model_dump()}, ensure_ascii=False) + "\n")
        sys.stdout.flush()
    else:
        show_error(messages(), error)
    return error.exit_code


def _unknown_command(text: str) -> HoneError:
    from pipeline.core.errors import ConfigError

    return ConfigError("no such command", where=text.split()[0], fix="there are /reset and /exit")


def _open(workspace: Path, version: str, variant: str | None, batch_size: int | None) -> Asked:
    from local_runner.asking import open_asked
    from pipeline.control.versions import open_version

    root = workspace_root(workspace)
    return open_asked(open_version(root, registry(root), version), variant, batch_size)
