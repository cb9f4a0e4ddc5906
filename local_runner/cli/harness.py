"""`hone harness`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from local_runner.cli.common import JsonOption, console, messages
from local_runner.cli.run import interruptible
from pipeline.control.output import print_json

if TYPE_CHECKING:
    from schemas.evaluate import EvaluateArtifact


def harness(
    task: Annotated[str, typer.Argument(help="A YAML file, or the name of a task that lm_eval has.")],
    base_url: Annotated[str, typer.Option(help="The model's OpenAI-compatible address, with its /v1.")],
    model: Annotated[str, typer.Option(help="The model, as that address names it.")],
    tokenizer: Annotated[Path, typer.Option(help="The folder of the served model, for its tokenizer.")],
    metric: Annotated[str, typer.Option(help="One of the task's that is a mean over items.")] = "acc",
    num_fewshot: Annotated[int | None, typer.Option(min=0, help="Examples; by default the task's own.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Ask the first items only.")] = None,
    chat_template: Annotated[
        bool, typer.Option("--apply-chat-template", help="Ask in the tokenizer's chat template.")
    ] = False,
    allow_code: Annotated[bool, typer.Option(help="Run the functions that a local task names.")] = False,
    api_key_secret: Annotated[
        str | None, typer.Option(help="The environment variable with its key: *_API_KEY or HONE_SECRET_*.")
    ] = None,
    concurrency: Annotated[int, typer.Option(min=1, max=256, help="Requests under way at most.")] = 16,
    seed: Annotated[int, typer.Option(min=0, help="Draws the examples.")] = 0,
    out: Annotated[Path, typer.Option(help="Every item with its answer and score, as Parquet.")] = Path(
        "harness.parquet"
    ),
    as_json: JsonOption = False,
) -> int:
    """Measure a served model on a task of lm-evaluation-harness."""
    from local_runner.harness import ask_endpoint
    from local_runner.predict import check_writable
    from pipeline.control.display import Display
    from pipeline.core.context import CallContext
    from pipeline.core.secrets import visible_secrets
    from schemas.evaluate import EndpointSubject, GenerationConfig, HarnessOptions

    check_writable(out)
    options = HarnessOptions(
        metric=metric,
        num_fewshot=num_fewshot,
        limit=limit,
        apply_chat_template=chat_template,
        allow_code=allow_code,
    )
    endpoint = EndpointSubject(base_url=base_url, model=model, api_key_secret=api_key_secret)
    generation = GenerationConfig(batch_size=concurrency)
    told = messages()
    with interruptible(told) as cancelled, Display(told, quiet=as_json) as display:
        context = CallContext(call_id="harness", sink=display, cancelled=cancelled, secrets=visible_secrets())
        context.emit("started", f"{task} of {model}")
        found = ask_endpoint(task, options, endpoint, tokenizer, generation, seed=seed, table=out, context=context)
        context.emit("finished")
    _tell(found, metric, out, as_json)
    return 0


def _tell(found: EvaluateArtifact, metric: str, out: Path, as_json: bool) -> None:
    from pipeline.report.wording import score_text

    if as_json:
        print_json({**found.model_dump(mode="json"), "items": str(out)})
        return
    console().print(f"{metric}: {score_text(found.scores[metric])}", markup=False, soft_wrap=True)
    console().print(f"Every item: {out}", markup=False, soft_wrap=True)
