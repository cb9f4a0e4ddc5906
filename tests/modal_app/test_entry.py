"""Verbs: their options, how they are called, and what their ends are told as."""

from __future__ import annotations

import json
from typing import Annotated

import pytest
import typer

from modal_app.client.entry import carry_out
from pipeline.core.errors import BudgetError
from schemas.errors import ExitCode


def greet(name: Annotated[str, typer.Option(help="Whom.")], times: int = 1) -> int:
    """Greet somebody."""
    return 10 + times


def test_options_are_a_verbs_own_and_its_code_is_returned() -> None:
    assert carry_out(greet, ["--name", "you", "--times", "3"]) == 13


def test_help_names_the_verb(capsys: pytest.CaptureFixture[str]) -> None:
    assert carry_out(greet, ["--help"]) == 0
    assert "Usage: modal run -m modal_app.main::greet [OPTIONS]" in capsys.readouterr().out


def test_a_wrong_option_is_told_without_a_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert carry_out(greet, ["--nam", "you"]) == 2
    assert "No such option: --nam" in capsys.readouterr().err


def test_an_interruption_says_what_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted() -> int:
        raise KeyboardInterrupt

    assert carry_out(interrupted, []) == 130
    assert "with modal run --detach" in capsys.readouterr().err


@pytest.mark.parametrize("as_json", [False, True])
def test_an_error_has_its_code_and_its_fix(as_json: bool, capsys: pytest.CaptureFixture[str]) -> None:
    def dear(as_json: Annotated[bool, typer.Option("--json")] = False) -> int:
        raise BudgetError("too dear", where="constraints.max_cost", fix="raise it")

    assert carry_out(dear, ["--json"] if as_json else []) == int(ExitCode.BUDGET)
    told = capsys.readouterr()
    if as_json:
        assert json.loads(told.out)["error"]["fix"] == "raise it"
    else:
        assert "error: constraints.max_cost: too dear" in told.err and "fix: raise it" in told.err


def test_what_is_not_hones_own_is_told_too(capsys: pytest.CaptureFixture[str]) -> None:
    def broken() -> int:
        raise ZeroDivisionError("x")

    assert carry_out(broken, []) not in (0, 130)
    assert "ZeroDivisionError: x" in capsys.readouterr().err
