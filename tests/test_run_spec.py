"""What a run description refuses before anything is resolved."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from schemas.run import RunSpec

TASK = {"path": "own.jsonl"}
BBQ = {"kind": "bbq", "path": "bbq.jsonl"}
QUANTIZED = {"backend": "llmcompressor", "scheme": "W4A16"}


def spec(**sections: Any) -> RunSpec:
    values = {"name": "a", "task": "generation", "base_model": "hone:tiny", "data": {"path": "rows.jsonl"}, **sections}
    return RunSpec.model_validate(values)


def without_weights(tokenizer: Any = None, **sections: Any) -> RunSpec:
    init = {} if tokenizer is None else {"tokenizer": tokenizer}
    base = {"init": init, **sections.pop("base_model", {})}
    return spec(base_model=base, train={"adapter": "full"}, **sections)


@pytest.mark.parametrize(
    ("sections", "named"),
    [
        ({"variants": ["merged", "merged"]}, "variants: two have the same name, merged"),
        (
            {"evaluate": {"retention": [{"name": "own", "data": TASK}, {"name": "own", "data": TASK}]}},
            "evaluate.retention: two have the same name, own",
        ),
        ({"evaluate": {"bias": [BBQ, BBQ]}}, "evaluate.bias: two have the same name, bbq"),
        ({"train": {"seeds": [1, 1]}}, "train.seeds: two have the same name, 1"),
        ({"variants": [{"name": "adapter", "backend": "merge", "scheme": "merged"}]}, "variants.adapter"),
        ({"variants": [{"name": "model", **QUANTIZED}]}, "variants.model"),
        ({"variants": [{"name": "merged", **QUANTIZED}]}, "variants.merged: only the merge is called so"),
        ({"serve": {"variant": "model"}}, "'model' is not one of adapter"),
        ({"serve": {"variant": "adapter"}, "train": {"adapter": "full"}}, "'adapter' is not one of model"),
    ],
)
def test_names_that_would_mean_two_things_are_refused(sections: dict[str, Any], named: str) -> None:
    with pytest.raises(ValidationError, match=named):
        spec(**sections)


@pytest.mark.parametrize("reason", ["", " \n", ".", "-", "\u200b", "\U0001f642"])
def test_forgetting_is_not_waived_without_a_word(reason: str) -> None:
    with pytest.raises(ValidationError, match=r"evaluate.retention_waived\n.*no reason is given"):
        spec(evaluate={"retention_waived": reason})
    assert spec(evaluate={"retention_waived": "\u8bd5"}).evaluate.retention_waived == "\u8bd5"


@pytest.mark.parametrize(
    ("probes", "bound", "named"),
    [
        ([], "bbq.ambiguous_bias", r"gate.bias.bbq.ambiguous_bias: no probe of evaluate.bias measures this"),
        ([BBQ], "bbq.bias", "measured: bbq.ambiguous_bias, bbq.disambiguated_bias"),
        ([{"kind": "pairs", "path": "p.csv"}], "pairs.stereotype_share", "0.5 is no preference"),
        ([{**BBQ, "name": "age"}], "bbq.ambiguous_bias", "measured: age.ambiguous_bias"),
    ],
)
def test_a_bound_on_what_nobody_measures_is_refused(probes: list[Any], bound: str, named: str) -> None:
    with pytest.raises(ValidationError, match=named):
        spec(evaluate={"bias": probes}, gate={"bias": {bound: 0.1}})


@pytest.mark.parametrize(
    ("probe", "named"),
    [
        ({"kind": "stereotypes"}, "stereotypes"),
        ({"path": "bbq.jsonl"}, "kind"),
        ({"kind": "toxicity", "prompts": "p.jsonl"}, "classifier"),
        ({"kind": "refusal", "harmful": "p.jsonl"}, "harmless"),
        ({**BBQ, "words": [["he", "she"]]}, "words"),
    ],
)
def test_a_probe_that_is_none_is_refused(probe: dict[str, Any], named: str) -> None:
    with pytest.raises(ValidationError, match=named):
        spec(evaluate={"bias": [probe]})


@pytest.mark.parametrize("probe", [{"kind": "pairs", "path": "p.csv"}, {**BBQ, "answer_by": "likelihood"}])
def test_likelihoods_that_the_engine_does_not_compute_are_refused(probe: dict[str, Any]) -> None:
    asked = {"bias": [probe], "generation": {"backend": "vllm"}}
    with pytest.raises(ValidationError, match="vLLM computes no likelihoods of an adapter"):
        spec(evaluate=asked)
    assert spec(evaluate=asked, variants=["merged"]).served_variant == "merged"
    assert spec(evaluate={**asked, "generation": {}}).served_variant == "adapter"
    assert spec(evaluate={**asked, "bias": [BBQ]})


def test_an_engine_that_does_not_load_what_is_served_is_refused() -> None:
    served = {"variant": "gptq-4bit", "engine": "transformers"}
    with pytest.raises(ValidationError, match=r"serve\.engine: transformers does not load gptq-4bit"):
        spec(variants=["gptq-4bit"], serve=served)
    assert spec(variants=["gptq-4bit"], serve={**served, "engine": "vllm"})
    assert spec(variants=["gptq-4bit", "merged"], serve={"engine": "transformers"})


@pytest.mark.parametrize(
    ("sections", "named"),
    [
        ({"base_model": {"revision": "main"}}, "remove revision"),
        ({"base_model": {"trust_remote_code": True}}, "remove trust_remote_code"),
        ({"evaluate": {"baselines": {"base": False}}}, "evaluate.baselines.base"),
        ({"evaluate": {"baselines": {"few_shot": 0}}}, "evaluate.baselines.few_shot"),
        ({"evaluate": {"baselines": {"instruction": "Answer."}}}, "evaluate.baselines.instruction"),
    ],
)
def test_a_base_without_weights_takes_no_key_that_it_does_not_read(sections: dict[str, Any], named: str) -> None:
    with pytest.raises(ValidationError, match=named):
        without_weights(**sections)


def test_what_a_base_without_weights_does_read_is_taken() -> None:
    assert without_weights("org/tokenizer", base_model={"revision": "main"}).base_model.revision == "main"
    endpoint = {"base_url": "http://127.0.0.1:1/v1", "model": "m"}
    told = without_weights(evaluate={"baselines": {"instruction": "Answer.", "endpoint": endpoint}})
    assert told.evaluate.baselines.instruction == "Answer."
    assert RunSpec.model_validate_json(told.model_dump_json()) == told


ALONE = {"train": {"method": "reward"}, "serve": False}


@pytest.mark.parametrize(
    ("sections", "named"),
    [
        ({"serve": True}, "so it is not served as chat; set false"),
        ({"variants": ["merged"]}, "variants: a reward model gives no answers"),
        ({"evaluate": {"metrics": ["exact_match"]}}, "a reward model is measured by pairwise_accuracy"),
        ({"evaluate": {"baselines": {"tfidf": True}}}, "evaluate.baselines.tfidf: a reward model gives no answers"),
        ({"evaluate": {"baselines": {"few_shot": 2}}}, "evaluate.baselines.few_shot: a reward model gives no answers"),
        ({"evaluate": {"bias": [BBQ]}}, "evaluate.bias: a reward model gives no answers"),
        ({"evaluate": {"generation": {"backend": "vllm"}}}, "answers are scored by transformers"),
        ({"train": {}, "evaluate": {"metrics": ["pairwise_accuracy"]}}, "set train.method to reward"),
    ],
)
def test_a_model_that_scores_answers_is_asked_for_none(sections: dict[str, Any], named: str) -> None:
    assert spec(**ALONE).ranks
    with pytest.raises(ValidationError, match=named):
        spec(**{**ALONE, **sections})
