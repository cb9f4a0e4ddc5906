from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from pipeline.core.context import CallContext
from pipeline.core.errors import ConfigError, DataError, ModelError, RenderError
from pipeline.core.workspace import content_digest, hash_file, list_files
from pipeline.evaluate.stage import run, subject_name
from schemas.artifacts import Stored
from schemas.data import DataArtifact, Example
from schemas.evaluate import (
    BaseSubject,
    EndpointSubject,
    EvaluateArtifact,
    EvaluateConfig,
    EvaluateInputs,
    GenerationConfig,
    MetricSpec,
    ModelSubject,
    Subject,
    TfidfSubject,
)
from schemas.events import Event
from tests.backends.test_generate_openai import completion, endpoint
from tests.evaluate.support import data_artifact, example, labeled_rows
from tests.support.stored import workspace
from tests.support.tiny_model import write_tiny_base
from tests.support.variants import base_ref, random_adapter

METRICS = (MetricSpec(name="exact_match"), MetricSpec(name="macro_f1"), MetricSpec(name="valid_label"))
FEW_TOKENS = GenerationConfig(max_new_tokens=5)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_base(tmp_path_factory.mktemp("base"))


def held_out() -> list[Example]:
    rows = labeled_rows(2)
    return [
        row.model_copy(update={"near_train": number < 3, "cluster": number // 2})
        for number, row in enumerate(rows[12:])
    ]


@pytest.fixture
def data(tmp_path: Path) -> Stored[DataArtifact]:
    return data_artifact(tmp_path / "data", train=labeled_rows(), test=held_out())


def evaluate(
    directory: Path,
    data: Stored[DataArtifact],
    subject: Subject,
    *,
    context: CallContext | None = None,
    model: Any = None,
    **config: Any,
) -> EvaluateArtifact:
    full = EvaluateConfig(subject=subject, **{"metrics": METRICS, "generation": FEW_TOKENS, **config})
    return run(full, EvaluateInputs(data=data, model=model), context or CallContext(), workspace(directory))


def table(directory: Path) -> dict[str, Sequence[Any]]:
    from pyarrow import parquet

    columns: dict[str, Sequence[Any]] = parquet.read_table(directory / "output" / "items.parquet").to_pydict()
    return columns


def test_the_base_is_asked_every_item_and_every_answer_is_kept(
    tmp_path: Path, data: Stored[DataArtifact], base: Path
) -> None:
    artifact = evaluate(tmp_path / "work", data, BaseSubject(), base=base_ref(base))
    columns = table(tmp_path / "work")
    rows = held_out()

    assert list(columns) == [
        "id",
        "cluster",
        "near_train",
        "slices",
        "prompt",
        "reference",
        "prediction",
        "answer",
        "finish_reason",
        "prompt_tokens",
        "completion_tokens",
        "score.exact_match",
        "score.macro_f1",
        "score.valid_label",
    ]
    assert columns["id"] == [row.id for row in rows]
    assert columns["cluster"] == [row.cluster for row in rows]
    assert columns["near_train"] == [row.near_train for row in rows]
    assert columns["slices"] == [["near_train" if row.near_train else "clean"] for row in rows]
    assert columns["prompt"] == [row.prompt[0].content for row in rows]
    assert columns["reference"] == [row.answer for row in rows]
    assert (artifact.name, artifact.n, artifact.split) == ("base", 12, "test")
    assert artifact.prompt_tokens == sum(columns["prompt_tokens"])
    assert artifact.completion_tokens == sum(columns["completion_tokens"])
    assert artifact.truncated == columns["finish_reason"].count("length")
    assert artifact.data_digest == hash_file(data.file("test.jsonl"))
    assert set(artifact.scores) == {"exact_match", "macro_f1", "valid_label"}
    assert {name: set(scores) for name, scores in artifact.slices.items()} == {
        "clean": set(artifact.scores),
        "near_train": set(artifact.scores),
    }
    assert artifact.engine.startswith("transformers 5.")


def test_the_same_evaluation_leaves_the_same_bytes(tmp_path: Path, data: Stored[DataArtifact], base: Path) -> None:
    made = [
        evaluate(tmp_path / name, data, BaseSubject(), base=base_ref(base), generation=generation)
        for name, generation in (("one", FEW_TOKENS), ("two", FEW_TOKENS))
    ]
    digests = [content_digest(list_files(tmp_path / name / "output")) for name in ("one", "two")]
    assert made[0] == made[1]
    assert digests[0] == digests[1]


def test_few_shot_prompts_hold_the_instruction_and_the_same_examples(
    tmp_path: Path, data: Stored[DataArtifact], base: Path
) -> None:
    plain = evaluate(tmp_path / "plain", data, BaseSubject(), base=base_ref(base))
    shots = evaluate(
        tmp_path / "shots", data, BaseSubject(instruction="Name the intent.", few_shot=3), base=base_ref(base)
    )
    longer = {
        after - before
        for before, after in zip(
            table(tmp_path / "plain")["prompt_tokens"], table(tmp_path / "shots")["prompt_tokens"], strict=True
        )
    }

    assert shots.name == "base few-shot 3"
    assert len(longer) == 1
    assert longer.pop() > 30
    assert table(tmp_path / "plain")["prompt"] == table(tmp_path / "shots")["prompt"]
    assert plain.data_digest == shots.data_digest


def test_an_adapter_answers_with_its_own_render(tmp_path: Path, data: Stored[DataArtifact], base: Path) -> None:
    adapter = random_adapter(tmp_path / "adapter", base)
    artifact = evaluate(tmp_path / "work", data, ModelSubject(), base=base_ref(base), model=adapter)
    assert artifact.name == "model"
    assert artifact.prompt_tokens == evaluate(tmp_path / "base", data, BaseSubject(), base=base_ref(base)).prompt_tokens


def test_tfidf_learns_the_labels(tmp_path: Path) -> None:
    data = data_artifact(tmp_path / "data", train=labeled_rows(2), test=labeled_rows(3)[24:])
    artifact = evaluate(tmp_path / "work", data, TfidfSubject())

    assert artifact.name == "tfidf"
    assert artifact.scores["exact_match"].value == 1.0
    assert artifact.scores["valid_label"].value == 1.0
    assert (artifact.prompt_tokens, artifact.truncated) == (0, 0)
    assert artifact.confusions == ()
    assert artifact.engine.startswith("scikit-learn ")


def test_tfidf_takes_answers_for_classes_where_rows_have_no_labels(tmp_path: Path) -> None:
    rows = [row.model_copy(update={"label": None}) for row in labeled_rows(3)]
    data = data_artifact(tmp_path / "data", train=rows[:24], test=rows[24:])
    metrics = (MetricSpec(name="exact_match"),)
    assert evaluate(tmp_path / "work", data, TfidfSubject(), metrics=metrics).scores["exact_match"].value == 1.0


def test_reasoning_is_kept_and_the_answer_behind_it_is_scored(tmp_path: Path, data: Stored[DataArtifact]) -> None:
    said = "<think>\nthey want money\n</think>\nrefund"
    with endpoint(lambda *_: (200, completion(said), {})) as served:
        artifact = evaluate(tmp_path / "work", data, EndpointSubject(base_url=served.url, model="big"))
    columns = table(tmp_path / "work")
    assert set(columns["prediction"]) == {said}
    assert set(columns["answer"]) == {"refund"}
    # 4 of the 12 items are refunds, and every answer is one of the labels.
    assert artifact.scores["exact_match"].value == pytest.approx(1 / 3)
    assert artifact.scores["valid_label"].value == 1.0
    assert {confusion.predicted for confusion in artifact.confusions} == {"refund"}


OTHER_TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }} says: {{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant says: {% endif %}"
)


def test_every_model_is_asked_in_the_template_that_it_knows(
    tmp_path: Path, data: Stored[DataArtifact], base: Path
) -> None:
    """A base with a template keeps it; one without is asked in the run's; a tuned model's own is never replaced."""

    def asked(name: str, subject: Subject, folder: Path, chat_template: str | None, model: Any = None) -> Sequence[int]:
        evaluate(
            tmp_path / name, data, subject, base=base_ref(folder), model=model, chat_template=chat_template, max_items=2
        )
        return list(table(tmp_path / name)["prompt_tokens"])

    bare = write_tiny_base(tmp_path / "bare")
    (bare / "chat_template.jinja").unlink()
    own = asked("own", BaseSubject(), base, None)
    other = asked("fallback", BaseSubject(), bare, OTHER_TEMPLATE)

    assert asked("kept", BaseSubject(), base, OTHER_TEMPLATE) == own
    assert other != own
    adapter = random_adapter(tmp_path / "adapter", base)
    assert asked("tuned", ModelSubject(), base, OTHER_TEMPLATE, adapter) == own
    (adapter.file(adapter.artifact.model) / "chat_template.jinja").write_text(OTHER_TEMPLATE, encoding="utf-8")
    assert asked("trained-in-other", ModelSubject(), base, None, adapter) == other


def test_a_base_without_any_template_is_refused(tmp_path: Path, data: Stored[DataArtifact]) -> None:
    bare = write_tiny_base(tmp_path / "bare")
    (bare / "chat_template.jinja").unlink()
    with pytest.raises(RenderError, match="the base model's tokenizer has no chat template"):
        evaluate(tmp_path / "work", data, BaseSubject(), base=base_ref(bare))


def test_an_endpoint_is_asked_with_messages_and_its_key(tmp_path: Path, data: Stored[DataArtifact]) -> None:
    subject = {"model": "big", "api_key_secret": "BIG_KEY", "instruction": "Name the intent.", "few_shot": 2}
    with endpoint(lambda *_: (200, completion("refund"), {})) as served:
        artifact = evaluate(
            tmp_path / "work",
            data,
            EndpointSubject(base_url=served.url, **subject),
            context=CallContext(secrets={"BIG_KEY": "sk-1"}),
        )

    assert artifact.name == "big few-shot 2"
    # 4 of the 12 items are refunds.
    assert artifact.scores["exact_match"].value == pytest.approx(1 / 3)
    assert (artifact.prompt_tokens, artifact.completion_tokens) == (60, 24)
    assert {headers["Authorization"] for headers in served.headers} == {"Bearer sk-1"}
    roles = {tuple(message["role"] for message in body["messages"]) for body in served.bodies}
    assert roles == {("system", "user", "assistant", "user", "assistant", "user")}
    examples = {str(body["messages"][1:5]) for body in served.bodies}
    assert len(examples) == 1


def test_answers_of_an_endpoint_are_paid_once(tmp_path: Path, data: Stored[DataArtifact]) -> None:
    place = workspace(tmp_path / "work")
    with endpoint(lambda *_: (200, completion("refund"), {})) as served:
        subject = EndpointSubject(base_url=served.url, model="big")
        config = EvaluateConfig(subject=subject, metrics=METRICS)
        inputs = EvaluateInputs(data=data)
        first = run(config, inputs, CallContext(), place)
        second = run(config, inputs, CallContext(), place)
        assert len(served.bodies) == 12
    assert first == second


def test_a_missing_secret_names_the_variable(tmp_path: Path, data: Stored[DataArtifact]) -> None:
    subject = EndpointSubject(base_url="http://127.0.0.1:1/v1", model="big", api_key_secret="BIG_KEY")
    with pytest.raises(ConfigError, match="secret BIG_KEY is not set"):
        evaluate(tmp_path / "work", data, subject)


def test_the_first_items_are_taken(tmp_path: Path, data: Stored[DataArtifact], base: Path) -> None:
    artifact = evaluate(tmp_path / "work", data, BaseSubject(), base=base_ref(base), max_items=4)
    assert artifact.n == 4
    assert table(tmp_path / "work")["id"] == [row.id for row in held_out()[:4]]


def test_a_prompt_beyond_the_models_context_is_an_error_before_its_weights_are_loaded(tmp_path: Path) -> None:
    short = write_tiny_base(tmp_path / "short", max_position_embeddings=24)
    (short / "model.safetensors").unlink()
    data = data_artifact(tmp_path / "data", test=[*held_out(), example(77, "a long question " * 20, "login")])
    with pytest.raises(DataError, match=r"fill the model's context of 24 tokens") as caught:
        evaluate(tmp_path / "work", data, BaseSubject(), base=base_ref(short))
    assert "78" in str(caught.value.where)


def test_a_model_subject_without_model_and_a_base_without_weights_are_refused(
    tmp_path: Path, data: Stored[DataArtifact]
) -> None:
    with pytest.raises(ConfigError, match="the subject is a model and none is given"):
        evaluate(tmp_path / "one", data, ModelSubject())
    with pytest.raises(ModelError, match="a base model with weights is needed"):
        evaluate(tmp_path / "two", data, BaseSubject())


def test_progress_is_shown(tmp_path: Path, data: Stored[DataArtifact], base: Path) -> None:
    events: list[Event] = []
    evaluate(tmp_path / "work", data, BaseSubject(), base=base_ref(base), context=CallContext(sink=events.append))
    last = {str(event.data["label"]): event.data["done"] for event in events if event.kind == "progress"}
    scored = {f"score {metric.name}": 12 for metric in METRICS}
    assert last == {"render prompts": 12, "evaluate base": 12, **scored}


def test_names_of_subjects() -> None:
    assert subject_name(BaseSubject()) == "base"
    assert subject_name(BaseSubject(instruction="Do.", few_shot=3)) == "base few-shot 3"
    assert subject_name(EndpointSubject(base_url="http://x/v1", model="gpt")) == "gpt"


def test_labels_that_fill_the_context_are_left_out_and_it_is_said(
    tmp_path: Path, data: Stored[DataArtifact], base: Path
) -> None:
    labels = ", ".join(f"label number {n}" for n in range(2000))
    told = BaseSubject(instruction=f"Name the intent.\nAnswer with one of: {labels}")
    plain = evaluate(tmp_path / "plain", data, BaseSubject(instruction="Name the intent."), base=base_ref(base))
    events: list[Event] = []
    shorter = evaluate(tmp_path / "told", data, told, base=base_ref(base), context=CallContext(sink=events.append))
    assert [event.message for event in events if event.kind == "warning"] == [
        "the labels do not fit into the base's context beside the questions: it is asked without them"
    ]
    assert table(tmp_path / "told")["prompt_tokens"] == table(tmp_path / "plain")["prompt_tokens"]
    assert shorter.scores == plain.scores
