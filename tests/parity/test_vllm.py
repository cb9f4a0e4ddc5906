"""vLLM's own front end reads the same two hundred conversations as training did, in every family."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from local_runner.environments import environment
from pipeline.render import render_prompt
from tests.parity.conversations import Conversation
from tests.parity.families import FAMILIES, tokenizer_of
from tests.parity.test_families import fitting
from tests.support.tiny_model import tiny_config

pytestmark = [pytest.mark.vllm, pytest.mark.slow]

SCRIPT = Path(__file__).with_name("render_by_vllm.py")


def request(one: Conversation) -> dict[str, Any]:
    """Return the conversation up to its answer as a client sends it: the arguments of calls are JSON text."""
    messages = [message.for_template() for message in one.messages[:-1]]
    for message in messages:
        for call in message.get("tool_calls", ()):
            call["function"] = {**call["function"], "arguments": json.dumps(call["function"]["arguments"])}
    return {"messages": messages, **({"tools": list(one.tools), "tool_choice": "none"} if one.tools else {})}


def test_vllm_reads_what_training_showed(tmp_path: Path) -> None:
    vllm = environment("serve-vllm")
    if not vllm.installed:
        pytest.skip("NO VLLM HERE: hone env create serve-vllm")
    told = []
    for family in FAMILIES:
        tokenizer: Any = tokenizer_of(family.name)
        tokenizer.save_pretrained(tmp_path / family.name)
        config = tiny_config(len(tokenizer), max_position_embeddings=65_536, architectures=["LlamaForCausalLM"])
        config.save_pretrained(tmp_path / family.name)
        told.append({"folder": str(tmp_path / family.name), "requests": [request(one) for one in fitting(family)]})
    done = subprocess.run(
        [str(vllm.python), "-s", str(SCRIPT)],
        input=json.dumps(told),
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
        env={**os.environ, "PYTHONPATH": "", "VLLM_LOGGING_LEVEL": "ERROR", "HF_HUB_OFFLINE": "1"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    answers = json.loads(done.stdout.strip().splitlines()[-1])
    compared, different = 0, []
    for family, found in zip(FAMILIES, answers, strict=True):
        tokenizer = tokenizer_of(family.name)
        for one, ids in zip(fitting(family), found, strict=True):
            compared += 1
            if ids != render_prompt(one.messages[:-1], tokenizer, tools=one.tools):
                different.append(f"{family.name}, {one.name}: {ids if isinstance(ids, str) else tokenizer.decode(ids)}")
    assert not different, "\n".join(different[:5])
    assert compared >= 2800
