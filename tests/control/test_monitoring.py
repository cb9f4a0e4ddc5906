"""A version is watched from its partitions to a report on disk, through the command too."""

from __future__ import annotations

import json
import random
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from local_runner.main import run_command
from pipeline.control.monitoring import REPORTS, evaluated_rows, watch
from pipeline.control.versions import open_version
from pipeline.core.errors import DataError, RegistryError
from pipeline.core.examples import read_examples
from pipeline.monitor.partitions import FOLDER, Partitions
from pipeline.monitor.rows import Row
from schemas.errors import ExitCode
from schemas.monitor import DriftReport, MonitorConfig
from tests.monitor.rows import rows
from tests.monitor.test_partitions import answer
from tests.support.memory_registry import MemoryRegistry
from tests.support.trained import Trained, messages

SMALL = MonitorConfig(window=60, reference_rows=150)


def capture(root: Path, version: str, *parts: list[Row]) -> None:
    """Write rows as the gateway's partitions, a day for each part."""
    partitions = Partitions(root / FOLDER)
    for number, part in enumerate(parts, start=1):
        day = date(2026, 11, number)
        values = [_captured(row, number, place) for place, row in enumerate(part)]
        partitions.write("answers", day, values, closed=True, version=version)


def _captured(row: Row, day: int, place: int) -> dict[str, Any]:
    at = 1_793_491_200.0 + (day - 1) * 86_400 + place
    request = {"messages": [{"role": "user", "content": row.input}]}
    return answer(
        0,
        at,
        id=f"{day}-{place}",
        request=json.dumps(request),
        answer=row.output,
        failed=row.failed,
        refused=row.refused,
        confidence=row.confidence,
        input_length=row.input_length,
        length=row.output_length,
    )


def no_registry() -> MemoryRegistry:
    raise AssertionError("a numbered version needs no registry")


def test_an_alarm_is_a_report_in_the_workspace(tmp_path: Path) -> None:
    capture(tmp_path, "triage@1", rows(150, seed=1), rows(60, seed=2), rows(60, "travel", seed=3))
    found = watch(tmp_path, no_registry, "triage@1", SMALL, history=3)
    assert found.report.alarm
    assert found.html.parent == tmp_path / REPORTS / "triage@1"
    assert DriftReport.model_validate_json(found.json.read_text()) == found.report
    [past] = found.report.past
    assert past.drifted == ()
    page = found.html.read_text()
    assert "<h1>triage@1: monitoring report</h1>" in page
    assert page.count("<svg") == 1 + sum(bool(reading.bars) for reading in found.report.readings)
    assert "http://" not in page.replace("http://www.w3.org/2000/svg", "")


def test_a_word_of_a_user_cannot_break_the_page(tmp_path: Path) -> None:
    hostile = [Row(str(n), input='"><script>alert(1)</script>', output="<b>x</b>") for n in range(60)]
    capture(tmp_path, "triage@1", rows(150, seed=1), hostile)
    page = watch(tmp_path, no_registry, "triage@1", SMALL).html.read_text()
    assert "<script" not in page and "<b>" not in page


def test_too_few_answers_are_said(tmp_path: Path) -> None:
    capture(tmp_path, "triage@1", rows(100, seed=1))
    with pytest.raises(DataError, match="100 answers are captured; 210 are needed"):
        watch(tmp_path, no_registry, "triage@1", SMALL)


def test_evaluated_rows_are_those_of_the_test_split_with_their_answers(tmp_path: Path) -> None:
    trained = Trained(tmp_path, messages(60)).finish_run()
    files = open_version(trained.root, trained.registry, "triage@champion")
    examples = {row.id: row for row in read_examples(files.data.file(files.data.artifact.files["test"]))}
    items = [{"id": id_, "cluster": row.cluster, "answer": f"label {row.row}"} for id_, row in examples.items()]
    found = evaluated_rows(_with_items(files, items))
    assert [(row.id, row.input, row.output) for row in found] == [
        (id_, row.prompt[-1].content, f"label {row.row}") for id_, row in examples.items()
    ]


def _with_items(files: Any, items: list[dict[str, Any]]) -> Any:
    """Give the evaluation of a version, which the fixture made up, these items, before anybody has hashed them."""
    import pyarrow as pa
    from pyarrow import parquet

    lineage = files.record.artifact.lineage
    name = f"variant.{files.record.artifact.served_variant}"
    ref = lineage.evaluations.get(name) or lineage.evaluations[f"model.{files.record.artifact.shipped}"]
    path = files.store.directory(ref) / "items.parquet"
    parquet.write_table(pa.Table.from_pylist(items), path)
    return files


def test_an_alias_is_looked_up_and_an_unknown_one_is_said(tmp_path: Path) -> None:
    registry = MemoryRegistry()
    with pytest.raises(RegistryError):
        watch(tmp_path, lambda: registry, "triage@champion", SMALL)


def test_the_command_has_an_exit_code_for_an_alarm(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capture(tmp_path, "triage@1", rows(150, seed=1), rows(60, "travel", seed=3))
    capture(tmp_path, "triage@2", rows(150, seed=1), rows(60, seed=4))
    small = ["--window", "60", "--reference-rows", "150", "-w", str(tmp_path)]
    assert run_command(["monitor", "triage@1", "--json", *small]) == ExitCode.DRIFT
    printed = json.loads(capsys.readouterr().out)
    assert printed["alarm"] and Path(printed["html"]).is_file()
    assert run_command(["monitor", "triage@2", *small, "--detector", "input_length"]) == ExitCode.OK
    assert "Characters of inputs" in capsys.readouterr().out
    assert run_command(["monitor", "triage@2", *small, "--detector", "input_lenght"]) == ExitCode.CONFIG
    assert "did you mean input_length?" in capsys.readouterr().err
    assert run_command(["monitor", "triage@3", *small]) == ExitCode.DATA
    assert "0 answers are captured" in capsys.readouterr().err


def test_a_shuffle_of_the_same_answers_is_no_alarm(tmp_path: Path) -> None:
    everything = rows(210, seed=5)
    random.Random(0).shuffle(everything)
    capture(tmp_path, "triage@1", everything)
    assert not watch(tmp_path, no_registry, "triage@1", SMALL).report.alarm
