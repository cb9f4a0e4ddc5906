"""Generation by vLLM in this process: token ids in, token ids out. It runs in the serve-vllm environment."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from typing import Any

from pipeline.backends.generation import (
    Advance,
    Completion,
    Likelihood,
    answer_limits,
    check_continuations,
    completion_of,
)
from pipeline.backends.settings_vllm import CPU_ENVIRONMENT, ENVIRONMENT, check_cpu, lora_rank, tensor_parallel_size
from pipeline.core.context import CallContext
from pipeline.core.errors import EngineError, EnvironmentMissing
from pipeline.core.models import ModelFiles
from pipeline.render import Tokenizer
from schemas.evaluate import GenerationConfig

_IN_PROCESS = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_WORKER_MULTIPROC_METHOD": "spawn",
    "VLLM_LOGGING_LEVEL": "WARNING",
}
"""The engine in this process, on GPUs too, and quiet; a worker for each of several GPUs, begun anew: CUDA does not
work in a process forked from one that has asked for its devices."""

_WAVE = 8
"""Batches handed to the engine at once; between two waves the call can be cancelled."""


class VllmGenerator:
    """A `Generator` over vLLM's ``LLM``.

    Args:
        files: weights and adapter; the adapter is served as a LoRA request, not merged.
        tokenizer: decodes the answers.
        stop_ids: tokens that end an answer.
        max_model_len: longest prompt with its answer, in tokens.
        max_num_seqs: sequences in one step.
        dtype: as vLLM takes it; ``auto`` is ``cpu_dtype`` on a CPU (where bfloat16 may need instructions that the
            CPU does not have).

    Raises:
        EnvironmentMissing: vLLM is not installed in this environment, or this CPU cannot read the weights.
        EngineError: vLLM refuses the model.
    """

    def __init__(
        self,
        files: ModelFiles,
        tokenizer: Tokenizer,
        *,
        stop_ids: Collection[int],
        max_model_len: int,
        max_num_seqs: int,
        dtype: str = "auto",
        cpu_dtype: str = "float32",
    ) -> None:
        self._tokenizer = tokenizer
        self._stop_ids = frozenset(stop_ids)
        self._max_model_len = max_model_len
        _prepare_environment()
        try:
            from vllm import LLM
            from vllm.lora.request import LoRARequest
            from vllm.platforms import current_platform
        except ImportError as error:
            raise EnvironmentMissing(
                "vLLM is not installed in this environment",
                where="serve-vllm",
                fix="run `hone env create serve-vllm`",
            ) from error
        if current_platform.is_cpu():
            check_cpu(files)
            options: dict[str, Any] = {
                "dtype": cpu_dtype if dtype == "auto" else dtype,
                "enforce_eager": True,
                "distributed_executor_backend": "uni",
            }
        else:
            options = {"dtype": dtype, "tensor_parallel_size": tensor_parallel_size(files)}
        self._adapter = None
        if files.adapter is not None:
            self._adapter = LoRARequest("adapter", 1, str(files.adapter))
            options |= {"enable_lora": True, "max_loras": 1, "max_lora_rank": lora_rank(files.adapter)}
        try:
            self._engine = LLM(
                model=files.weights,
                tokenizer=files.tokenizer,
                revision=files.revision,
                trust_remote_code=files.trust_remote_code,
                max_model_len=max_model_len,
                max_num_seqs=max_num_seqs,
                seed=0,
                **options,
            )
        except (ValueError, RuntimeError, OSError, TypeError) as error:
            raise EngineError(
                f"vLLM cannot load the model: {_last_line(error)}",
                where=str(files.adapter or files.weights),
                fix="set evaluate.generation.backend to transformers; where vLLM alone loads it, take the variant out",
            ) from error

    def generate(
        self,
        prompts: Sequence[list[int]],
        config: GenerationConfig,
        context: CallContext,
        advance: Advance | None = None,
    ) -> list[Completion]:
        """Return one completion per prompt; see `Generator`.

        A sampled answer depends on the seed and the prompt's place.
        """
        if advance is None:
            with context.progress("generate", len(prompts)) as shown:
                return self.generate(prompts, config, context, shown)
        limits = answer_limits(prompts, config.max_new_tokens, self._max_model_len)
        completions: list[Completion] = []
        size = _WAVE * config.batch_size
        for first in range(0, len(prompts), size):
            context.check()
            wave = prompts[first : first + size]
            answers = self._answer(wave, limits[first : first + size], config, first)
            completions += [
                completion_of(len(prompt), answer, self._stop_ids, self._tokenizer)
                for prompt, answer in zip(wave, answers, strict=True)
            ]
            advance(len(wave))
        return completions

    def score(
        self,
        prompts: Sequence[Sequence[int]],
        continuations: Sequence[Sequence[int]],
        *,
        batch_size: int,
        context: CallContext,
        advance: Advance | None = None,
    ) -> list[Likelihood]:
        """Return how likely the model finds each continuation; see `Generator`.

        Each sequence is read as a prompt, behind which vLLM generates one token: of one that fills the context the last
        token is left out.

        Raises:
            EngineError: the model is an adapter beside its base, or vLLM fails.
        """
        if advance is None:
            with context.progress("score", len(prompts)) as shown:
                return self.score(prompts, continuations, batch_size=batch_size, context=context, advance=shown)
        if self._adapter is not None:
            raise EngineError(
                "vLLM does not compute an adapter's likelihoods: it fails where the logits of a prompt are asked for",
                where="evaluate.generation.backend",
                fix="set it to transformers, or evaluate the merged variant",
            )
        check_continuations(prompts, continuations, self._max_model_len)
        most = self._max_model_len - 1  # one token is always generated
        from vllm import SamplingParams

        found: list[Likelihood] = []
        size = _WAVE * batch_size
        for first in range(0, len(prompts), size):
            context.check()
            both = zip(prompts[first : first + size], continuations[first : first + size], strict=True)
            wave = [[*prompt, *more][:most] for prompt, more in both]
            read = self._run(wave, SamplingParams(max_tokens=1, temperature=0.0, prompt_logprobs=0, detokenize=False))
            for place, (tokens, output) in enumerate(zip(wave, read, strict=True), start=first):
                start = len(prompts[place])
                told = [output.prompt_logprobs[at][tokens[at]].logprob for at in range(start, len(tokens))]
                found.append(Likelihood(float(sum(told)), len(tokens) - start))
            advance(len(wave))
        return found

    def _answer(
        self, prompts: Sequence[list[int]], limits: Sequence[int], config: GenerationConfig, first: int
    ) -> list[list[int]]:
        from vllm import SamplingParams

        parameters = [
            SamplingParams(
                temperature=config.temperature,
                top_p=config.top_p,
                max_tokens=limit,
                seed=config.seed + first + place if config.temperature > 0 else None,
                stop_token_ids=sorted(self._stop_ids),
                detokenize=False,
            )
            for place, limit in enumerate(limits)
        ]
        return [list(output.outputs[0].token_ids) for output in self._run(prompts, parameters)]

    def _run(self, prompts: Sequence[Sequence[int]], parameters: Any) -> list[Any]:
        try:
            outputs: list[Any] = self._engine.generate(
                [{"prompt_token_ids": list(prompt)} for prompt in prompts],
                parameters,
                lora_request=self._adapter,
                use_tqdm=False,
            )
        except (ValueError, RuntimeError) as error:
            raise EngineError(
                f"vLLM failed while generating: {_last_line(error)}",
                where="evaluate.generation",
                fix="lower evaluate.generation.batch_size, or set evaluate.generation.backend to transformers",
            ) from error
        return outputs


def _prepare_environment() -> None:
    """Set what vLLM reads on import; what the caller has set stays."""
    import torch

    on_cpu = {} if torch.cuda.is_available() else CPU_ENVIRONMENT
    for name, value in (ENVIRONMENT | _IN_PROCESS | on_cpu).items():
        os.environ.setdefault(name, value)


def _last_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[-1] if lines else type(error).__name__
