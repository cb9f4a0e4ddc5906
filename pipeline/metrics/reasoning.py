"""Reasoning: what a model writes before its answer is kept, and not scored where the reference has none."""

from __future__ import annotations

import re

_BLOCK = re.compile(r"\s*(?:<think>.*?|(?:(?!<think>).)*?)</think>\s*", re.DOTALL)
"""A leading block in the form in which chat templates render ``reasoning_content``; some open it in the prompt."""


def answer_of(prediction: str, reference: str) -> str:
    """Return what is scored: the prediction without its leading reasoning, all of it where the reference reasons too.

    Reasoning that was cut before its end has no answer, and stays.

    >>> answer_of("<think>\\n2 and 2\\n</think>\\n4", "4")
    '4'
    """
    block = _BLOCK.match(prediction)
    if block is None or _BLOCK.match(reference) is not None:
        return prediction
    return prediction[block.end() :]
