from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from pipeline.core.context import CallContext
from pipeline.core.digests import DigestCache
from pipeline.core.errors import ConfigError, DataError, EngineError, IntegrityError
from pipeline.evaluate.judge.pairs import pair_predictions
from pipeline.evaluate.judge.stage import run, self_preference
from pipeline.execute import execute
from pipeline.statistics import cohen_kappa, exact_mcnemar
from schemas.artifacts import CallResult, StageCall, Stored
from schemas.base import Reference
from schemas.evaluate import EvaluateArtifact, ModelSubject, Score
from schemas.events import Event
from schemas.judge import JudgeArtifact, JudgeConfig, JudgeInputs
from tests.support.committed import commit
from tests.support.judge_server import ANSWER_TOKENS, PROMPT_TOKENS, JudgeServer, judge_server
from tests.support.stored import stored, workspace

Rows = Sequence[tuple[str, str, str]]
"""Question, the candidate's answer, the baseline's."""

PLANTED: Rows = [
    *(("plain", "good <9>", "poor <2>") for _ in range(37)),
    ("<busy>", "good <9>", "poor <2>"),
    ("<busy> again", "good <9>", "poor <2>"),
    ("<slow>", "good <9>", "poor <2>"),
    *(("plain", "poor <2>", "good <9>") for _ in range(20)),
    *(("close", "fair <5>", "fair <6>") for _ in range(12)),
    *(("even", "same <even> 1", "same <even> 2") for _ in range(8)),
    *(("length", "short and <long>er than the other", "short <long>") for _ in range(7)),
    *(("length", "short <long>", "short and <long>er than the other") for _ in range(3)),
    *(("copied", "the same <4>", "the same <4>") for _ in range(6)),
    *(("<garbled>", "good <9>", "poor <2>") for _ in range(4)),
    *(("<mute>", "good <9>", "poor <2>") for _ in range(3)),
]
"""By hand: 40 + 7 + 4 items won, 20 + 3 lost, 12 + 8 + 6 tied, 3 without a verdict."""


def evaluation(directory: Path, rows: Rows, side: int, clusters: Sequence[int]) -> Stored[EvaluateArtifact]:
    directory.mkdir(parents=True)
    table = {
        "id": [f"item-{place}" for place in range(len(rows))],
        "cluster": list(clusters),
        "prompt": [f"{row[0]} {place}" for place, row in enumerate(rows)],
        "reference": ["expected"] * len(rows),
        "answer": [row[side] for row in rows],
    }
    parquet.write_table(pa.table(table), directory / "items.parquet")
    artifact = EvaluateArtifact(
        name="model", subject=ModelSubject(), split="test", n=len(rows), data_digest="split", engine="transformers",
        scores={"exact_match": Score(value=0.5, low=0.4, high=0.6, n=len(rows), method="Wilson")}, slices={},
        confusions=(), truncated=0, prompt_tokens=1, completion_tokens=1,
    )  # fmt: skip
    return stored("evaluate", directory, artifact)


def inputs(directory: Path, rows: Rows, clusters: Sequence[int] | None = None) -> JudgeInputs:
    chosen = clusters or range(len(rows))
    return JudgeInputs(
        candidate=evaluation(directory / "ours", rows, 1, chosen),
        baseline=evaluation(directory / "theirs", rows, 2, chosen),
    )


def config(server: JudgeServer, **changes: Any) -> JudgeConfig:
    told: dict[str, Any] = {
        "base_url": server.url, "model": "judge-1", "candidate": "merged", "baseline": "base", "resamples": 1000,
        "related": ("org/tiny", "triage"), **changes,
    }  # fmt: skip
    return JudgeConfig.model_validate(told)


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[JudgeArtifact, Path, JudgeServer, list[Event]]]:
    place, events = tmp_path_factory.mktemp("planted"), []
    with judge_server() as server:
        context = CallContext(sink=events.append)
        told = config(server, concurrency=6, timeout_seconds=1.0)
        made = run(told, inputs(place / "in", PLANTED), context, workspace(place / "work"))
        yield made, place / "work" / "output" / "judgements.parquet", server, events


def test_the_win_rate_is_what_was_planted(planted: Any) -> None:
    found = planted[0].preference
    assert (found.wins, found.losses, found.ties, found.n) == (51, 23, 26, 100)
    assert found.value == pytest.approx((51 + 26 / 2) / 100, abs=1e-12)
    assert found.p_value == pytest.approx(exact_mcnemar(51, 23), abs=1e-15)
    assert 0.5 < found.low < found.value < found.high < 1.0
    assert (planted[0].items, planted[0].identical, planted[0].unjudged) == (103, 6, 3)


def test_the_biases_are_what_was_planted(planted: Any) -> None:
    """Of 94 items that were asked about and judged 12 changed with the order, and took the first shown both times.

    The 74 that were decided alike show the preferred answer first once in two orders: 74 + 24 of 148 + 24.
    """
    biases = planted[0].biases
    assert (biases.inconsistent.value, biases.inconsistent.n) == (pytest.approx(12 / 94), 94)
    assert (biases.first_shown.value, biases.first_shown.n) == (pytest.approx(98 / 172), 172)
    assert (biases.longer.value, biases.longer.n) == (1.0, 10)
    assert biases.people_longer is None


def test_tokens_and_requests_are_counted(planted: Any) -> None:
    """97 items twice, and once more for the two orders of the 4 garbled and 3 mute ones; 429 and time-outs are free."""
    made, _, server, _ = planted
    assert made.requests == 97 * 2 + 7 * 2
    assert (made.prompt_tokens, made.completion_tokens) == (208 * PROMPT_TOKENS, 208 * ANSWER_TOKENS)
    # Two busy items and a slow one, in both orders; on a loaded machine others may be late as well.
    assert len(server.requests) >= 208 + 2 * 2 + 2
    late = [body for body in server.requests if "<slow>" in body["messages"][0]["content"]]
    assert len(late) >= 4
    assert server.most_together >= 2


def test_every_verdict_is_stored_with_its_order_and_reason(planted: Any) -> None:
    table = parquet.read_table(planted[1]).to_pylist()
    assert len(table) == 2 * 103
    close = [row for row in table if row["id"] == "item-60"]
    assert [(row["order"], row["verdict"], row["preferred"]) for row in close] == [
        ("first as A", "A", "win"),
        ("second as A", "A", "loss"),
    ]
    assert {row["outcome"] for row in close} == {"tie"}
    assert close[0]["reason"] == "by the rule" and json.loads(close[0]["raw"])["verdict"] == "A"
    mute = table[-1]
    assert (mute["verdict"], mute["outcome"], mute["requests"]) == (None, None, 2)
    copied = next(row for row in table if row["id"] == "item-90")
    assert (copied["outcome"], copied["raw"], copied["requests"]) == ("tie", None, None)


def test_missing_verdicts_are_told(planted: Any) -> None:
    warnings = [event.message for event in planted[3] if event.kind == "warning"]
    assert warnings == ["3 of 103 items (2.9%) have no readable verdict"]


def test_the_same_verdicts_give_the_same_bytes_and_paid_answers_are_kept(tmp_path: Path) -> None:
    rows = PLANTED[:40]
    given = inputs(tmp_path / "in", rows)
    with judge_server() as server:
        first = workspace(tmp_path / "first")
        run(config(server), given, CallContext(), first)
        asked = len(server.requests)
        again = workspace(tmp_path / "again")
        for kept in first.scratch.rglob("answers-*.json"):
            target = again.scratch / kept.relative_to(first.scratch)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(kept.read_bytes())
        run(config(server), given, CallContext(), again)
        assert len(server.requests) == asked
    made = [place.output / "judgements.parquet" for place in (first, again)]
    assert made[0].read_bytes() == made[1].read_bytes()


def test_nothing_is_asked_twice_and_the_key_is_in_no_file(tmp_path: Path) -> None:
    """As a run calls it: how many are asked at once, and for how long, makes no other artifact; a criterion does."""
    root, given = tmp_path / "workspace", inputs(tmp_path / "in", PLANTED[:6])
    assert given.candidate is not None and given.baseline is not None
    sides = {"candidate": commit(root, given.candidate), "baseline": commit(root, given.baseline)}

    def call(told: JudgeConfig) -> CallResult:
        made = StageCall(id="judge.best-baseline", stage="judge", config=told.model_dump(mode="json"), inputs=sides)
        return execute(made, root, CallContext(secrets={"JUDGE_API_KEY": "sk-right"}))

    with judge_server(key="sk-right") as server:
        usual = config(server, api_key_secret="JUDGE_API_KEY")
        first, asked = call(usual), len(server.requests)
        again = call(usual.model_copy(update={"concurrency": 1, "timeout_seconds": 9.0}))
        assert (first.status, again.status, again.ref, len(server.requests)) == ("done", "cached", first.ref, asked)
        other = call(usual.model_copy(update={"criteria": "Prefer the shorter."}))
        assert other.status == "done" and other.ref != first.ref and len(server.requests) == 2 * asked
    kept = b"".join(path.read_bytes() for path in root.rglob("*") if path.is_file())
    assert b"JUDGE_API_KEY" in kept and b"sk-right" not in kept


def test_near_duplicates_count_as_one(tmp_path: Path) -> None:
    rows = [("plain", "good <9>", "poor <2>")] * 27 + [("plain", "poor <2>", "good <9>")] * 3
    with judge_server() as server:
        alone = run(config(server), inputs(tmp_path / "a", rows), CallContext(), workspace(tmp_path / "aw")).preference
        clusters = [place // 3 for place in range(30)]
        joined = run(
            config(server), inputs(tmp_path / "b", rows, clusters), CallContext(), workspace(tmp_path / "bw")
        ).preference
    assert alone is not None and joined is not None
    assert (alone.clusters, joined.clusters, alone.value) == (None, 10, joined.value)
    # Nine clusters won and one lost: 2 (1 + 10) / 2^10.
    assert joined.p_value == pytest.approx(22 / 1024, abs=1e-12)
    assert alone.p_value < 1e-4 and joined.high - joined.low > alone.high - alone.low


def test_a_judge_that_is_under_test_is_warned_of(tmp_path: Path) -> None:
    events: list[Event] = []
    with judge_server() as server:
        told = config(server, model="Tiny")
        made = run(
            told, inputs(tmp_path / "in", PLANTED[:4]), CallContext(sink=events.append), workspace(tmp_path / "w")
        )
    assert made.self_preference == "org/tiny"
    assert any("is org/tiny, which is under test" in event.message for event in events if event.kind == "warning")
    assert self_preference(told.model_copy(update={"model": "other/tiny-2"})) is None
    assert self_preference(told.model_copy(update={"model": "vendor/TRIAGE:latest"})) == "triage"


def test_a_template_of_the_users_own_is_used_and_digested(tmp_path: Path) -> None:
    path = tmp_path / "mine.txt"
    path.write_text("{{ question }}\n<answer_A>\n{{ answer_a }}\n</answer_A>\n<answer_B>\n{{ answer_b }}\n</answer_B>")
    own = Reference(location=str(path), digest=DigestCache(None).digest(path))
    given = inputs(tmp_path / "in", PLANTED[:3])
    with judge_server() as server:
        made = run(config(server, template=own), given, CallContext(), workspace(tmp_path / "w"))
        sent = server.requests[0]["messages"][0]["content"]
        usual = run(config(server), given, CallContext(), workspace(tmp_path / "w2"))
        shown = run(config(server, show_reference=True, ties=False), given, CallContext(), workspace(tmp_path / "w3"))
        with_reference = server.requests[-1]["messages"][0]["content"]
    assert re.match(r"plain \d\n<answer_A>\n(good <9>|poor <2>)\n", sent)
    assert made.template_digest != usual.template_digest == shown.template_digest
    assert "<expected_answer>\nexpected\n" in with_reference and '"tie"' not in with_reference


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{{ question }} {{ answer_a }}", "does not show answer_b"),
        ("{{ question }} {{ answer_a }} {{ answer_b }} {{ secret }}", "names 'secret'"),
        ("{{ question", "not a template"),
    ],
)
def test_a_template_that_cannot_judge_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "mine.txt"
    path.write_text(text)
    told = JudgeConfig(base_url="http://127.0.0.1:9", model="m", template=Reference(location=str(path)))
    with pytest.raises(ConfigError, match=message):
        run(told, inputs(tmp_path / "in", PLANTED[:2]), CallContext(), workspace(tmp_path / "w"))


def test_a_judge_that_never_gives_a_verdict_ends_the_stage(tmp_path: Path) -> None:
    rows = [("<mute>", "good <9>", "poor <2>")] * 2
    with judge_server() as server, pytest.raises(EngineError, match="no reply of the judge holds a verdict"):
        run(config(server), inputs(tmp_path / "in", rows), CallContext(), workspace(tmp_path / "w"))


def test_the_key_is_a_secret_by_name_and_never_shown(tmp_path: Path) -> None:
    given = inputs(tmp_path / "in", PLANTED[:2])
    with judge_server(key="sk-right") as server:
        told = config(server, api_key_secret="JUDGE_API_KEY")
        context = CallContext(secrets={"JUDGE_API_KEY": "sk-right"})
        made = run(told, given, context, workspace(tmp_path / "w"))
        assert set(server.keys) == {"Bearer sk-right"} and "sk-right" not in made.model_dump_json()
        with pytest.raises(ConfigError) as refused:
            wrong = CallContext(secrets={"JUDGE_API_KEY": "sk-wrong"})
            run(told, given, wrong, workspace(tmp_path / "w2"))
        assert "sk-wrong" not in str(refused.value) and "check the value of JUDGE_API_KEY" in str(refused.value)
        with pytest.raises(ConfigError, match=r"evaluate\.judge\.api_key_secret"):
            run(config(server), given, CallContext(), workspace(tmp_path / "w3"))


def test_other_items_are_refused(tmp_path: Path) -> None:
    one, other = inputs(tmp_path / "a", PLANTED[:3]), inputs(tmp_path / "b", PLANTED[40:43])
    mixed = JudgeInputs(candidate=one.candidate, baseline=other.baseline)
    assert mixed.baseline is not None
    path = mixed.baseline.path / "items.parquet"
    table = parquet.read_table(path)
    parquet.write_table(table.set_column(0, "id", pa.array(["x", "y", "z"])), path)
    told = JudgeConfig(base_url="http://127.0.0.1:9", model="m")
    with pytest.raises(IntegrityError, match="answer different items"):
        run(told, mixed, CallContext(), workspace(tmp_path / "w"))


def test_agreement_with_people_is_what_was_planted(tmp_path: Path) -> None:
    """People prefer the first of 20 and the second of 20 pairs; the judge says the other of each fifth, and ties four.

    By hand: same 28 of 40. Shares of people: 1/2, 1/2, 0; of the judge: 18, 18, 4 of 40: by chance 0.45.
    """
    rows = []
    for place in range(40):
        label = 1 + place % 2
        better, worse = ("good <9>", "poor <2>") if place % 5 else ("poor <2>", "good <9>")
        first, second = (better, worse) if label == 1 else (worse, better)
        if place in (1, 2, 3, 4):
            first, second = "same <even> 1", "same <even> 2"
        rows.append({"input": f"q{place}", "output_1": first, "output_2": second, "label": label})
    path = tmp_path / "labels.json"
    path.write_text(json.dumps(rows))
    labels = Reference(location=str(path), digest=DigestCache(None).digest(path))
    with judge_server() as server:
        made = run(config(server, labels=labels), JudgeInputs(), CallContext(), workspace(tmp_path / "w"))
    found = made.agreement
    assert made.preference is None and found is not None and found.kappa is not None
    assert (found.same.value, found.n) == (pytest.approx(28 / 40), 40)
    assert found.kappa.value == pytest.approx((0.7 - 0.45) / 0.55, abs=1e-12)
    assert found.kappa.low < found.kappa.value < found.kappa.high


def test_a_bad_label_is_named_by_its_row(tmp_path: Path) -> None:
    path = tmp_path / "labels.jsonl"
    path.write_text('{"prompt": "q", "answer_a": "x", "answer_b": "y", "label": "left"}\n')
    told = JudgeConfig(base_url="http://127.0.0.1:9", model="m", labels=Reference(location=str(path)))
    with pytest.raises(DataError, match=r"labels\.jsonl, row 1.*'left'"):
        run(told, JudgeInputs(), CallContext(), workspace(tmp_path / "w"))


@pytest.mark.real_data
def test_agreement_on_llmbar_is_that_of_the_planted_errors(real_data: Path, tmp_path: Path) -> None:
    """The judge knows people's verdict on each pair of LLMBar's natural set, and contradicts every eighth."""
    folder = real_data / "llmbar" / "Dataset" / "LLMBar" / "Natural"
    rows = json.loads((folder / "dataset.json").read_text(encoding="utf-8"))
    liked = {}
    for place, row in enumerate(rows):
        right, wrong = (row["output_1"], row["output_2"]) if row["label"] == 1 else (row["output_2"], row["output_1"])
        liked[frozenset((right, wrong))] = wrong if place % 8 == 0 else right
    labels = Reference(location=str(folder), digest=DigestCache(None).digest(folder))
    with judge_server(lambda first, second: "A" if liked[frozenset((first, second))] == first else "B") as server:
        made = run(config(server, labels=labels), JudgeInputs(), CallContext(), workspace(tmp_path / "w"))
    people = [row["label"] for row in rows]
    said = [label if place % 8 else 3 - label for place, label in enumerate(people)]
    expected = cohen_kappa(people, said, resamples=1000)
    assert expected is not None and made.agreement is not None and made.agreement.kappa is not None
    assert (made.agreement.n, made.unjudged) == (100, 0)
    assert made.agreement.kappa.value == pytest.approx(expected.estimate, abs=1e-12)
    assert made.biases.inconsistent is not None and made.biases.inconsistent.value == 0.0
    assert made.biases.people_longer is not None


def test_no_more_are_asked_at_once_than_allowed(tmp_path: Path) -> None:
    rows = [("plain", "good <9>", "poor <2>")] * 20
    with judge_server() as server:
        run(config(server, concurrency=3), inputs(tmp_path / "in", rows), CallContext(), workspace(tmp_path / "w"))
        assert 2 <= server.most_together <= 3


def test_predictions_are_read_line_by_line_whatever_they_say(tmp_path: Path) -> None:
    """As `hone predict` writes them: characters that end a line elsewhere stand as they are; some editors add a BOM."""
    for name, said in (("a", "one\u2028two\x85three"), ("b", "four")):
        row = json.dumps({"prompt": "q", "prediction": said}, ensure_ascii=False)
        (tmp_path / f"{name}.jsonl").write_bytes(b"\xef\xbb\xbf" + f"{row}\r\n".encode())
    (pair,) = pair_predictions(tmp_path / "a.jsonl", tmp_path / "b.jsonl")
    assert (pair.first, pair.second) == ("one\u2028two\x85three", "four")


@pytest.mark.parametrize("text", ["[" * 100_000, '{"prompt":' * 100_000])
def test_predictions_nested_without_end_are_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(text)
    with pytest.raises(DataError, match="not JSON"):
        pair_predictions(path, path)
