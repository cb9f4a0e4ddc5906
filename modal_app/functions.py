"""One function for each kind of stage call: its stage in the image of the environment that it needs.

What a call is given beyond that (GPU, cores, memory, timeout) is chosen by its plan when it is called; a function is
declared with what `modal_app.sizes` says of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import modal

from modal_app.app import SECRETS, stages
from modal_app.attempts import attempt
from modal_app.images import image
from modal_app.settings import SETTINGS
from modal_app.sizes import declared
from modal_app.volumes import ENGINE, WORKSPACE
from pipeline.catalog import OPTIMIZE_LEGACY, OPTIMIZE_LLMCOMPRESSOR, SERVE_VLLM, TRAIN
from pipeline.environments import MAIN
from schemas.base import StageName

Stage = Callable[[str], str]
"""A stage function: an `Envelope` in, a `Reply` out, both as JSON text."""


def _stage(stage: StageName, role: str) -> Callable[[Stage], modal.Function[..., Any, Any]]:
    """Return the decorator of a stage's function in the image of ``role``.

    A container takes one call: what libraries leave behind in a process never meets the next one, and no file of the
    Volume is open when the next one reloads it. Retries are the controller's; a preempted call Modal itself repeats.
    """
    return stages.function(
        image=image(role),
        volumes=ENGINE if role == SERVE_VLLM else WORKSPACE,
        secrets=SECRETS,
        max_containers=SETTINGS.workers,
        single_use_containers=True,
        **declared(stage, role),
    )


@_stage("plan", MAIN)
def plan_stage(envelope: str) -> str:
    """Plan a run."""
    return attempt(envelope)


@_stage("data", MAIN)
def data_stage(envelope: str) -> str:
    """Read, clean, split and render data."""
    return attempt(envelope)


@_stage("train", TRAIN)
def train_stage(envelope: str) -> str:
    """Train one seed."""
    return attempt(envelope)


@_stage("evaluate", MAIN)
def evaluate_reference_stage(envelope: str) -> str:
    """Score what answers elsewhere or without a model: an endpoint, TF-IDF."""
    return attempt(envelope)


@_stage("evaluate", TRAIN)
def evaluate_stage(envelope: str) -> str:
    """Score a model that transformers runs."""
    return attempt(envelope)


@_stage("evaluate", SERVE_VLLM)
def evaluate_vllm_stage(envelope: str) -> str:
    """Score a model that vLLM runs."""
    return attempt(envelope)


@_stage("optimize", MAIN)
def merge_stage(envelope: str) -> str:
    """Merge an adapter into its base."""
    return attempt(envelope)


@_stage("optimize", OPTIMIZE_LLMCOMPRESSOR)
def optimize_stage(envelope: str) -> str:
    """Quantize with llm-compressor."""
    return attempt(envelope)


@_stage("optimize", OPTIMIZE_LEGACY)
def optimize_legacy_stage(envelope: str) -> str:
    """Quantize with auto-gptq or autoawq."""
    return attempt(envelope)


@_stage("bias", TRAIN)
def bias_stage(envelope: str) -> str:
    """Ask a model that transformers runs what a probe of bias asks."""
    return attempt(envelope)


@_stage("bias", SERVE_VLLM)
def bias_vllm_stage(envelope: str) -> str:
    """Ask a model that vLLM runs what a probe of bias asks."""
    return attempt(envelope)


@_stage("judge", MAIN)
def judge_stage(envelope: str) -> str:
    """Let a language model judge two subjects' answers."""
    return attempt(envelope)


@_stage("serve", SERVE_VLLM)
def serve_stage(envelope: str) -> str:
    """Start vLLM, check parity, and stop it."""
    return attempt(envelope)


@_stage("serve", TRAIN)
def serve_transformers_stage(envelope: str) -> str:
    """Start transformers serve, check parity, and stop it."""
    return attempt(envelope)


@_stage("register", MAIN)
def register_stage(envelope: str) -> str:
    """Decide by the gate and describe the version."""
    return attempt(envelope)


FUNCTIONS: dict[tuple[StageName, str], modal.Function[..., Any, Any]] = {
    ("plan", MAIN): plan_stage,
    ("data", MAIN): data_stage,
    ("train", TRAIN): train_stage,
    ("evaluate", MAIN): evaluate_reference_stage,
    ("evaluate", TRAIN): evaluate_stage,
    ("evaluate", SERVE_VLLM): evaluate_vllm_stage,
    ("optimize", MAIN): merge_stage,
    ("optimize", OPTIMIZE_LLMCOMPRESSOR): optimize_stage,
    ("optimize", OPTIMIZE_LEGACY): optimize_legacy_stage,
    ("bias", TRAIN): bias_stage,
    ("bias", SERVE_VLLM): bias_vllm_stage,
    ("judge", MAIN): judge_stage,
    ("serve", SERVE_VLLM): serve_stage,
    ("serve", TRAIN): serve_transformers_stage,
    ("register", MAIN): register_stage,
}
"""Every function by stage and role."""
