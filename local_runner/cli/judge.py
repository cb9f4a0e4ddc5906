"""`hone judge`."""

from __future__ import annotations

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
    writable_root,
)
from local_runner.cli.run import interruptible
from pipeline.control.output import print_json
from schemas.judge import CRITERIA

if TYPE_CHECKING:
    from schemas.judge import JudgeArtifact


def judge(
    first: Annotated[str, typer.Argument(help="A file of hone predict, a version (name@3) or a run.")],
    second: Annotated[str, typer.Argument(help="What it is compared with: another of the same kind.")],
    base_url: Annotated[str, typer.Option(help="The judge's OpenAI-compatible address, with its /v1.")],
    model: Annotated[str, typer.Option(help="The judge, as that address names it.")],
    api_key_secret: Annotated[
        str | None, typer.Option(help="The environment variable with its key: *_API_KEY or HONE_SECRET_*.")
    ] = None,
    criteria: Annotated[str, typer.Option(help="What counts, in a sentence or more.")] = CRITERIA,
    template: Annotated[Path | None, typer.Option(help="A prompt of your own, see docs/judge.md.")] = None,
    ties: Annotated[bool, typer.Option(help="Whether two answers may be equally good.")] = True,
    max_items: Annotated[int | None, typer.Option(min=1, help="Judge a sample of so many items.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Draws the sample.")] = 0,
    concurrency: Annotated[int, typer.Option(min=1, max=32, help="Requests under way at most.")] = 8,
    out: Annotated[Path, typer.Option(help="Every verdict, as Parquet.")] = Path("judgements.parquet"),
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    as_json: JsonOption = False,
) -> int:
    """Let a language model compare two models' answers, in both orders."""
    from local_runner.judging import judge as carry_out
    from local_runner.judging import open_sides
    from local_runner.predict import check_writable
    from pipeline.control.display import Display
    from pipeline.core.context import CallContext
    from pipeline.core.digests import DigestCache
    from pipeline.core.errors import SourceError
    from pipeline.core.secrets import visible_secrets
    from schemas.base import Reference
    from schemas.judge import JudgeConfig

    check_writable(out)
    if template is not None and not template.is_file():
        raise SourceError("no such file", where=f"--template {template}", fix="check the path")
    own = Reference(location=str(template), digest=DigestCache(None).digest(template)) if template else None
    root = writable_root(workspace)
    sides = open_sides(root, registry(root), first, second)
    config = JudgeConfig(
        base_url=base_url,
        model=model,
        api_key_secret=api_key_secret,
        criteria=criteria,
        template=own,
        ties=ties,
        max_items=max_items,
        seed=seed,
        concurrency=concurrency,
        candidate=first,
        baseline=second,
        related=sides.related,
    )
    told = messages()
    with interruptible(told) as cancelled, Display(told, quiet=as_json) as display:
        context = CallContext(call_id="judge", sink=display, cancelled=cancelled, secrets=visible_secrets())
        context.emit("started", f"{first} and {second}")
        found = carry_out(root, sides, config, out, context)
        context.emit("finished")
    _tell(found, config.alpha, out, as_json)
    return 0


def _tell(found: JudgeArtifact, alpha: float, out: Path, as_json: bool) -> None:
    from pipeline.control.judged_text import judged_lines

    if as_json:
        print_json({**found.model_dump(mode="json"), "judgements": str(out)})
        return
    for line in judged_lines(found, alpha):
        console().print(line, markup=False, soft_wrap=True)
    console().print(f"Every verdict: {out}", markup=False, soft_wrap=True)
