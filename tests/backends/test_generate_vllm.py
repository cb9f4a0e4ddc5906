from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from pipeline.backends.generate_transformers import load_generator
from pipeline.backends.tokenizer_transformers import load_tokenizer
from pipeline.core.context import CallContext
from pipeline.core.models import ModelFiles
from schemas.evaluate import GenerationConfig
from tests.conftest import PROJECT
from tests.support.tiny_model import write_tiny_base
from tests.support.variants import random_adapter

SCRIPT = """
import json, sys
from dataclasses import asdict
from pathlib import Path
from pipeline.backends.generate_vllm import VllmGenerator
from pipeline.backends.tokenizer_transformers import load_tokenizer
from pipeline.core.context import CallContext
from pipeline.core.errors import EngineError
from pipeline.core.models import ModelFiles
from schemas.evaluate import GenerationConfig

base, adapter, request, result = sys.argv[1:]
asked = json.loads(Path(request).read_text())
config = GenerationConfig.model_validate(asked["config"])
generator = VllmGenerator(
    ModelFiles(base, None, Path(adapter), base, False),
    load_tokenizer(base),
    stop_ids=asked["stop_ids"],
    max_model_len=128,
    max_num_seqs=8,
)
answers = [
    [asdict(answer) for answer in generator.generate(asked["prompts"], settings, CallContext())]
    for settings in (config, config.model_copy(update={"temperature": 1.0, "seed": 5}))
]
try:
    generator.score([[5, 6]], [[7]], batch_size=8, context=CallContext())
except EngineError as error:
    answers.append(str(error))
Path(result).write_text(json.dumps(answers))
"""

SCORES = """
import json, sys
from dataclasses import asdict
from pathlib import Path
from pipeline.backends.generate_vllm import VllmGenerator
from pipeline.backends.tokenizer_transformers import load_tokenizer
from pipeline.core.context import CallContext
from pipeline.core.models import ModelFiles

base, request, result = sys.argv[1:]
generator = VllmGenerator(
    ModelFiles(base, None, None, base, False), load_tokenizer(base), stop_ids=[], max_model_len=128, max_num_seqs=8
)
scored = generator.score(*json.loads(Path(request).read_text()), batch_size=8, context=CallContext())
Path(result).write_text(json.dumps([asdict(one) for one in scored]))
"""


def run(python: Path, script: str, *arguments: Path) -> None:
    done = subprocess.run(
        [str(python), "-c", script, *map(str, arguments)], cwd=PROJECT, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.vllm
def test_vllm_and_transformers_agree_on_greedy_answers_of_an_adapter(vllm_python: Path, tmp_path: Path) -> None:
    base = write_tiny_base(tmp_path / "base", tie_word_embeddings=False, initializer_range=0.3)
    adapter = random_adapter(tmp_path / "adapter", base).path / "model"
    tokenizer = load_tokenizer(str(base))
    prompts = [tokenizer("please help me find it " * size)["input_ids"] for size in range(1, 8)] * 10
    # One prompt leaves less room than is asked for: both engines stop at the end of the context.
    prompts.append([7] * 120)
    config = GenerationConfig(max_new_tokens=16, batch_size=8)
    stop_ids = list(range(0, 384, 9))
    request, result = tmp_path / "request.json", tmp_path / "result.json"
    request.write_text(
        json.dumps({"prompts": prompts, "stop_ids": stop_ids, "config": config.model_dump()}),
        encoding="utf-8",
    )

    run(vllm_python, SCRIPT, base, adapter, request, result)

    answers, sampled, refused = json.loads(result.read_text(encoding="utf-8"))
    ours = load_generator(
        ModelFiles(str(base), None, adapter, str(base), False),
        tokenizer,
        stop_ids=stop_ids,
        context_length=128,
        dtype="auto",
    ).generate(prompts, config, CallContext())
    assert [answer["token_ids"] for answer in answers] == [answer.token_ids for answer in ours]
    assert [answer["text"] for answer in answers] == [answer.text for answer in ours]
    assert [answer["finish_reason"] for answer in answers] == [answer.finish_reason for answer in ours]
    assert {answer.finish_reason for answer in ours} == {"stop", "length"}
    assert sampled != answers
    assert len({tuple(answer["token_ids"]) for answer in sampled}) > len({tuple(answer.token_ids) for answer in ours})
    assert "does not compute an adapter's likelihoods" in refused


@pytest.mark.vllm
def test_vllm_and_transformers_agree_on_likelihoods(vllm_python: Path, tmp_path: Path) -> None:
    base = write_tiny_base(tmp_path / "base", tie_word_embeddings=False, initializer_range=0.3)
    tokenizer = load_tokenizer(str(base))
    prompts = [tokenizer("please help me find it " * size)["input_ids"] for size in range(1, 8)] * 2
    continuations = [prompt[::-1][: place % 5] for place, prompt in enumerate(prompts)]
    request, result = tmp_path / "request.json", tmp_path / "result.json"
    request.write_text(json.dumps([prompts, continuations]), encoding="utf-8")
    run(vllm_python, SCORES, base, request, result)
    scored = json.loads(result.read_text(encoding="utf-8"))
    files = ModelFiles(str(base), None, None, str(base), False)
    ours = load_generator(files, tokenizer, stop_ids=[], context_length=128, dtype="auto").score(
        prompts, continuations, batch_size=8, context=CallContext()
    )
    assert [one["tokens"] for one in scored] == [one.tokens for one in ours]
    assert [one["log_probability"] for one in scored] == pytest.approx([one.log_probability for one in ours], abs=1e-3)
