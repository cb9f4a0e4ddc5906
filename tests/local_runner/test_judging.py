"""`hone judge` against a judge that speaks real HTTP; figures by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as parquet
import pytest

from local_runner.main import run_command
from schemas.errors import ExitCode
from tests.support.judge_server import by_marks, judge_server
from tests.support.run_fixture import RunFixture


def write(path: Path, answers: list[str]) -> Path:
    rows = [{"row": n, "prompt": f"q{n}", "prediction": answer} for n, answer in enumerate(answers, start=1)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_two_files_of_predictions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Twelve won, two lost, one tied by its copies, one by its marks: 13 of 16."""
    ours = write(tmp_path / "ours.jsonl", ["<9>"] * 12 + ["<1>"] * 2 + ["same <3>", "<even> a"])
    theirs = write(tmp_path / "theirs.jsonl", ["<2>"] * 12 + ["<7>"] * 2 + ["same <3>", "<even> b"])
    monkeypatch.setenv("HONE_SECRET_JUDGE", "sk-1")
    out, home = tmp_path / "judged.parquet", ["--workspace", str(tmp_path / ".hone")]
    with judge_server(key="sk-1") as server:
        told = ["--base-url", server.url, "--model", "judge-1", "--api-key-secret", "HONE_SECRET_JUDGE", *home]
        assert run_command(["judge", str(ours), str(theirs), *told, "--out", str(out), "--json"]) == ExitCode.OK
        found = json.loads(capsys.readouterr().out)
        assert run_command(["judge", str(ours), str(theirs), *told, "--out", str(out)]) == ExitCode.OK
        text = capsys.readouterr().out
    preference = found["preference"]
    assert (preference["wins"], preference["ties"], preference["losses"]) == (12, 2, 2)
    assert preference["value"] == pytest.approx(13 / 16)
    assert found["requests"] == 2 * 15
    assert "in 81.2% of 16 items, a tie counting half" in text and "won 12, tied 2, lost 2" in text
    assert parquet.read_table(out).num_rows == 32
    assert not list((tmp_path / ".hone" / "work").rglob("answers-*.json"))


def test_a_judge_without_verdicts_is_asked_again_by_the_next_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ours, theirs = write(tmp_path / "ours.jsonl", ["<9> a"]), write(tmp_path / "theirs.jsonl", ["<2> b"])
    with judge_server(lambda _first, _second: "neither") as server:
        told = ["judge", str(ours), str(theirs), "--base-url", server.url, "--model", "judge-1", "--json"]
        told += ["--workspace", str(tmp_path / ".hone"), "--out", str(tmp_path / "judged.parquet")]
        assert run_command(told) == ExitCode.STAGE_FAILED
        assert "no reply of the judge holds a verdict" in json.loads(capsys.readouterr().out)["error"]["message"]
        server.rule = by_marks
        assert run_command(told) == ExitCode.OK
    assert json.loads(capsys.readouterr().out)["preference"]["wins"] == 1


def test_two_runs_and_what_cannot_be_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fixture = RunFixture(tmp_path / ".hone")
    run = fixture.build()
    file = write(tmp_path / "ours.jsonl", ["x"])
    common = [
        "--model",
        "judge-1",
        "--workspace",
        str(tmp_path / ".hone"),
        "--out",
        str(tmp_path / "j.parquet"),
        "--json",
    ]
    with judge_server(lambda _first, _second: "A") as server:
        assert run_command(["judge", run, "triage", "--base-url", server.url, *common]) == ExitCode.OK
        found = json.loads(capsys.readouterr().out)
        assert (found["items"], found["identical"], server.requests) == (20, 20, [])
        for pair, said in (((str(file), run), "one is a file"), (("nobody", run), "no such run")):
            assert run_command(["judge", *pair, "--base-url", server.url, *common]) == ExitCode.CONFIG
            assert said in json.loads(capsys.readouterr().out)["error"]["message"]
    assert found["preference"]["value"] == 0.5
