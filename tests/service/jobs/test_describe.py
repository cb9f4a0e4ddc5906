"""From a request in OpenAI's shape to a run description, and what may not be named in one."""

from __future__ import annotations

from typing import Annotated, Any

import pytest

from pipeline.service.api.errors import Refusal
from pipeline.service.jobs.confined import _outside
from pipeline.service.jobs.describe import describe, tuned_name
from schemas.base import NotFingerprinted, Schema
from schemas.fine_tuning import JobRequest
from schemas.run import RunSpec

JOB = "ftjob-0123456789abcdef"


def located(name: str, key: str) -> str:
    if not name.startswith("file-"):
        raise Refusal(400, key, param=key)
    return f"{name}.jsonl"


def request(**values: Any) -> JobRequest:
    return JobRequest.model_validate({"model": "hone:tiny", "training_file": "file-a", **values})


def described(**values: Any) -> RunSpec:
    found = describe(request(**values), JOB, located, {"ft:known": "triage@2"}.get)
    return found.spec


def refused(**values: Any) -> Refusal:
    with pytest.raises(Refusal) as caught:
        described(**values)
    return caught.value


def test_the_shortest_request_leaves_everything_to_the_plan() -> None:
    assert described() == RunSpec.model_validate(
        {
            "name": "ft-0123456789ab",
            "task": "generation",
            "base_model": "hone:tiny",
            "data": {"path": "file-a.jsonl"},
            "train": {"method": "sft", "seeds": [0]},
            "serve": False,
        }
    )


def test_what_is_given_is_trained_with() -> None:
    hyperparameters = {"n_epochs": 3, "batch_size": 8, "learning_rate_multiplier": 0.5, "beta": 0.2}
    asked = request(
        method={"type": "dpo", "dpo": {"hyperparameters": hyperparameters}},
        validation_file="file-b",
        suffix="Support Triage!",
        seed=7,
        spec={"train": {"lora": {"r": 4}}, "data": {"test_path": "file-c", "system": "Sort."}},
    )
    found = describe(asked, JOB, located, {}.get)
    train, data = found.spec.train, found.spec.data
    assert (train.method, train.seeds, train.num_train_epochs, train.dpo.beta) == ("dpo", (7,), 3, 0.2)
    assert (train.per_device_train_batch_size, train.gradient_accumulation_steps, train.lora.r) == (8, 1, 4)
    assert train.learning_rate is None and found.learning_rate_multiplier == 0.5
    assert (data.path, data.validation_path, data.test_path) == ("file-a.jsonl", "file-b.jsonl", "file-c.jsonl")
    assert (data.system, found.spec.name, found.seed) == ("Sort.", "support-triage", 7)
    assert tuned_name(asked, "acme", JOB) == "ft:hone-tiny:acme:support-triage:01234567"


def test_the_older_place_of_hyperparameters_is_read() -> None:
    assert described(hyperparameters={"n_epochs": 2}).train.num_train_epochs == 2
    with pytest.raises(ValueError, match="given twice"):
        request(hyperparameters={"n_epochs": 2}, method={"type": "supervised"})
    with pytest.raises(ValueError, match="do not belong"):
        request(method={"type": "supervised", "dpo": {}})


@pytest.mark.parametrize(
    ("model", "base"),
    [("hone:tiny", "hone:tiny"), ("org/name", "org/name"), ("triage@champion", "triage@champion"),
     ("triage@3", "triage@3"), ("ft:known", "triage@2")],
)  # fmt: skip
def test_a_model_is_a_base(model: str, base: str) -> None:
    assert described(model=model).base_model.name == base


@pytest.mark.parametrize(
    "model",
    ["gpt-4o-mini", "ft:unknown", "hone:large", "/etc", "../x", "./x/y", "~/model", "run:triage", "a/b/c", "org/na me",
     "triage@next", "org/name\n"],
)  # fmt: skip
def test_no_other_model_is(model: str) -> None:
    error = refused(model=model)
    assert (error.status_code, error.error.param, error.error.code) == (404, "model", "model_not_found")


@pytest.mark.parametrize(
    ("spec", "param"),
    [
        ({"base_model": "/root"}, "spec.base_model"),
        ({"colour": 1}, "spec.colour"),
        ({"data": []}, "spec.data"),
        ({"data": {"path": "/etc/passwd"}}, "spec.data.path"),
        ({"data": {"validation_path": "x"}}, "spec.data.validation_path"),
        ({"data": {"test_path": "/etc/passwd"}}, "spec.data.test_path"),
        ({"train": {"method": "dpo"}}, "spec.train.method"),
        ({"train": {"seeds": [1, 2]}}, "spec.train.seeds"),
        ({"train": {"learning_rat": 1}}, "spec"),
        ({"evaluate": {"metrics": ["./mine.py:score"]}}, "spec.evaluate.metrics"),
        ({"evaluate": {"baselines": {"endpoint": {"base_url": "http://10.0.0.1/v1", "model": "m"}}}},
         "spec.evaluate.baselines.endpoint.base_url"),
        ({"evaluate": {"judge": {"base_url": "http://10.0.0.1/v1", "model": "m", "api_key_secret": "HF_TOKEN"}}},
         "spec.evaluate.judge.base_url"),
        ({"evaluate": {"harness": [{"name": "t", "task": "./t.yaml"}]}}, "spec.evaluate.harness.task"),
        ({"evaluate": {"harness": [{"name": "t", "task": "arc_easy", "allow_code": True}]}},
         "spec.evaluate.harness.task"),
        ({"evaluate": {"retention": [{"name": "t", "data": {"path": "/etc"}}]}}, "spec.evaluate.retention.data.path"),
        ({"evaluate": {"retention": [{"name": "t", "data": {"path": "file-a"},
                                      "metric": {"name": "./m.py:f"}}]}}, "spec.evaluate.retention.metric"),
        ({"evaluate": {"retention": [{"name": "t", "data": {"path": "file-a", "revision": "main"}}]}},
         "spec.evaluate.retention.data.revision"),
        ({"evaluate": {"metrics": [{"name": "bertscore", "params": {"model": "/srv/model"}}]}},
         "spec.evaluate.metrics.params.model"),
        ({"evaluate": {"metrics": [{"name": "bertscore", "params": {"model": "../model"}}]}},
         "spec.evaluate.metrics.params.model"),
        ({"evaluate": {"metrics": [{"name": "accuracy", "model": {"location": "/srv"}}]}},
         "spec.evaluate.metrics.model"),
        ({"evaluate": {"measures": [{"name": "./mine.py:score"}]}}, "spec.evaluate.measures"),
        ({"evaluate": {"bias": [{"kind": "bbq", "name": "b", "path": "/etc/passwd"}]}}, "spec.evaluate.bias.path"),
        ({"evaluate": {"bias": [{"kind": "toxicity", "name": "b", "prompts": "file-a",
                                 "classifier": {"path": "/srv/model", "label": "toxic"}}]}},
         "spec.evaluate.bias.classifier.path"),
        ({"preflight": {"benchmarks": ["/etc/passwd"]}}, "spec.preflight.benchmarks"),
    ],
)  # fmt: skip
def test_nothing_leads_out_of_the_service(spec: dict[str, Any], param: str) -> None:
    assert refused(spec=spec).error.param == param


@pytest.mark.parametrize(
    ("hyperparameters", "train", "key"),
    [
        ({"n_epochs": 2}, {"num_train_epochs": 3}, "num_train_epochs"),
        ({"batch_size": 2}, {"gradient_accumulation_steps": 4}, "gradient_accumulation_steps"),
        ({"learning_rate_multiplier": 2.0}, {"learning_rate": 1e-4}, "learning_rate"),
        ({"beta": 0.2}, {"dpo": {"label_smoothing": 0.1}}, "dpo"),
    ],
)
def test_nothing_is_said_twice(hyperparameters: dict[str, Any], train: dict[str, Any], key: str) -> None:
    method = {"type": "dpo", "dpo": {"hyperparameters": hyperparameters}}
    assert refused(method=method, spec={"train": train}).error.param == f"spec.train.{key}"


def test_files_of_other_sections_are_found_by_their_ids() -> None:
    spec = described(
        spec={
            "evaluate": {"retention": [{"name": "own", "data": {"path": "file-c", "test_path": "file-d"}}]},
            "preflight": {"benchmarks": ["file-e"]},
        }
    )
    assert spec.evaluate.retention is not None
    assert spec.evaluate.retention[0].data.path == "file-c.jsonl"
    assert spec.evaluate.retention[0].data.test_path == "file-d.jsonl"
    assert spec.preflight.benchmarks == ("file-e.jsonl",)


def test_a_key_that_leads_somewhere_is_refused_unless_it_is_known() -> None:
    """Whatever a description may name one day: a place that nobody gave is refused, not let through."""

    class Later(Schema):
        somewhere: Annotated[str, NotFingerprinted()] = "/etc"
        several: Annotated[tuple[str, ...], NotFingerprinted()] = ("file-a.jsonl",)
        fingerprinted: str = "/etc"

    found = list(_outside(Later(), "later", {"file-a.jsonl"}))
    assert found == [("later.somewhere", "a place of the machine")]
