"""The files that HELM reads to run its scenarios against a served version, as text by relative path.

Written for crfm-helm 0.5.16: ``helm.benchmark.model_deployment_registry.ModelDeployments``,
``helm.benchmark.model_metadata_registry.ModelMetadataList``, ``helm.benchmark.tokenizer_config_registry
.TokenizerConfigs``, ``helm.benchmark.presentation.run_entry.RunEntries`` and ``helm.common.credentials_utils``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import yaml

from pipeline.core.errors import ConfigError
from pipeline.core.helm import ORGANIZATION
from pipeline.evaluate.helm.entries import run_entries

HELM_VERSION = "0.5.16"
LOCAL = "prod_env"
TOKENIZER = "tokenizer"
_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]*")
"""Capitals alone: a key that is given in place of its name must not reach a file."""
_CLIENTS = {
    (True, False): "helm.clients.vllm_client.VLLMChatClient",
    (False, False): "helm.clients.vllm_client.VLLMClient",
    (True, True): "helm.clients.openai_client.OpenAIClient",
    (False, True): "helm.clients.openai_client.OpenAILegacyCompletionsClient",
}
"""By whether it is a chat and whether a key is asked for: the vLLM clients send the fixed key EMPTY."""


@dataclass(frozen=True)
class Served:
    """An endpoint and what answers there.

    ``model`` is HELM's name, ``served`` the endpoint's; ``base_url`` ends in ``/v1``; ``length`` is prompt and answer
    together, in tokens; ``key_variable`` names the environment variable with the endpoint's key, None without one.
    """

    model: str
    version: str
    served: str
    chat: bool
    base_url: str
    length: int
    beginning: str
    end: str
    key_variable: str | None


def helm_files(served: Served, scenarios: Sequence[str]) -> dict[str, str]:
    """Return the text of every file, by path.

    Raises:
        ConfigError: the address, the variable or a scenario is malformed, or the address holds a password.
    """
    _check(served)
    files = {
        "run_entries.conf": run_entries(scenarios, served.model),
        f"{LOCAL}/model_deployments.yaml": _yaml({"model_deployments": [_deployment(served)]}),
        f"{LOCAL}/model_metadata.yaml": _yaml({"models": [_metadata(served)]}),
        f"{LOCAL}/tokenizer_configs.yaml": _yaml({"tokenizer_configs": [_tokenizer(served)]}),
        "README.md": _readme(served),
    }
    if served.key_variable is not None:
        files[f"{LOCAL}/credentials.conf"] = f"{ORGANIZATION}ApiKey: ${{{served.key_variable}}}\n"
    return files


def _check(served: Served) -> None:
    address = urlsplit(served.base_url)
    if address.scheme not in ("http", "https") or not address.hostname:
        raise ConfigError("this is no address", where="--base-url", fix="write http://host:8000/v1")
    if "@" in address.netloc or address.query or address.fragment:
        raise ConfigError(
            "the address may hold no user, password or query, which would stand in a file",
            where="--base-url",
            fix="name the variable that holds the key with --api-key-env",
        )
    if served.key_variable is not None and _VARIABLE.fullmatch(served.key_variable) is None:
        raise ConfigError(
            "this is no name of a variable", where="--api-key-env", fix="give the name, as HONE_API_KEY, not the key"
        )


def _deployment(served: Served) -> dict[str, Any]:
    keyed = served.key_variable is not None
    named = "openai_model_name" if keyed else "vllm_model_name"
    return {
        "name": served.model,
        "model_name": served.model,
        "tokenizer_name": served.model,
        "max_sequence_length": served.length,
        "max_sequence_and_generated_tokens_length": served.length,
        "client_spec": {
            "class_name": _CLIENTS[served.chat, keyed],
            "args": {"base_url": served.base_url, named: served.served},
        },
    }


def _metadata(served: Served) -> dict[str, Any]:
    functionality = "LIMITED_FUNCTIONALITY_TEXT_MODEL_TAG" if served.chat else "FULL_FUNCTIONALITY_TEXT_MODEL_TAG"
    return {
        "name": served.model,
        "display_name": served.version,
        "description": f"{served.version}, fine-tuned with hone",
        "creator_organization_name": ORGANIZATION,
        "access": "limited",
        "tags": ["TEXT_MODEL_TAG", functionality, *(["INSTRUCTION_FOLLOWING_MODEL_TAG"] if served.chat else [])],
    }


def _tokenizer(served: Served) -> dict[str, Any]:
    return {
        "name": served.model,
        "tokenizer_spec": {
            "class_name": "helm.tokenizers.huggingface_tokenizer.HuggingFaceTokenizer",
            "args": {"pretrained_model_name_or_path": TOKENIZER},
        },
        "end_of_text_token": served.end,
        "prefix_token": served.beginning,
    }


def _yaml(value: dict[str, Any]) -> str:
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True)


def _readme(served: Served) -> str:
    key = f" `{LOCAL}/credentials.conf` takes its key from `{served.key_variable}`." if served.key_variable else ""
    return f"""# HELM on {served.version}

Written for crfm-helm {HELM_VERSION} (`pip install crfm-helm=={HELM_VERSION}`). `{served.served}` must be answering at \
{served.base_url} before.{key} Run both in this folder:

```
helm-run --conf-paths run_entries.conf --local-path {LOCAL} --suite hone --max-eval-instances 1000
hone helm import benchmark_output/runs/hone --version {served.version} --helm-version {HELM_VERSION}
```
"""
