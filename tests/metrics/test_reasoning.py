"""What is scored of an answer that begins with reasoning."""

from __future__ import annotations

import pytest

from pipeline.metrics.reasoning import answer_of
from pipeline.render import render_conversation
from schemas.data import Message
from schemas.render import RenderOptions
from tests.support.tiny_model import tiny_tokenizer


def test_what_a_perfect_model_writes_is_scored_as_its_reference() -> None:
    """The trained tokens of a row with reasoning are what a model that learned it generates."""
    tokenizer = tiny_tokenizer()
    row = [
        Message(role="user", content="2 + 2?"),
        Message(role="assistant", content="4", reasoning_content="two\n\nand two"),
    ]
    rendered = render_conversation(row, tokenizer, RenderOptions())
    trained = [token for token, kept in zip(rendered.ids, rendered.trained, strict=True) if kept]
    prediction = tokenizer.decode(trained, skip_special_tokens=True)
    assert prediction == "<think>\ntwo\n\nand two\n</think>\n4"
    assert answer_of(prediction, "4") == "4"


@pytest.mark.parametrize(
    ("prediction", "reference", "scored"),
    [
        ("4", "4", "4"),
        ("2 and 2 is 4\n</think>\n\n4", "4", "4"),
        (" <think></think>\n\n4 ", "4", "4 "),
        ("<think>a</think>b</think>", "4", "b</think>"),
        ("<think>a</think><think>b</think>4", "4", "<think>b</think>4"),
        ("<think>cut before its en", "4", "<think>cut before its en"),
        ("4 <think>after</think>", "4", "4 <think>after</think>"),
        ("<think>a</think>4", "<think>b</think>4", "<think>a</think>4"),
        ("4", "<think>b</think>4", "4"),
    ],
)
def test_only_a_leading_block_goes_and_only_where_the_reference_has_none(
    prediction: str, reference: str, scored: str
) -> None:
    assert answer_of(prediction, reference) == scored
