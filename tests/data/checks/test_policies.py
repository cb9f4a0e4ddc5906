"""What a policy deals with is counted; where the policy is stop, it is an error; what is ignored stays visible."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.core.errors import DataError
from schemas.faults import FaultCode
from schemas.preflight import Finding, PreflightConfig
from tests.data.checks.planted import asks, pairs
from tests.data.support import run_stage, sentence


def found(
    folder: Path, rows: list[dict[str, Any]], ignore: tuple[FaultCode, ...] = (), **options: Any
) -> list[Finding]:
    return list(run_stage(folder, rows, preflight=PreflightConfig(ignore=ignore), **options).artifact.findings)


def test_rows_that_are_set_aside_are_a_warning_and_those_that_stop_an_error(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [*asks(60), {"prompt": "a", "completion": None}]
    (aside,) = found(tmp_path, rows, bad_rows={"action": "drop", "cap": 0.1})
    assert (aside.code, aside.severity, aside.rows, aside.done) == ("unusable_row", "warning", (61,), "set aside")
    (stop,) = found(tmp_path, rows)
    assert (stop.severity, stop.done, stop.refuses) == ("error", "", True)
    assert stop.detail == "row 61: column 'completion' is null"


def test_rows_over_the_cap_are_an_error_that_names_it(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [*asks(60), {"prompt": "a", "completion": None}]
    (over,) = found(tmp_path, rows, bad_rows={"action": "drop", "cap": 0.01})
    assert over.severity == "error"
    assert over.detail.startswith("1 of 61 rows are over the cap of 1.0% (data.bad_rows.cap); row 61")


def test_what_a_policy_stops_is_not_ignored(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [*asks(60), {"prompt": "a", "completion": None}]
    (stop,) = found(tmp_path, rows, ignore=("unusable_row",))
    assert not stop.ignored and stop.refuses
    (aside,) = found(tmp_path, rows, ignore=("unusable_row",), bad_rows={"action": "drop", "cap": 0.1})
    assert aside.ignored


def test_contradictions_are_removed_kept_or_stop(tmp_path: Path) -> None:
    rows = [*asks(60), {**asks(1)[0], "completion": "no"}]
    said = {}
    for action in ("drop", "keep", "stop"):
        one = next(one for one in found(tmp_path, rows, contradictions=action) if one.code == "contradiction")
        assert one.rows == (1, 61)
        said[action] = (one.severity, one.done)
    assert said == {"drop": ("warning", "removed"), "keep": ("warning", "kept"), "stop": ("error", "")}


def test_an_error_that_is_ignored_does_not_refuse(tmp_path: Path) -> None:
    rows = [{**row, "label": index % 2 == 0} for index, row in enumerate(asks(60))]
    (one,) = found(tmp_path, rows)
    assert one.refuses and one.code == "unpaired_as_answers"
    (silenced,) = found(tmp_path, rows, ignore=("unpaired_as_answers",))
    assert silenced.ignored and not silenced.refuses
    assert (silenced.rows, silenced.count) == (one.rows, one.count)


def test_personal_data_is_replaced_left_or_removed(tmp_path: Path) -> None:
    rows = [*asks(60), {"prompt": f"write to anna@example.com {sentence(99)}", "completion": "yes"}]
    for action, done in (("redact", "replaced by its kind"), ("report", "left as it is"), ("drop", "removed")):
        (one,) = found(tmp_path, rows, personal_data={"action": action})
        assert (one.code, one.rows, one.done) == ("personal_data", (61,), done)
    assert found(tmp_path, rows, personal_data={"action": "off"}) == []


def test_kept_copies_are_named_all_the_same(tmp_path: Path) -> None:
    rows = [*asks(60), asks(1)[0]]
    exact = {one.code: one for one in found(tmp_path, rows, deduplicate={"exact": False, "near_action": "keep"})}
    assert exact["exact_duplicate"].rows == (61,) and exact["exact_duplicate"].done == "kept"


def test_length_bias_needs_enough_pairs(tmp_path: Path) -> None:
    longer = [{**row, "chosen": row["chosen"] + " and more" * 9} for row in pairs()]
    whole = {"split": {"test": 0.0, "validation": 0.0}}
    assert "length_bias" in {one.code for one in found(tmp_path, longer[:20], **whole)}
    assert "length_bias" not in {one.code for one in found(tmp_path, longer[:19], **whole)}


def test_without_a_preflight_what_may_not_be_stops_the_stage(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="1 of 61 rows cannot be used"):
        run_stage(tmp_path, [*asks(60), {"prompt": "a", "completion": None}])
    assert run_stage(tmp_path, [*asks(60), asks(1)[0]]).artifact.findings == ()


def test_a_file_without_a_usable_row_stops_whatever_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="rows cannot be used"):
        found(tmp_path, [{"prompt": "a", "completion": ""}] * 3)


def test_a_benchmark_that_holds_no_text_is_refused(tmp_path: Path) -> None:
    from pipeline.core.context import CallContext
    from pipeline.data.checks.benchmarks import read_benchmark
    from schemas.base import Reference
    from tests.data.support import write_rows

    path = write_rows(tmp_path / "items.jsonl", [{"a": 1}])
    with pytest.raises(DataError, match="no row holds a text"):
        read_benchmark(Reference(location=str(path)), CallContext())
    nested = write_rows(tmp_path / "nested.jsonl", [{"turns": ["one two", {"text": "three"}], "n": 1}])
    assert read_benchmark(Reference(location=str(nested)), CallContext()) == ["one two", "three"]
