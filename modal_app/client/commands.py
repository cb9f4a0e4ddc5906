"""The verbs of `modal run -m modal_app.main`: what they take, and what they tell."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from modal_app.attempts import stop_key
from modal_app.client.money import agree_on_cap
from modal_app.client.serving_bill import bill_of, serving_bill, upkeep_bill
from modal_app.client.starting import DEFAULT_FOLDER, Client
from modal_app.controller import collect_garbage
from modal_app.leases import DictLeases
from modal_app.meter import PREFLIGHT, read_meters
from modal_app.orders import Collected, ControlOrder, GarbageOrder
from modal_app.pulse import Pulse
from modal_app.settings import SETTINGS
from modal_app.under_way import running_controller
from modal_app.volumes import LEASES, STATE
from pipeline.control.bill import summary, table
from pipeline.control.conclusion import Conclusion, exit_code
from pipeline.control.options import StageOption, run_options
from pipeline.control.output import print_json
from pipeline.control.places import places_of
from pipeline.control.plan_text import show_plan
from pipeline.control.status import run_status
from pipeline.core.errors import from_record
from pipeline.core.tracking import TRACKING_URI
from pipeline.core.workspace import Store
from schemas.errors import ExitCode

Config = Annotated[Path, typer.Option("--config", help="The run description, a YAML file.")]
Set = Annotated[list[str] | None, typer.Option("--set", help="Override one key: train.learning_rate=1e-4.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Start without asking, under a default cap.")]
MaxCost = Annotated[float | None, typer.Option(min=0.01, help="US dollars at which the run stops, with a checkpoint.")]
Run = Annotated[str, typer.Option("--run", help="A run's id.")]
To = Annotated[Path, typer.Option("--to", help="Folder that receives records and reports, laid out as a workspace.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
From = Annotated[StageOption | None, typer.Option("--from", help="Take earlier stages only as they are stored.")]
Until = Annotated[StageOption | None, typer.Option("--until", help="Call nothing after this stage.")]
PriceScale = Annotated[float, typer.Option(min=1e-9, help="Multiplies the price table: a contract's rate.")]


def _messages() -> Console:
    return Console(stderr=True, highlight=False)


def _console() -> Console:
    return Console(highlight=False, soft_wrap=False)


def run(
    config: Config,
    overrides: Set = None,
    first: From = None,
    last: Until = None,
    fresh: Annotated[list[StageOption] | None, typer.Option(help="Make this stage again even if it is stored.")] = None,
    max_cost: MaxCost = None,
    yes: Yes = False,
    to: To = DEFAULT_FOLDER,
    price_scale: PriceScale = 1.0,
    as_json: Json = False,
) -> int:
    """Carry out a run on Modal and bring its report here; what is finished is not done again."""
    options = run_options(first, last, fresh or ())
    client = Client(to, _messages(), quiet=as_json)
    client.mirror.claim()
    spec, prepared = client.prepare(config, overrides or [])
    assert prepared.plan is not None and prepared.run is not None
    if not as_json:
        show_plan(prepared.plan, spec, client.messages, SETTINGS.device)
    order = ControlOrder.model_validate(
        {
            "run": prepared.run,
            "first": options.first,
            "last": options.last,
            "fresh": tuple(sorted(options.fresh)),
            "max_cost": agree_on_cap(prepared.plan, spec.constraints, max_cost, yes=yes),
            "max_gpu_hours": spec.constraints.max_gpu_hours,
            "price_scale": price_scale,
        }
    )
    return _follow(client, order, as_json)


def plan(config: Config, overrides: Set = None, to: To = DEFAULT_FOLDER, as_json: Json = False) -> int:
    """Plan a run: what it would do, take and show, before a GPU starts."""
    client = Client(to, _messages(), quiet=as_json)
    spec, prepared = client.prepare(config, overrides or [])
    assert prepared.plan is not None and prepared.run is not None
    preflights = bill_of(read_meters(STATE, prepared.run, (PREFLIGHT,)))
    if as_json:
        places = places_of(prepared.plan, spec, SETTINGS.device)
        print_json({**prepared.model_dump(mode="json"), **places.as_json(), "preflight": preflights.as_json()})
    else:
        show_plan(prepared.plan, spec, _console(), SETTINGS.device)
        client.announce(f"preflight: {preflights}, charged to {prepared.run} when it is started")
    return int(ExitCode.OK if prepared.plan.feasible else ExitCode.BUDGET)


def resume(
    run: Run,
    last: Until = None,
    max_cost: MaxCost = None,
    yes: Yes = False,
    to: To = DEFAULT_FOLDER,
    price_scale: PriceScale = 1.0,
    as_json: Json = False,
) -> int:
    """Go on with a run that was stopped, under a higher cap if it was the cap that stopped it."""
    client = Client(to, _messages(), quiet=as_json)
    directory = client.mirror.run(run)
    constraints = directory.read().spec.constraints
    ledger = client.ledger(run)
    if max_cost is None and constraints.max_cost is None and ledger is not None:
        max_cost = ledger.caps.max_cost
    order = ControlOrder(
        run=run,
        resume=True,
        last=run_options(last=last).last,
        max_cost=agree_on_cap(client.plan(directory), constraints, max_cost, yes=yes),
        max_gpu_hours=constraints.max_gpu_hours,
        price_scale=price_scale,
    )
    return _follow(client, order, as_json)


def _follow(client: Client, order: ControlOrder, as_json: bool) -> int:
    client.announce(f"run {order.run} on Modal app {SETTINGS.app}")
    follower = client.follower(order.run)
    conclusion = client.follow(order.run, client.start(order), follower)
    _tell(client, conclusion, as_json)
    return int(exit_code(conclusion))


def _tell(client: Client, conclusion: Conclusion, as_json: bool) -> None:
    report = client.root / "runs" / conclusion.summary.run / "report" / "report.html"
    if as_json:
        print_json({**conclusion.as_json(), "report": str(report), "money": _money(client, conclusion.summary.run)})
        return
    conclusion.with_report(report).show(_console(), client.messages)
    _tell_money(client, conclusion.summary.run)


def _money(client: Client, run: str) -> dict[str, Any] | None:
    ledger = client.ledger(run)
    return None if ledger is None else table(ledger)


def _tell_money(client: Client, run: str) -> None:
    ledger = client.ledger(run)
    if ledger is not None:
        client.announce(summary(ledger))


def status(run: Run = "", to: To = DEFAULT_FOLDER, as_json: Json = False) -> int:
    """Show how a run stands, the newest if none is named: every call, progress, losses, money."""
    client = Client(to, _messages(), quiet=as_json)
    directory = client.mirror.run(run or client.mirror.newest())
    current = run_status(Store(to, DictLeases(LEASES, "", 0.0, Pulse(0.0))), directory)
    entries = tuple(STATE.items())
    bills = {"serving": serving_bill(entries), "upkeep": upkeep_bill(entries)}
    if as_json:
        uncharged = {name: bill.as_json() for name, bill in bills.items()}
        print_json({**current.as_json(), "money": _money(client, current.run), **uncharged})
    else:
        current.show(_console())
        _tell_money(client, current.run)
        for name, bill in bills.items():
            if bill.containers:
                client.announce(f"{name}, charged to no run: {bill} so far")
    return 0


def fetch(
    run: Run,
    to: To = DEFAULT_FOLDER,
    artifacts: Annotated[bool, typer.Option(help="Bring every artifact too, not only record and report.")] = True,
) -> int:
    """Bring a run's record, report, artifacts and the registry here: a workspace for `hone show` and `hone serve`."""
    client = Client(to, _messages())
    mirror = client.mirror
    directory = mirror.run(run)
    if artifacts:
        mirror.artifacts(directory, client.announce)
    variables = f"HONE_WORKSPACE={to.absolute()}"
    if SETTINGS.tracking_uri is None:
        mirror.file("mlflow.db")
    else:
        variables += f" {TRACKING_URI}={SETTINGS.tracking_uri}"
    client.announce(f"{run} is in {to}; for hone's commands: export {variables}")
    return 0


def cancel(run: Run) -> int:
    """Ask a run to stop with what it has saved."""
    client = Client(DEFAULT_FOLDER, _messages())
    client.mirror.require(run)
    if running_controller(run) is None:
        client.announce(f"{run} is not under way")
        return 0
    STATE.put(stop_key(run), True)
    client.announce(f"{run} stops after the current step; resume it to go on")
    return 0


def gc(
    run: Annotated[list[str] | None, typer.Option(help="Forget this run first, by id or name.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would be removed.")] = False,
    as_json: Json = False,
) -> int:
    """Remove from the Volume what no run and no version refers to."""
    order = GarbageOrder(forget=tuple(run or ()), dry_run=dry_run)
    answer = Collected.model_validate_json(collect_garbage.remote(order.model_dump_json()))
    if answer.error is not None:
        raise from_record(answer.error)
    if as_json:
        print_json({**(answer.garbage or {}), "removed": not dry_run})
    else:
        _console().print(answer.sentence, soft_wrap=True)
    return 0
