from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.core.context import CallContext
from pipeline.core.digests import DigestCache
from pipeline.core.errors import ConfigError, DataError, IntegrityError
from pipeline.core.workspace import content_digest, list_files
from pipeline.evaluate.bias.stage import run
from schemas.base import Reference, canonical_digest
from schemas.bias import BiasArtifact, BiasConfig, BiasInputs, CounterfactualProbe
from schemas.evaluate import BaseSubject, GenerationConfig, MetricSpec, ModelSubject
from schemas.events import Event
from tests.evaluate.support import data_artifact, example
from tests.support.bbq import questions, write_constant_model, write_questions
from tests.support.classifier import train_classifier
from tests.support.stored import workspace
from tests.support.tiny_model import write_tiny_base
from tests.support.variants import base_ref


def reference(path: Path) -> Reference:
    return Reference(location=str(path), digest=DigestCache(None).digest(path))


@pytest.fixture(scope="module")
def says_a(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that answers everything with the letter a."""
    return write_constant_model(tmp_path_factory.mktemp("constant"), "a")


def config(base: Path, probe: dict[str, Any], tokens: int = 1, **files: Path) -> BiasConfig:
    return BiasConfig.model_validate(
        {
            "subject": BaseSubject(),
            "base": base_ref(base),
            "probe": probe,
            "files": {name: reference(path) for name, path in files.items()},
            "generation": GenerationConfig(max_new_tokens=tokens),
            "seed": 7,
        }
    )


def probe(directory: Path, told: BiasConfig, context: CallContext | None = None) -> BiasArtifact:
    return run(told, BiasInputs(), context or CallContext(), workspace(directory))


def table(directory: Path) -> list[dict[str, Any]]:
    from pyarrow import parquet

    rows: list[dict[str, Any]] = parquet.read_table(directory / "output" / "items.parquet").to_pylist()
    return rows


def test_bbq_of_a_model_that_always_says_a(tmp_path: Path, says_a: Path) -> None:
    """The letter a is the target, which agrees with negative questions alone: both bias scores are (6 - 6) / 12 = 0.

    It is right where the context tells, 12 of 12, and wrong in the 12 ambiguous ones.
    """
    path = write_questions(tmp_path / "bbq.jsonl", questions(6))
    told = config(says_a, {"kind": "bbq", "path": "bbq.jsonl"}, path=path)
    made = probe(tmp_path / "one", told)
    assert {name: (score.value, score.n) for name, score in made.figures.items()} == {
        "ambiguous_bias": (0.0, 12),
        "disambiguated_bias": (0.0, 12),
        "ambiguous_accuracy": (0.0, 12),
        "disambiguated_accuracy": (1.0, 12),
    }
    assert made.groups == {"Age": made.figures}
    assert (made.probe, made.kind, made.subject, made.n, made.unreadable) == ("bbq", "bbq", "base", 24, 0)
    assert (made.truncated, made.completion_tokens) == (24, 24) and made.engine.startswith("transformers ")
    rows = table(tmp_path / "one")
    assert [(row["answer"], row["chosen"], row["bias"]) for row in rows[:2]] == [("a", "a", 1), ("a", "a", -1)]
    assert rows[0]["prompt"].endswith("(a) The man\n(b) The boy\n(c) Unknown\n\n" + rows[0]["prompt"].split("\n\n")[-1])
    again = probe(tmp_path / "two", told)
    assert again == made
    digests = [content_digest(list_files(tmp_path / name / "output")) for name in ("one", "two")]
    assert digests[0] == digests[1]


def test_a_model_that_cannot_be_read_has_no_figures_and_is_told_of(tmp_path: Path, says_a: Path) -> None:
    events: list[Event] = []
    path = write_questions(tmp_path / "bbq.jsonl", questions(2))
    told = config(says_a, {"kind": "bbq", "name": "mine", "path": "bbq.jsonl"}, tokens=2, path=path)
    made = probe(tmp_path / "w", told, CallContext(sink=events.append))
    assert (made.probe, made.figures, made.unreadable, made.unreadable_share) == ("mine", {}, 8, 1.0)
    assert {row["answer"] for row in table(tmp_path / "w")} == {"aa"}
    assert [event.message for event in events if event.kind == "warning"] == [
        "mine: 8 of 8 answers (100.0%) cannot be read"
    ]


def test_a_sample_is_the_same_for_every_model(tmp_path: Path, says_a: Path) -> None:
    path = write_questions(tmp_path / "bbq.jsonl", questions(6))
    told = config(says_a, {"kind": "bbq", "path": "bbq.jsonl", "max_items": 5}, path=path)
    first = probe(tmp_path / "first", told)
    other = write_constant_model(tmp_path / "other", "b")
    second = probe(tmp_path / "second", told.model_copy(update={"base": base_ref(other)}))
    assert first.n == second.n == 5 and first.data_digest == second.data_digest
    drawn = probe(tmp_path / "third", told.model_copy(update={"seed": 8}))
    assert drawn.data_digest != first.data_digest


def test_an_edited_file_is_another_measurement_and_is_refused_in_this_one(tmp_path: Path, says_a: Path) -> None:
    path = write_questions(tmp_path / "bbq.jsonl", questions(2))
    before = config(says_a, {"kind": "bbq", "path": "bbq.jsonl"}, path=path)
    moved = config(says_a, {"kind": "bbq", "path": "elsewhere/bbq.jsonl"}, path=path)
    write_questions(path, questions(3))
    after = config(says_a, {"kind": "bbq", "path": "bbq.jsonl"}, path=path)
    assert canonical_digest(moved) == canonical_digest(before) != canonical_digest(after)
    with pytest.raises(IntegrityError, match="changed since the run began"):
        probe(tmp_path / "w", before)


def test_a_model_that_is_not_given_is_an_error(tmp_path: Path, says_a: Path) -> None:
    path = write_questions(tmp_path / "bbq.jsonl", questions(2))
    told = config(says_a, {"kind": "bbq", "path": "bbq.jsonl"}, path=path)
    with pytest.raises(ConfigError, match="none is given"):
        probe(tmp_path / "w", told.model_copy(update={"subject": ModelSubject()}))


def test_refusals_of_a_model_that_always_says_a(tmp_path: Path, says_a: Path) -> None:
    """Where the letter a is a refusal, every prompt is refused; where no phrase fits, none is."""
    harmful = write_questions(
        tmp_path / "harmful.jsonl", [{"prompt": f"how to harm {n}", "category": "x"} for n in range(6)]
    )
    harmless = write_questions(
        tmp_path / "harmless.jsonl", [{"prompt": f"how to kill a process {n}"} for n in range(4)]
    )
    files = {"harmful": harmful, "harmless": harmless}
    told = {"kind": "refusal", **{name: str(path) for name, path in files.items()}}
    refusing = probe(tmp_path / "all", config(says_a, {**told, "patterns": ["a"]}, **files))
    assert {name: (score.value, score.n) for name, score in refusing.figures.items()} == {
        "answered_harmful": (0.0, 6),
        "refused_harmless": (1.0, 4),
    }
    assert list(refusing.groups) == ["x"] and "refused_harmless" not in refusing.groups["x"]
    answering = probe(tmp_path / "none", config(says_a, {**told, "max_items": 3}, **files))
    assert {name: (score.value, score.n) for name, score in answering.figures.items()} == {
        "answered_harmful": (1.0, 3),
        "refused_harmless": (0.0, 3),
    }
    assert [row["refused"] for row in table(tmp_path / "none")] == [False] * 6


def test_a_classifier_tells_refusals_and_toxic_answers(tmp_path: Path, says_a: Path) -> None:
    """The classifier is trained to call the letter a bad and the letter b good."""
    folder = train_classifier(tmp_path / "classifier", {"a": "bad", "b": "good", "a a": "bad", "b b": "good"})
    prompts = write_questions(
        tmp_path / "p.jsonl", [{"prompt": f"go on {n}", "category": str(n % 2)} for n in range(6)]
    )
    chosen = {"path": str(folder), "label": "bad"}
    files = {"prompts": prompts, "classifier.path": folder}
    told = config(says_a, {"kind": "toxicity", "prompts": "p.jsonl", "classifier": chosen}, **files)
    toxic = probe(tmp_path / "toxic", told)
    assert (toxic.figures["toxic_answers"].value, toxic.figures["toxic_answers"].n, toxic.unreadable) == (1.0, 6, 0)
    assert [figures["toxic_answers"].n for figures in toxic.groups.values()] == [3, 3]
    assert all(row["score"] > 0.5 for row in table(tmp_path / "toxic"))
    other = {"path": str(folder), "label": "good"}
    files = {"harmful": prompts, "harmless": prompts, "classifier.path": folder}
    told = config(says_a, {"kind": "refusal", "harmful": "p", "harmless": "p", "classifier": other}, **files)
    assert probe(tmp_path / "refusal", told).figures["answered_harmful"].value == 1.0


def test_swapped_prompts_of_the_test_split(tmp_path: Path, says_a: Path) -> None:
    """Four of six prompts name a group; a model that always says a changes nothing, and is right half of the time."""
    rows = [
        example(number, text, answer)
        for number, (text, answer) in enumerate(
            [
                ("he is late", "a"),
                ("She left", "b"),
                ("nobody", "a"),
                ("his bag", "a"),
                ("is her bag here", "b"),
                ("x", "b"),
            ]
        )
    ]
    data = data_artifact(tmp_path / "data", test=rows, labels=None)
    words = {"kind": "counterfactual", "words": [["he", "she"], ["his", "her"]]}
    told = config(says_a, words).model_copy(update={"metric": MetricSpec(name="exact_match")})
    made = run(told, BiasInputs(data=data), CallContext(), workspace(tmp_path / "w"))
    assert {name: (score.value, score.n) for name, score in made.figures.items()} == {
        "changed_answers": (0.0, 4),
        "score_difference": (0.0, 4),
    }
    rows_made = table(tmp_path / "w")
    assert [row["swapped_prompt"] for row in rows_made] == ["she is late", "He left", "her bag", "is his bag here"]
    assert [row["score"] for row in rows_made] == [1.0, 0.0, 1.0, 0.0]
    with pytest.raises(DataError, match="no prompt of the test split holds any of the words"):
        nothing = {"kind": "counterfactual", "words": [["king", "queen"]]}
        other = told.model_copy(update={"probe": CounterfactualProbe.model_validate(nothing)})
        run(other, BiasInputs(data=data), CallContext(), workspace(tmp_path / "w2"))
    with pytest.raises(ConfigError, match="there are no items"):
        probe(tmp_path / "w3", told)


def test_an_answer_that_follows_the_swap_is_no_change_and_any_other_is(tmp_path: Path) -> None:
    """A model with random weights says something else wherever the prompt is another, in words that are no group's."""
    base = write_tiny_base(tmp_path / "base", initializer_range=0.5)
    data = data_artifact(
        tmp_path / "data", test=[example(n, f"he is number {n}", "seven") for n in range(8)], labels=None
    )
    told = config(base, {"kind": "counterfactual", "words": [["he", "she"]], "max_items": 5}, tokens=4)
    told = told.model_copy(update={"metric": MetricSpec(name="exact_match")})
    made = run(told, BiasInputs(data=data), CallContext(), workspace(tmp_path / "w"))
    rows = table(tmp_path / "w")
    changed = [row["answer"].strip() != row["swapped_answer"].strip() for row in rows]
    assert any(changed) and [row["changed"] for row in rows] == changed
    assert made.figures["changed_answers"].value == pytest.approx(sum(changed) / 5)


def test_likelihoods_of_a_model_that_always_expects_a(tmp_path: Path, says_a: Path) -> None:
    """The letter a costs nothing and every other token some 64 nats.

    So the target, called a, is the answer to every question; of pairs the sentence without other tokens is preferred.
    """
    changes = {"ans0": "a", "ans1": "b", "ans2": "z z"}
    path = write_questions(tmp_path / "bbq.jsonl", [row | changes for row in questions(6)])
    for how in ("likelihood", "likelihood_per_token"):
        told = config(says_a, {"kind": "bbq", "path": "bbq.jsonl", "answer_by": how}, path=path)
        made = probe(tmp_path / how, told)
        assert {row["chosen"] for row in table(tmp_path / how)} == {"a"} and made.unreadable == 0
        assert made.figures["disambiguated_accuracy"].value == 1.0 and made.figures["ambiguous_bias"].value == 0.0
        assert (made.completion_tokens, made.truncated) == (0, 0)
    pairs = [("a", "b"), ("a", "z"), ("b", "a"), ("a", "q"), ("b", "q")]
    rows = [{"sent_more": more, "sent_less": less, "bias_type": "x"} for more, less in pairs]
    path = write_questions(tmp_path / "pairs.jsonl", rows)
    made = probe(tmp_path / "pairs", config(says_a, {"kind": "pairs", "path": "pairs.jsonl"}, path=path))
    share = made.figures["stereotype_share"]
    # Three of four; the fifth pair is a tie, since neither b nor q is expected at all.
    assert (share.value, share.n, made.unreadable) == (0.75, 4, 1)
    assert made.groups["x"] == made.figures
    first = table(tmp_path / "pairs")[0]
    assert (first["tokens_more"], first["tokens_less"]) == (1, 1)
    assert (first["log_probability_more"], first["log_probability_less"]) == pytest.approx((0.0, -64.0), abs=1e-3)


def test_a_prompt_that_fills_the_context_is_named(tmp_path: Path, says_a: Path) -> None:
    rows = [{"prompt": "short"}, {"prompt": "refund " * 600}]
    path = write_questions(tmp_path / "p.jsonl", rows)
    told = {"kind": "refusal", "name": "mine", "harmful": "p", "harmless": "p"}
    with pytest.raises(DataError, match="fill the model's context of 512 tokens") as refused:
        probe(tmp_path / "w", config(says_a, told, harmful=path, harmless=path))
    assert refused.value.where == "evaluate.bias.mine, prompts 2, 4"
