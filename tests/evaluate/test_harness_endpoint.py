"""`hone harness`: tasks of lm-evaluation-harness of a served model, against the same model loaded here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from local_runner.harness import ask_endpoint
from pipeline.backends.engine import EngineRequest
from pipeline.backends.engine_vllm import describe, pinned
from pipeline.backends.evaluate_lm_eval_endpoint import EndpointLM
from pipeline.backends.model_transformers import load_causal_lm
from pipeline.backends.openai_http import OpenAIAddress
from pipeline.backends.tokenizer_transformers import load_tokenizer
from pipeline.core.context import CallContext
from pipeline.core.errors import ConfigError, EngineError, ModelError
from pipeline.core.models import ModelFiles
from pipeline.embedded import TINY_BASE
from pipeline.environments import requirements
from pipeline.serve.launch import Places
from pipeline.serve.process import LOOPBACK, free_port, start_engine
from schemas.evaluate import EndpointSubject, EvaluateArtifact, GenerationConfig, HarnessOptions
from schemas.serve import EngineOptions
from tests.backends.test_generate_openai import endpoint
from tests.evaluate.test_harness import harness, measure, table
from tests.support.harness_task import write_task

SAYS: dict[str, Any] = {
    "output_type": "generate_until",
    "doc_to_choice": None,
    "doc_to_target": "{{ choices[label] }}",
    "generation_kwargs": {"until": ["\n", "."], "max_gen_toks": 6},
    "metric_list": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}],
}


def ask(task: Path, base_url: str, folder: Path, **options: Any) -> tuple[EvaluateArtifact, dict[str, Any]]:
    from pyarrow import parquet

    out = folder / "items.parquet"
    found = ask_endpoint(
        str(task),
        HarnessOptions(**options),
        EndpointSubject(base_url=base_url, model="tiny"),
        TINY_BASE,
        GenerationConfig(batch_size=8),
        seed=7,
        table=out,
        context=CallContext(),
    )
    return found, parquet.read_table(out).to_pydict()


@contextmanager
def served() -> Iterator[str]:
    """Serve the tiny base's completions with the log-probabilities of prompts, computed one request at a time."""
    model = load_causal_lm(ModelFiles(str(TINY_BASE), None, None, str(TINY_BASE), False))
    tokenizer = load_tokenizer(str(TINY_BASE))

    def reply(body: dict[str, Any], _seen: int) -> tuple[int, Any, dict[str, str]]:
        ids, made = list(body["prompt"]), list(body["prompt"])
        with torch.inference_mode():
            for _ in range(body["max_tokens"]):
                made.append(int(model(torch.tensor([made])).logits[0, -1].argmax()))
            logits = torch.log_softmax(model(torch.tensor([made])).logits[0].float(), dim=-1)
        if not body.get("echo"):
            text = tokenizer.decode(made[len(ids) :])
            for stop in body.get("stop", ()):
                text = text.split(stop)[0]
            return 200, {"choices": [{"index": 0, "text": text}]}, {}
        told = [None, *(float(logits[place - 1, made[place]]) for place in range(1, len(made)))]
        best = [None, *({"best": float(logits[place - 1].max())} for place in range(1, len(made)))]
        return 200, {"choices": [{"index": 0, "logprobs": {"token_logprobs": told, "top_logprobs": best}}]}, {}

    with endpoint(reply, "completions") as server:
        yield server.url


@pytest.mark.slow
def test_a_served_model_is_scored_as_one_that_is_loaded_here(tmp_path: Path) -> None:
    choice, says = write_task(tmp_path / "choice"), write_task(tmp_path / "says", **SAYS)
    with served() as url:
        for task, options in asked(choice, says):
            found, columns = ask(task, url, tmp_path, **options)
            here = tmp_path / task.parent.name / "here"
            loaded = measure(here, harness(task, **options))
            assert columns["prediction"] == table(here)["prediction"]
            assert found.scores == loaded.scores
            assert found.data_digest == loaded.data_digest
            assert found.engine.endswith("OpenAI-compatible endpoint")


@pytest.mark.vllm
def test_vllm_is_scored_as_transformers_are(tmp_path: Path, vllm_python: Path) -> None:
    """All log-probabilities are near each other; where two choices are no tie, the answers are the same."""
    files = ModelFiles(str(TINY_BASE), None, None, str(TINY_BASE), False)
    smoke = {"messages": [{"role": "user", "content": "hello"}], "max_tokens": 1}
    request = EngineRequest(files, "tiny", EngineOptions(max_model_len=512), "float32", False, smoke)
    launch = describe(request, pinned(requirements("serve-vllm", "cpu")))
    places = Places(files, tmp_path, LOOPBACK, free_port())
    choice, says = write_task(tmp_path / "choice"), write_task(tmp_path / "says", **SAYS)
    with start_engine(launch, places, python=str(vllm_python), grace=20.0) as engine:
        engine.wait_until_ready(lambda: None, seconds=300)
        url = f"http://{LOOPBACK}:{places.port}/v1"
        answers = {task: ask(task, url, tmp_path, **options) for task, options in asked(choice, says)}
    for task, options in asked(choice, says):
        here = tmp_path / task.parent.name / "here"
        loaded, (found, columns) = measure(here, harness(task, **options)), answers[task]
        assert columns["prediction"] == table(here)["prediction"]
        assert found.scores == loaded.scores


def asked(choice: Path, says: Path) -> tuple[tuple[Path, dict[str, Any]], ...]:
    return (choice, {"metric": "acc", "num_fewshot": 2}), (says, {"metric": "exact_match"})


NO_LOG_PROBABILITIES: tuple[Any, ...] = (
    None,
    {"token_logprobs": [None, float("nan")], "top_logprobs": [None, {"a": -1.0}]},
    {"token_logprobs": [None, -1.0], "top_logprobs": [None, {"a": None}]},
    {"token_logprobs": [None, -1.0], "top_logprobs": [None]},
)


@pytest.mark.slow
@pytest.mark.parametrize("told", NO_LOG_PROBABILITIES, ids=("none", "not a number", "null", "too few"))
def test_an_address_without_the_log_probabilities_of_prompts_is_refused(tmp_path: Path, told: Any) -> None:
    def reply(_body: dict[str, Any], _seen: int) -> tuple[int, Any, dict[str, str]]:
        return 200, {"choices": [{"index": 0, "text": "hello", "logprobs": told}]}, {}

    with endpoint(reply, "completions") as server, pytest.raises(EngineError, match="log-probabilities of its prompt"):
        ask(write_task(tmp_path / "task"), server.url, tmp_path, limit=2)


def test_an_address_that_does_not_echo_the_prompt_is_refused(tmp_path: Path) -> None:
    def reply(_body: dict[str, Any], _seen: int) -> tuple[int, Any, dict[str, str]]:
        told = {"token_logprobs": [-0.5], "top_logprobs": [{"a": -0.5}]}
        return 200, {"choices": [{"index": 0, "text": "a", "logprobs": told}]}, {}

    with endpoint(reply, "completions") as server, pytest.raises(EngineError, match="does not echo the prompt"):
        ask(write_task(tmp_path / "task"), server.url, tmp_path, limit=2)


@pytest.mark.parametrize("length", [1, 14, 15, 16, 29, 100])
def test_a_text_longer_than_the_context_has_each_token_scored_once(length: int) -> None:
    """Each token of a prompt costs 1 nat here, but for the first, which has nothing before it."""

    def reply(body: dict[str, Any], _seen: int) -> tuple[int, Any, dict[str, str]]:
        prompt = body["prompt"]
        assert len(prompt) + body["max_tokens"] <= 16
        told = {"token_logprobs": [None, *[-1.0] * len(prompt)], "top_logprobs": [None, *[{"a": -1.0}] * len(prompt)]}
        return 200, {"choices": [{"index": 0, "text": "a", "logprobs": told}]}, {}

    tokenizer = load_tokenizer(str(TINY_BASE))
    with endpoint(reply, "completions") as server:
        model = EndpointLM(OpenAIAddress(server.url, "tiny", None), tokenizer, 16, 2, CallContext())
        text = tokenizer.decode(tokenizer.encode("a" * 400, add_special_tokens=False)[:length])
        tokens = len(model.tok_encode(text))
        (found,) = model.loglikelihood_rolling([SimpleNamespace(args=(text,))])
    assert found == -tokens


def test_a_wrong_address_model_or_folder_is_named(tmp_path: Path) -> None:
    task = write_task(tmp_path / "task")

    def reply(_body: dict[str, Any], _seen: int) -> tuple[int, Any, dict[str, str]]:
        return 404, {"error": {"message": "no such model"}}, {}

    with endpoint(reply, "completions") as server, pytest.raises(ConfigError, match="no such model"):
        ask(task, server.url, tmp_path, limit=2)
    with pytest.raises(ModelError, match="holds no config"):
        ask_endpoint(
            str(task),
            HarnessOptions(),
            EndpointSubject(base_url="http://127.0.0.1:1/v1", model="tiny"),
            tmp_path,
            GenerationConfig(),
            seed=0,
            table=tmp_path / "t.parquet",
            context=CallContext(),
        )
