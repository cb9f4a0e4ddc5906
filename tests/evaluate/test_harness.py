"""Tasks of lm-evaluation-harness, on the base that comes with hone, against lm_eval's own entry point."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.core.context import CallContext
from pipeline.core.digests import DigestCache
from pipeline.core.errors import ConfigError, DataError, IntegrityError, SourceError
from pipeline.core.workspace import content_digest, list_files
from pipeline.embedded import TINY_BASE
from pipeline.evaluate.harness_file import named_files, read_task
from pipeline.evaluate.stage import run
from pipeline.statistics import score_interval
from schemas.base import Reference, canonical_digest
from schemas.evaluate import (
    BaseSubject,
    EvaluateArtifact,
    EvaluateConfig,
    EvaluateInputs,
    HarnessConfig,
    MetricSpec,
    ModelSubject,
)
from tests.support.harness_task import LABELS, write_task
from tests.support.stored import workspace
from tests.support.variants import base_ref, random_adapter


def reference(path: Path) -> Reference:
    return Reference(location=str(path), digest=DigestCache(None).digest(path))


def harness(path: Path, **options: Any) -> HarnessConfig:
    task = read_task(path, allow_code=options.get("allow_code", False))
    files = {name: reference(found) for name, found in named_files(task, path.parent).items()}
    return HarnessConfig(file=reference(path), files=files, **options)


def config_of(asked: HarnessConfig) -> EvaluateConfig:
    metrics = (MetricSpec(name=asked.metric),)
    return EvaluateConfig(subject=BaseSubject(), base=base_ref(TINY_BASE), metrics=metrics, harness=asked, seed=7)


def measure(directory: Path, asked: HarnessConfig) -> EvaluateArtifact:
    return run(config_of(asked), EvaluateInputs(), CallContext(), workspace(directory))


def table(directory: Path) -> dict[str, Any]:
    from pyarrow import parquet

    columns: dict[str, Any] = parquet.read_table(directory / "output" / "items.parquet").to_pydict()
    return columns


@pytest.mark.slow
def test_scores_are_those_of_lm_eval_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same task, model, examples and seed through lm_eval's own entry point: each item's score is the same."""
    import lm_eval
    from lm_eval.tasks import TaskManager

    path = write_task(tmp_path / "task")
    asked = harness(path, metric="acc_norm", num_fewshot=2, limit=20)
    artifact = measure(tmp_path / "one", asked)
    again = measure(tmp_path / "two", asked)
    monkeypatch.chdir(path.parent)
    direct = lm_eval.simple_evaluate(
        model="hf", model_args={"pretrained": str(TINY_BASE), "dtype": "float32"}, tasks=[str(path)], num_fewshot=2,
        limit=20, device="cpu", batch_size=8, random_seed=7, numpy_random_seed=7, torch_random_seed=7,
        fewshot_random_seed=7, bootstrap_iters=0, task_manager=TaskManager(include_defaults=False),
    )  # fmt: skip

    assert direct is not None
    columns, score = table(tmp_path / "one"), artifact.scores["acc_norm"]
    assert columns["score.acc_norm"] == [sample["acc_norm"] for sample in direct["samples"]["support"]]
    assert columns["prompt"] == [sample["arguments"][0][0] for sample in direct["samples"]["support"]]
    assert score.value == direct["results"]["support"]["acc_norm,none"]
    interval = score_interval(columns["score.acc_norm"], seed=7)
    assert (score.low, score.high, score.n, artifact.n) == (interval.low, interval.high, 20, 20)
    assert set(columns["prediction"]) <= set(LABELS)
    assert columns["reference"][:3] == list(LABELS)
    assert 0.0 < score.value < 1.0
    assert artifact.engine.startswith("lm_eval 0.")
    assert again == artifact
    digests = [content_digest(list_files(tmp_path / name / "output")) for name in ("one", "two")]
    assert digests[0] == digests[1]


def test_an_edited_task_or_data_file_is_another_evaluation_and_is_refused_in_this_one(tmp_path: Path) -> None:
    path = write_task(tmp_path / "task")
    before = config_of(harness(path))
    moved = config_of(harness(write_task(tmp_path / "elsewhere")))
    (path.parent / "items.jsonl").write_text((path.parent / "items.jsonl").read_text() + "\n")
    data = config_of(harness(path))
    path.write_text(path.read_text() + "# edited\n")
    task = config_of(harness(path))
    assert canonical_digest(moved) == canonical_digest(before)
    assert len({canonical_digest(config) for config in (before, data, task)}) == 3
    with pytest.raises(IntegrityError, match="changed since the run began"):
        run(before, EvaluateInputs(), CallContext(), workspace(tmp_path / "work"))


def test_code_runs_only_where_the_description_says_so(tmp_path: Path) -> None:
    path = write_task(tmp_path / "task", doc_to_target="!code helper.target_code")
    (path.parent / "helper.py").write_text("def target_code(doc):\n    return 0\n")
    with pytest.raises(ConfigError, match=r"(?s)runs code.*!function helper\.target_code|!function.*runs code"):
        read_task(path, allow_code=False)
    asked = harness(path, allow_code=True, limit=4)
    assert set(asked.files) == {"shots.jsonl", "items.jsonl", "helper.py"}
    measure(tmp_path / "work", asked)
    assert table(tmp_path / "work")["reference"] == ["refund"] * 4


def test_a_template_cannot_reach_past_the_row(tmp_path: Path) -> None:
    path = write_task(tmp_path / "task", doc_to_text="{{ ''.__class__.__mro__[1].__subclasses__() }}")
    with pytest.raises(DataError, match=r"template.*unsafe"):
        measure(tmp_path / "work", harness(path, limit=2))


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"task": None}, DataError, "not the description of one task"),
        ({"task": ["a", "b"]}, DataError, "not the description of one task"),
        ({"include": "other.yaml"}, DataError, "includes others"),
        ({"unsafe_code": True}, ConfigError, "runs code"),
        ({"dataset_kwargs": {"trust_remote_code": True}}, ConfigError, "runs code"),
        ({"metric_list": [{"metric": "x", "hf_evaluate": True}]}, ConfigError, "script of the Hub"),
        ({"metric_list": 5}, DataError, "metric_list is no list"),
        ({"dataset_kwargs": {"data_files": "https://x/y.json"}}, SourceError, "addresses are not read"),
        ({"dataset_kwargs": {"data_files": {"test": ["gone.jsonl"]}}}, SourceError, "no such file"),
        ({"dataset_path": "arrow"}, DataError, "is none of json, csv, parquet, text"),
        ({"dataset_kwargs": {"data_dir": "folder"}}, DataError, "a folder of data is not read"),
        ({"dataset_kwargs": {"data_files": {"test": 3}}}, DataError, "names of files are text"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_task_file_is_said(
    tmp_path: Path, changes: dict[str, Any], error: type[Exception], words: str
) -> None:
    path = write_task(tmp_path, **changes)
    with pytest.raises(error, match=words):
        named_files(read_task(path, allow_code=False), tmp_path)


@pytest.mark.parametrize(
    ("changes", "options", "words"),
    [
        ({}, {"metric": "exact_match"}, "use one of acc, acc_norm"),
        ({}, {"filter": "strict"}, "use one of none"),
        ({"metric_list": [{"metric": "no_such"}]}, {}, "lm_eval has no metric no_such"),
        ({"num_fewshot": 0}, {"num_fewshot": 2}, "never changes"),
        ({"test_split": "nowhere"}, {}, "cannot build this task"),
    ],
)  # fmt: skip
def test_what_the_harness_cannot_do_is_an_error_with_a_way_out(
    tmp_path: Path, changes: dict[str, Any], options: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        measure(tmp_path / "work", harness(write_task(tmp_path / "task", **changes), limit=2, **options))


@pytest.mark.slow
def test_a_task_of_lm_eval_is_known_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean arc_easy"):
        measure(tmp_path / "one", HarnessConfig(task="arc_eazy"))
    with pytest.raises(ConfigError, match="names several tasks"):
        measure(tmp_path / "two", HarnessConfig(task="mmlu"))


def test_answers_in_words_are_generated_by_the_model_that_is_asked(tmp_path: Path) -> None:
    """A base and an adapter on it answer the same documents; an item is right where its words are the target."""
    words = {
        "output_type": "generate_until", "doc_to_choice": None, "doc_to_target": "{{ choices[label] }}",
        "generation_kwargs": {"until": ["\n"], "max_gen_toks": 6, "do_sample": False},
        "metric_list": [{"metric": "exact_match"}],
    }  # fmt: skip
    asked = harness(write_task(tmp_path / "task", **words), metric="exact_match", limit=6)
    base = measure(tmp_path / "base", asked)
    config = config_of(asked).model_copy(update={"subject": ModelSubject()})
    adapter = random_adapter(tmp_path / "adapter", TINY_BASE)
    tuned = run(config, EvaluateInputs(model=adapter), CallContext(), workspace(tmp_path / "tuned"))
    before, after = table(tmp_path / "base"), table(tmp_path / "tuned")
    assert (base.name, tuned.name) == ("base", "model")
    assert before["id"] == after["id"] and base.data_digest == tuned.data_digest
    assert before["reference"] == list(LABELS) * 2
    assert before["prediction"] != after["prediction"]
    for columns in (before, after):
        pairs = zip(columns["prediction"], columns["reference"], strict=True)
        assert columns["score.exact_match"] == [float(said == wanted) for said, wanted in pairs]
