"""The digest of a render, and the tokens that end a turn."""

from __future__ import annotations

from pathlib import Path

from pipeline.backends.tokenizer_transformers import load_tokenizer
from pipeline.render import end_of_turn_ids, template_digest
from schemas.render import RenderOptions
from tests.render import templates
from tests.support.tiny_model import tiny_tokenizer


def test_saved_tokenizer_keeps_the_digest(tmp_path: Path) -> None:
    tiny_tokenizer().save_pretrained(tmp_path)
    assert template_digest(load_tokenizer(str(tmp_path))) == template_digest(tiny_tokenizer())


def test_another_template_has_another_digest() -> None:
    other = RenderOptions(chat_template=templates.PLAIN_CHATML)
    assert template_digest(tiny_tokenizer(), other) != template_digest(tiny_tokenizer())


def test_end_of_turn_is_the_end_token_and_what_closes_a_turn() -> None:
    assert end_of_turn_ids(tiny_tokenizer()) == [2]
    closing_with_start = RenderOptions(
        chat_template="{% for m in messages %}{{ m['content'] }}<|im_start|>\n{% endfor %}"
    )
    assert end_of_turn_ids(tiny_tokenizer(), closing_with_start) == [2, 1]
    # Phi-3 closes a turn with its own token and the text with the tokenizer's end token: generation stops at the first
    twice = closing_with_start.model_copy(
        update={"chat_template": f"{closing_with_start.chat_template}{{{{ eos_token }}}}"}
    )
    assert end_of_turn_ids(tiny_tokenizer(), twice) == [2, 1]
    # Cohere closes the response, then the turn
    pair = RenderOptions(
        chat_template="{% for m in messages %}{{ m['content'] }}<|endoftext|><|im_start|>\n{% endfor %}"
    )
    assert end_of_turn_ids(tiny_tokenizer(), pair) == [2, 1]
    nothing = RenderOptions(chat_template=templates.NO_END)
    assert end_of_turn_ids(tiny_tokenizer(), nothing) == [2]
