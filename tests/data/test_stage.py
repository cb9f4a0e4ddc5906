"""The stage as a whole: what it keeps, what it drops, what it counts and what it writes."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.core.context import CallContext
from pipeline.core.digests import DigestCache
from pipeline.core.errors import Cancelled, DataError, HoneError
from pipeline.core.workspace import content_digest, list_files
from pipeline.data.stage import run
from schemas.base import Reference
from schemas.data import DataConfig, DataFiles, DataInputs
from schemas.preflight import PreflightConfig
from tests.data.support import Outcome, pairs, run_stage, sentence, write_rows
from tests.support.stored import workspace

FLAWED = st.lists(
    st.one_of(
        st.fixed_dictionaries(
            {"prompt": st.integers(0, 12).map(sentence), "completion": st.sampled_from(["yes", "no"])}
        ),
        st.just({"prompt": "write to ada@example.org", "completion": "no"}),
        st.sampled_from([{"prompt": ""}, {"prompt": "x", "completion": 3}, {"completion": "x"}]),
    ),
    max_size=40,
)


def kept_and_dropped(outcome: Outcome) -> tuple[int, int]:
    return sum(outcome.artifact.rows.values()), sum(drop.count for drop in outcome.artifact.dropped)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=FLAWED,
    personal=st.sampled_from(["off", "report", "redact", "drop"]),
    contradictions=st.sampled_from(["drop", "keep"]),
    near=st.sampled_from(["drop", "keep"]),
    by=st.sampled_from(["random", "cluster"]),
    max_rows=st.none() | st.integers(10, 30),
)
def test_no_row_is_lost(
    tmp_path: Path,
    rows: list[dict[str, Any]],
    personal: str,
    contradictions: str,
    near: str,
    by: str,
    max_rows: int | None,
) -> None:
    """Every row read is kept in one split, or set aside once with a reason."""
    good = [{"prompt": sentence(100 + index), "completion": "good"} for index in range(10)]
    outcome = run_stage(
        tmp_path,
        [*good, *rows],
        bad_rows={"action": "drop", "cap": 1.0},
        personal_data={"action": personal},
        contradictions=contradictions,
        deduplicate={"near_action": near},
        split={"by": by, "validation": 0.0, "test": 0.2},
        max_rows=max_rows,
    )
    kept, dropped = kept_and_dropped(outcome)
    assert kept + dropped == outcome.artifact.read == 10 + len(rows)
    places = [example.row for example in outcome.all_examples()] + [entry["row"] for entry in outcome.dropped]
    assert sorted(places) == list(range(1, 11 + len(rows)))
    ids = [example.id for example in outcome.all_examples()]
    assert len(set(ids)) == len(ids) or near == "keep" or by == "random"
    if by == "cluster":
        clusters = [{example.cluster for example in outcome.examples(split)} for split in ("train", "test")]
        assert not clusters[0] & clusters[1]
        assert not any(example.near_train for example in outcome.all_examples())


def test_the_same_bytes_whatever_the_place_and_the_time(tmp_path: Path) -> None:
    rows = [*pairs(40, answers=4), {"prompt": "x"}, *pairs(3, answers=4)]
    first = run_stage(tmp_path, write_rows(tmp_path / "a.jsonl", rows), bad_rows={"action": "drop", "cap": 0.1})
    second = run_stage(tmp_path, write_rows(tmp_path / "b" / "c.jsonl", rows), bad_rows={"action": "drop", "cap": 0.1})
    assert content_digest(list_files(first.folder)) == content_digest(list_files(second.folder))
    assert first.artifact == second.artifact
    other = run_stage(tmp_path, tmp_path / "a.jsonl", bad_rows={"action": "drop", "cap": 0.1}, split={"seed": 1})
    assert [row.id for row in other.examples("test")] != [row.id for row in first.examples("test")]


def test_every_reason_is_counted_and_set_aside(tmp_path: Path) -> None:
    long = sentence(50, 12)
    rows = [
        *pairs(20),
        {"prompt": sentence(3), "completion": "answer 3"},  # row 21: copy of row 4
        {"prompt": sentence(60), "completion": "one"},  # rows 22 and 23 contradict each other
        {"prompt": sentence(60), "completion": "two"},
        {"prompt": long, "completion": "same"},
        {"prompt": f"{long} now", "completion": "same"},  # row 25: near-duplicate of row 24
        {"prompt": "", "completion": "x"},  # row 26: bad
        {"prompt": f"mail ada@example.org {sentence(70)}", "completion": "x"},  # row 27: personal data
    ]
    outcome = run_stage(tmp_path, rows, bad_rows={"action": "drop", "cap": 0.1}, personal_data={"action": "drop"})
    dropped = [(drop.reason, drop.count, drop.examples) for drop in outcome.artifact.dropped]
    assert dropped == [
        ("bad_row", 1, (26,)),
        ("personal_data", 1, (27,)),
        ("contradiction", 2, (22, 23)),
        ("exact_duplicate", 1, (21,)),
        ("near_duplicate", 1, (25,)),
    ]
    by_row = {entry["row"]: entry for entry in outcome.dropped}
    assert by_row[21]["copy_of"] == 4
    assert by_row[25] == {
        "source": "train",
        "row": 25,
        "reason": "near_duplicate",
        "detail": "similarity 0.917",  # 11 of 12 bigrams
        "copy_of": 24,
        "content": {"messages": [{"role": "user", "content": f"{long} now"}, {"role": "assistant", "content": "same"}]},
    }
    assert by_row[26]["detail"] == "column 'prompt' is empty"
    assert by_row[22]["detail"] == "rows 22, 23"
    assert by_row[27]["content"]["messages"][0]["content"].startswith("mail [EMAIL] ")
    assert "| could not be used | 1 | 26 |" in outcome.card
    assert outcome.artifact.rows == {"train": 15, "validation": 2, "test": 4}  # of 21 rows: 2.1 and 4.2


def test_given_files_keep_their_rows_and_are_marked(tmp_path: Path) -> None:
    long = sentence(50, 12)
    train = [*pairs(20), {"prompt": long, "completion": "x"}]
    test = [
        {"prompt": sentence(2).upper() + "!", "completion": "answer 2"},  # copy of a training row
        {"prompt": f"{long} now", "completion": "y"},  # near-duplicate of another
        *pairs(1),
        *pairs(1),
        {"prompt": sentence(200), "completion": "z"},
    ]
    outcome = run_stage(tmp_path, train, test=test, split={"validation": 0.0}, decontaminate="report")
    assert outcome.artifact.rows == {"train": 21, "test": 5}
    tested = sorted(outcome.examples("test"), key=lambda row: row.row)
    assert [row.near_train for row in tested] == [True, True, True, True, False]
    assert outcome.artifact.leaked == {"test": 3}
    assert outcome.artifact.near_train_test_rows == 4
    assert [row.row for row in tested] == [1, 2, 3, 4, 5]
    first, second = tested[2:4]
    assert (first.cluster, first.id[:-2]) == (second.cluster, second.id[:-2])
    assert (first.id[-2:], second.id[-2:]) == ("-1", "-2")
    assert "3 rows of test have the same words as a training row" in outcome.warnings


def test_a_training_row_that_is_tested_goes_and_the_test_row_stays(tmp_path: Path) -> None:
    train = [*pairs(20), {"prompt": sentence(2), "completion": "another answer"}, *pairs(31)[30:]]
    test = [{"prompt": sentence(1).upper() + "!", "completion": "x"}, *pairs(32)[30:]]
    outcome = run_stage(
        tmp_path,
        train,
        validation=[{"prompt": sentence(2), "completion": "y"}],
        test=test,
        contradictions="keep",
        deduplicate={"near": False},
    )
    assert outcome.artifact.rows == {"train": 18, "validation": 1, "test": 3}
    assert outcome.artifact.leaked == {"validation": 0, "test": 0}
    assert [(drop.reason, drop.count, drop.examples) for drop in outcome.artifact.dropped] == [
        ("contamination", 4, (2, 3, 21, 22))
    ]
    assert [entry["detail"] for entry in outcome.dropped] == [
        "row 1 of test asks the same",
        "row 1 of validation asks the same",
        "row 1 of validation asks the same",
        "row 2 of test asks the same",
    ]
    told = "2 training rows ask what a row of test asks and are removed; set data.decontaminate to report to train on"
    assert any(text.startswith(told) for text in outcome.warnings)
    assert "| same prompt as a validation or test row | 4 | 2, 3, 21, 22 |" in outcome.card


def test_rows_that_calculate_something_else_are_no_contamination(tmp_path: Path) -> None:
    train = [{"prompt": f"What is {index} + 4?", "completion": f"{index + 4}"} for index in range(20)]
    test = [{"prompt": f"what is {index} * 4", "completion": f"{index * 4}"} for index in range(20)]
    options: dict[str, Any] = {"split": {"validation": 0.0}, "deduplicate": {"near": False}}
    assert run_stage(tmp_path, train, test=test, **options).artifact.rows == {"train": 20, "test": 20}
    more = [*train, {"prompt": "What is 3 - -4", "completion": "7"}]
    same = [{"prompt": "what is 3  - -4 ?", "completion": "7"}]
    assert run_stage(tmp_path, more, test=same, **options).artifact.rows == {"train": 20, "test": 1}


def test_labels_are_kept_in_proportion(tmp_path: Path) -> None:
    rows = [{"text": sentence(index), "label": "rare" if index % 10 == 0 else "common"} for index in range(100)]
    outcome = run_stage(tmp_path, rows)
    assert outcome.artifact.labels == ("common", "rare")
    for split, common, rare in (("train", 63, 7), ("validation", 9, 1), ("test", 18, 2)):
        counts = Counter(row.label for row in outcome.examples(split))  # type: ignore[arg-type]
        assert counts == {"common": common, "rare": rare}
    assert "| `rare` | 7 | 1 | 2 |" in outcome.card


def test_a_label_of_one_row_may_train_where_nothing_is_cut(tmp_path: Path) -> None:
    rows = [{"text": sentence(index), "label": "rare" if index == 7 else "common"} for index in range(20)]
    outcome = run_stage(tmp_path, rows, split={"test": 0.0, "validation": 0.0})
    assert outcome.artifact.rows == {"train": 20}


def test_few_different_answers_are_labels_for_the_split_only(tmp_path: Path) -> None:
    outcome = run_stage(tmp_path, pairs(100, answers=4))
    assert outcome.artifact.labels is None
    assert Counter(row.label for row in outcome.examples("test")) == {f"label {index}": 5 for index in range(4)}
    many = run_stage(tmp_path, pairs(100, answers=11))  # more than a tenth of the rows
    assert {row.label for row in many.all_examples()} == {None}


def test_declared_labels_are_the_labels(tmp_path: Path) -> None:
    rows = pairs(40, answers=2)
    outcome = run_stage(tmp_path, rows, labels=["label 1", "label 0", "label 9"])
    assert outcome.artifact.labels == ("label 1", "label 0", "label 9")
    assert {row.label for row in outcome.all_examples()} == {"label 0", "label 1"}
    with pytest.raises(DataError, match="'label 1' is no declared label; the nearest is 'label 0'"):
        run_stage(tmp_path, rows, labels=["label 0"])


def test_groups_stay_in_one_split(tmp_path: Path) -> None:
    rows = [{**row, "group": f"g{index % 12}"} for index, row in enumerate(pairs(60))]
    outcome = run_stage(tmp_path, rows, split={"by": "group"})
    group_of = {index + 1: f"g{index % 12}" for index in range(60)}
    found = [{group_of[row.row] for row in outcome.examples(split)} for split in ("train", "validation", "test")]
    assert not found[0] & found[1] | found[0] & found[2] | found[1] & found[2]
    assert outcome.artifact.rows == {"train": 45, "validation": 5, "test": 10}  # groups of 5: 6 and 12 rows wanted
    clusters = {(group_of[row.row], row.cluster) for row in outcome.all_examples()}
    assert outcome.artifact.clusters == len(clusters) == len({cluster for _, cluster in clusters}) == 12


def test_a_declared_group_is_one_cluster_however_rows_are_split(tmp_path: Path) -> None:
    rows = [{**row, "doc": f"d{index % 4}"} for index, row in enumerate(pairs(60))]
    outcome = run_stage(tmp_path, rows, columns={"group": "doc"}, preflight=PreflightConfig())
    assert outcome.artifact.clusters == 4
    tested = {(row.row % 4, row.cluster) for row in outcome.examples("test")}
    assert len(tested) == len({cluster for _, cluster in tested}) <= 4
    (told,) = (one for one in outcome.artifact.findings if one.code == "test_group_in_training" and one.split == "test")
    assert told.count == outcome.artifact.rows["test"] > 4
    assert any("test_group_in_training" in warning for warning in outcome.warnings)


def test_a_random_split_may_leak_and_says_so(tmp_path: Path) -> None:
    long = [sentence(index, 12) for index in range(40)]
    rows = [{"prompt": text, "completion": f"{index}"} for index, text in enumerate(long)]
    rows += [{"prompt": f"{text} now", "completion": f"{index}"} for index, text in enumerate(long)]
    kept = run_stage(tmp_path, rows, split={"by": "random"}, deduplicate={"near_action": "keep"})
    assert kept.artifact.near_train_test_rows > 0
    assert any("near-duplicate among the training rows" in warning for warning in kept.warnings)
    whole = run_stage(tmp_path, rows, split={"by": "cluster"}, deduplicate={"near_action": "keep"})
    assert whole.artifact.near_train_test_rows == 0
    assert whole.artifact.clusters == 40


def test_personal_data_is_counted_also_in_answers(tmp_path: Path) -> None:
    rows = [*pairs(20), {"prompt": f"I am ada@example.org, {sentence(90)}", "completion": "write to bob@example.org"}]
    redacted = run_stage(tmp_path, rows, personal_data={"answers": "redact"})
    assert redacted.artifact.personal_data == {"email": 2}
    text = "".join((redacted.folder / path).read_text() for path in redacted.artifact.files.values())
    assert "@" not in text
    assert "write to [EMAIL]" in text
    assert "1 of these were in answers" in redacted.card
    reported = run_stage(tmp_path, rows, personal_data={"action": "report"})
    assert reported.artifact.personal_data == {"email": 2}
    assert any("bob@example.org" in row.answer for row in reported.all_examples())
    off = run_stage(tmp_path, rows, personal_data={"action": "off"})
    assert off.artifact.personal_data == {}
    some = run_stage(tmp_path, rows, personal_data={"kinds": ["iban"]})
    assert some.artifact.personal_data == {}


def test_personal_data_is_not_set_aside_either(tmp_path: Path) -> None:
    rows = [*pairs(20), {"prompt": "ada@example.org", "completion": ""}, {"prompt": "mail ada@example.org"}]
    outcome = run_stage(tmp_path, rows, bad_rows={"action": "drop", "cap": 0.5})
    assert "[EMAIL]" in (outcome.folder / "dropped.jsonl").read_text()
    assert "ada@" not in (outcome.folder / "dropped.jsonl").read_text()


def test_contradictions_may_be_kept_or_stop(tmp_path: Path) -> None:
    rows = [*pairs(20), {"prompt": sentence(3), "completion": "other"}]
    kept = run_stage(tmp_path, rows, contradictions="keep")
    assert kept_and_dropped(kept) == (21, 0)
    assert kept.artifact.conflicting_near_duplicates == 2
    assert any("2 rows share 1 prompts with different answers; they are kept: rows 4, 21" in w for w in kept.warnings)
    with pytest.raises(DataError, match=r"data.contradictions: 2 rows share 1 prompts .*: rows 4, 21"):
        run_stage(tmp_path, rows, contradictions="stop")


def test_the_first_ten_contradicting_rows_are_named(tmp_path: Path) -> None:
    rows = [*pairs(20), *({"prompt": sentence(3), "completion": f"other {number}"} for number in range(30))]
    kept = run_stage(tmp_path, rows, contradictions="keep")
    # row 4 and rows 21 to 50
    named = "31 rows share 1 prompts with different answers; they are kept: rows 4, 21, 22, 23, 24, 25, 26, 27, 28, 29"
    assert any(warning == f"{named} and 21 more" for warning in kept.warnings)


def test_a_draw_of_the_training_rows(tmp_path: Path) -> None:
    outcome = run_stage(tmp_path, pairs(60), test=pairs(70)[60:], max_rows=20, split={"validation": 0.0})
    assert outcome.artifact.rows == {"train": 20, "test": 10}
    assert [drop.reason for drop in outcome.artifact.dropped] == ["over_max_rows"]
    drawn = [row.row for row in outcome.examples("train")]
    assert drawn == sorted(drawn) != list(range(1, 21))
    other = run_stage(tmp_path, pairs(60), max_rows=20, split={"seed": 9})
    assert {row.row for row in other.all_examples()} != set(drawn)


def test_a_larger_draw_holds_the_smaller(tmp_path: Path) -> None:
    draws = [{row.row for row in run_stage(tmp_path, pairs(60), max_rows=count).all_examples()} for count in (20, 40)]
    assert draws[0] < draws[1]


def test_a_file_that_grows_keeps_its_test_rows(tmp_path: Path) -> None:
    before = run_stage(tmp_path, pairs(300, answers=3))
    after = run_stage(tmp_path, pairs(330, answers=3)[::-1])  # in another order, too
    trained = {row.messages for row in before.examples("train")}
    assert len(after.examples("test")) == 66
    assert not trained & {row.messages for row in after.examples("test")}
    tested = {row.messages for row in before.examples("test")}
    assert len(tested & {row.messages for row in after.examples("test")}) >= 0.9 * len(tested)


def test_the_first_rows_of_a_sorted_test_file_show_every_label(tmp_path: Path) -> None:
    test = [{"text": sentence(100 + index), "label": f"l{index // 25}"} for index in range(100)]
    train = [{"text": sentence(index), "label": f"l{index % 4}"} for index in range(40)]
    outcome = run_stage(tmp_path, train, test=test, split={"validation": 0.0})
    assert {row.label for row in outcome.examples("test")[:20]} == {"l0", "l1", "l2", "l3"}
    again = run_stage(tmp_path, train, test=test[::-1], split={"validation": 0.0})
    assert [row.id for row in again.examples("test")] == [row.id for row in outcome.examples("test")]
    rows = [row.row for row in outcome.examples("train")]
    assert rows == sorted(rows)


def test_an_id_does_not_depend_on_other_rows(tmp_path: Path) -> None:
    alone = {row.messages: row.id for row in run_stage(tmp_path, pairs(20)).all_examples()}
    among = {row.messages: row.id for row in run_stage(tmp_path, pairs(40)[::-1]).all_examples()}
    assert alone.items() <= among.items()


def test_tools_belong_to_the_id(tmp_path: Path) -> None:
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    rows = [{"messages": turns, "tools": [{"name": name}]} for name in ("f", "g")]
    whole = {"test": 0.0, "validation": 0.0}
    outcome = run_stage(tmp_path, rows, split=whole, deduplicate={"near": False})
    assert len({row.id[:-2] for row in outcome.all_examples()}) == 2


def test_preferences_and_texts(tmp_path: Path) -> None:
    rows = [{"prompt": sentence(index), "chosen": f"good {index}", "rejected": f"bad {index}"} for index in range(20)]
    outcome = run_stage(tmp_path, rows)
    assert outcome.artifact.kind == "preference"
    example = outcome.examples("train")[0]
    assert [turn.role for turn in example.messages] == ["user"]
    assert example.chosen[0].content.startswith("good")
    texts = run_stage(tmp_path, [{"text": sentence(index)} for index in range(20)])
    assert texts.artifact.kind == "text"
    assert all(row.text and not row.messages for row in texts.all_examples())


def test_files_of_different_kinds_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="train holds conversation rows, test holds text rows"):
        run_stage(tmp_path, pairs(10), test=[{"text": "a"}])


def test_the_system_turn_opens_every_conversation(tmp_path: Path) -> None:
    outcome = run_stage(tmp_path, pairs(10), system="be brief")
    assert all(row.messages[0].content == "be brief" for row in outcome.all_examples())
    other = run_stage(tmp_path, pairs(10), system="be long")
    assert other.artifact.template_digest != outcome.artifact.template_digest


def test_what_nothing_reads_is_told(tmp_path: Path) -> None:
    rows = [
        {
            "messages": [
                {"role": "user", "content": sentence(index), "mood": "good"},
                {"role": "assistant", "content": f"{index}"},
            ],
            "source": "x",
        }
        for index in range(10)
    ]
    outcome = run_stage(tmp_path, rows)
    assert "turns of train have keys that nothing reads: mood (10)" in outcome.warnings
    assert "Not read: `source`." in outcome.card
    assert not any("hold text" in warning for warning in outcome.warnings)


def test_text_that_nothing_reads_is_told(tmp_path: Path) -> None:
    rows = [{**row, "passage": f"a passage to read {index}"} for index, row in enumerate(pairs(20))]
    told = "columns of train hold text that nothing reads: 'passage'; to use one, name it in data.columns or write it"
    assert any(warning.startswith(told) for warning in run_stage(tmp_path, rows).warnings)
    read = run_stage(tmp_path, rows, prompt_template="{{ passage }}: {{ prompt }}")
    assert not any("hold text" in warning for warning in read.warnings)
    assert "Not read" not in read.card


def test_a_label_that_is_tested_and_never_trained_is_told(tmp_path: Path) -> None:
    rows = [{"text": sentence(index), "label": f"l{index % 2}"} for index in range(20)]
    outcome = run_stage(tmp_path, rows, test=[{"text": sentence(99), "label": "l7"}])
    assert "labels of test without a training row: 'l7'" in outcome.warnings


def test_the_card_loads_as_a_data_set(tmp_path: Path) -> None:
    import yaml

    outcome = run_stage(tmp_path, pairs(30))
    front = yaml.safe_load(outcome.card.split("---\n")[1])
    files = front["configs"][0]["data_files"]
    assert [(file["split"], file["path"]) for file in files] == [
        (split, f"{split}.jsonl") for split in ("train", "validation", "test")
    ]
    for file in files:
        assert (outcome.folder / file["path"]).is_file()
    assert all(json.loads(line) for line in (outcome.folder / "train.jsonl").read_text().splitlines())


def test_progress_covers_every_long_step(tmp_path: Path) -> None:
    outcome = run_stage(tmp_path, pairs(30))
    last = {str(event.data["label"]): event.data for event in outcome.events if event.kind == "progress"}
    assert list(last) == ["reading train", "personal data", "near-duplicates", "writing"]
    assert all(bar["done"] == bar["total"] for bar in last.values())


def test_a_cancelled_call_stops(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "rows.jsonl", pairs(2000))
    config = DataConfig(files=DataFiles(train=Reference(location=str(path))))
    with pytest.raises(Cancelled):
        run(config, DataInputs(), CallContext(cancelled=lambda: True), workspace(tmp_path / "work"))


def test_the_source_digest_is_of_the_content(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "rows.jsonl", pairs(20))
    unresolved = run_stage(tmp_path, path)
    resolved = run_stage(tmp_path, path, digest=DigestCache(None).digest(path))
    assert unresolved.artifact.source_digest == resolved.artifact.source_digest
    write_rows(path, pairs(21))
    assert run_stage(tmp_path, path).artifact.source_digest != resolved.artifact.source_digest


def test_errors_are_of_the_tree(tmp_path: Path) -> None:
    with pytest.raises(HoneError) as caught:
        run_stage(tmp_path, tmp_path / "missing.jsonl")
    assert caught.value.record().code == "source"


def test_unpaired_preferences(tmp_path: Path) -> None:
    rows = [{"prompt": sentence(n // 2), "completion": f"answer {n}", "label": n % 2 == 0} for n in range(40)]
    outcome = run_stage(tmp_path, rows, format="unpaired", preflight=PreflightConfig())
    assert outcome.artifact.kind == "unpaired"
    assert {found.code for found in outcome.artifact.findings} <= {"few_rows"}
    kept = outcome.all_examples()
    assert len(kept) == 40
    assert all(row.desirable == (int(row.answer.split()[1]) % 2 == 0) for row in kept)
    # both answers to a prompt are in one split
    where = {split: {row.messages[0].content for row in outcome.examples(split)} for split in outcome.artifact.files}
    assert sum(map(len, where.values())) == 20


def test_verdicts_that_are_out_of_balance_are_said(tmp_path: Path) -> None:
    rows = [{"prompt": sentence(n), "completion": "yes", "label": n >= 5} for n in range(60)]
    split = {"test": 0.0, "validation": 0.0}
    found = run_stage(tmp_path, rows, format="unpaired", split=split, preflight=PreflightConfig()).artifact.findings
    (one,) = (one for one in found if one.code == "unpaired_unbalanced")
    assert (one.severity, one.detail) == ("warning", "55 desirable and 5 undesirable answers")
