"""A model that others published, through the transformers server: the same text as its authors printed."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from pipeline.backends.engine import EngineRequest
from pipeline.backends.engine_transformers import describe
from pipeline.core.models import ModelFiles
from pipeline.serve.launch import Places
from pipeline.serve.process import LOOPBACK, free_port, start_engine
from schemas.serve import EngineOptions

FROM_BOS = "{{ bos_token }}{% for message in messages %}{{ message.content }}{% endfor %}"
"""llama2.c starts from BOS alone: a chat of one empty turn under this template."""


@pytest.mark.slow
@pytest.mark.real_data
def test_the_transformers_server_tells_the_published_story(real_data: Path, tmp_path: Path) -> None:
    source = real_data / "model_stories260K"
    published = (source / "golden_greedy.txt").read_text(encoding="utf-8").rstrip("\n")
    model = tmp_path / "stories"
    shutil.copytree(source / "hf", model)
    (model / "chat_template.jinja").write_text(FROM_BOS, encoding="utf-8")
    files = ModelFiles(str(model), None, None, str(model), False)
    story = {"messages": [{"role": "user", "content": ""}], "max_tokens": 256, "temperature": 0}
    request = EngineRequest(
        files=files,
        served_model_name="stories",
        options=EngineOptions(),
        cpu_dtype="float32",
        front=False,
        smoke_request={**story, "max_tokens": 1},
    )
    launch = describe(request)
    places = Places(files, tmp_path, LOOPBACK, free_port())
    with start_engine(launch, places, python=sys.executable, grace=2.0) as engine:
        engine.wait_until_ready(lambda: None, seconds=120)
        answer = engine.client.chat({"model": "stories", **story})
    assert answer.text == published
