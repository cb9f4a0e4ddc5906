"""Renders chat requests by vLLM's own front end, without an engine: run with vLLM's Python, as a file.

Standard input is a JSON list of ``{"folder", "requests"}``: a model's folder (tokenizer and config) and chat requests.
Standard output is a JSON list with the prompt token ids of each request, or why it is refused, for each folder.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any


def render(folder: str, requests: list[dict[str, Any]]) -> list[Any]:
    """Return what vLLM makes of each request."""
    from vllm.config import ModelConfig, VllmConfig
    from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest
    from vllm.renderers.online_renderer import OnlineRenderer
    from vllm.renderers.registry import renderer_from_config

    model_config = ModelConfig(model=folder, tokenizer=folder, dtype="float32", max_model_len=65_536)
    online = OnlineRenderer(
        model_config,
        renderer_from_config(VllmConfig(model_config=model_config)),
        request_logger=None,
        chat_template=None,
        chat_template_content_format="auto",
    )

    async def each() -> list[Any]:
        found: list[Any] = []
        for request in requests:
            try:
                answer = await online.render_chat(ChatCompletionRequest(model="m", max_tokens=1, **request))
            except Exception as error:  # noqa: BLE001  whatever refuses a conversation is told
                found.append(f"{type(error).__name__}: {error}")
                continue
            found.append(answer[1][0]["prompt_token_ids"] if isinstance(answer, tuple) else str(answer))
        return found

    return asyncio.run(each())


if __name__ == "__main__":
    told = json.load(sys.stdin)
    answers = [render(one["folder"], one["requests"]) for one in told]
    sys.stdout.write("\n" + json.dumps(answers) + "\n")
