"""docs/preflight.md has the table of faults as the code has it, and a description may ignore what the table says."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import get_args

import pytest
from pydantic import ValidationError

from schemas.faults import FAULTS, FaultCode
from schemas.preflight import PreflightOptions

DOCS = Path(__file__).resolve().parent.parent / "docs"
PAGE = (DOCS / "preflight.md").read_text(encoding="utf-8")


def test_the_page_is_up_to_date() -> None:
    spec = importlib.util.spec_from_file_location("generate_preflight", DOCS / "generate_preflight.py")
    assert spec is not None and spec.loader is not None
    generator = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generator)
    assert generator.page(PAGE) == PAGE, "run python docs/generate_preflight.py"
    assert all(f"| `{code}` |" in PAGE for code in FAULTS)


def test_every_code_has_one_fault_in_the_order_of_the_codes() -> None:
    assert tuple(FAULTS) == get_args(FaultCode)
    assert all(fault.what and fault.fix for fault in FAULTS.values())
    assert all(fault.severity == "error" for fault in FAULTS.values() if not fault.ignorable)


@pytest.mark.parametrize("code", FAULTS)
def test_what_makes_training_meaningless_cannot_be_ignored(code: FaultCode) -> None:
    if FAULTS[code].ignorable:
        assert PreflightOptions(ignore=(code, code)).ignore == (code,)
    else:
        with pytest.raises(ValidationError, match=f"{code} cannot be ignored"):
            PreflightOptions(ignore=(code,))
