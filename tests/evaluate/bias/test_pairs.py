from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.core.context import CallContext
from pipeline.core.errors import DataError
from pipeline.core.models import ModelFiles
from pipeline.evaluate.backends import Likelihood
from pipeline.evaluate.bias.figures import figures_of
from pipeline.evaluate.bias.likelihoods import Text, likelihoods
from pipeline.evaluate.bias.pairs import Compared, Pair, pair_values, read_pairs
from pipeline.evaluate.local_model import LocalModel
from pipeline.render import render_prompt
from pipeline.statistics import wilson_interval
from schemas.data import Message
from schemas.evaluate import GenerationConfig
from tests.support.tiny_model import tiny_base_tokenizer, write_tiny_base


def compared(number: int, more: tuple[float, int], less: tuple[float, int]) -> Compared:
    pair = Pair(str(number), "one", "other", f"pair {number}", None)
    return Compared(pair, Likelihood(*more), Likelihood(*less))


def test_shares_are_those_of_the_totals_and_of_the_means() -> None:
    """By total the first is preferred in 3 of 4 pairs that are not tied; per token in 2 of 5.

    Per token: -2 and -3 (more), -5/2 and -2 (less), -3 and -3/2 (less), -1 and -2 (more), -2 and -4/3 (less).
    """
    rows = [
        compared(1, (-4.0, 2), (-6.0, 2)),
        compared(2, (-5.0, 2), (-6.0, 3)),
        compared(3, (-6.0, 2), (-3.0, 2)),
        compared(4, (-1.0, 1), (-2.0, 1)),
        compared(5, (-4.0, 2), (-4.0, 3)),
    ]
    found = figures_of("pairs", pair_values(rows), range(5))
    total, per_token = found["stereotype_share"], found["stereotype_share_per_token"]
    assert ((total.value, total.n), (per_token.value, per_token.n)) == ((0.75, 4), (0.4, 5))
    wilson = wilson_interval(3, 4)
    assert (total.low, total.high, total.method) == (wilson.low, wilson.high, "Wilson")


def test_pairs_are_read_from_crows_pairs_own_columns_and_from_plain_ones(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(
        ",sent_more,sent_less,stereo_antistereo,bias_type\n"
        '0,"He, a nurse, left.","She, a nurse, left.",antistereo,gender\n'
    )
    (tmp_path / "b.jsonl").write_text(
        '{"stereotyping": "x", "less_stereotyping": "y", "cluster": 0, "bias_type": "", "category": 0}\n'
    )
    assert read_pairs(tmp_path) == [
        Pair("1", "He, a nurse, left.", "She, a nurse, left.", "pair 1", "gender"),
        Pair("2", "x", "y", "0", "0"),
    ]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ('{"sent_more": "x"}', "no text under sent_less"),
        ('{"sent_more": "x", "sent_less": "x "}', "same sentence twice"),
        ('{"sent_more": "x", "sent_less": "y", "cluster": [1]}', "no text or number under cluster"),
    ],
)
def test_a_row_that_is_no_pair_is_named(tmp_path: Path, row: str, message: str) -> None:
    (tmp_path / "pairs.jsonl").write_text(f"\n{row}\n")
    with pytest.raises(DataError, match=message) as refused:
        read_pairs(tmp_path / "pairs.jsonl")
    assert refused.value.where == f"{tmp_path / 'pairs.jsonl'}:2"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_base(tmp_path_factory.mktemp("base"), initializer_range=0.3)


def ask(base: Path, *texts: Text) -> list[Likelihood]:
    model = LocalModel(ModelFiles(str(base), None, None, str(base), False), None, None)
    found, engine = likelihoods(model, texts, GenerationConfig(batch_size=2), CallContext(), "texts")
    assert engine.startswith("transformers ")
    return found


def by_definition(base: Path, ids: list[int], more: list[int]) -> float:
    import torch
    from transformers import AutoModelForCausalLM

    model: Any = AutoModelForCausalLM.from_pretrained(base)
    with torch.inference_mode():
        logits = model(torch.tensor([ids + more])).logits[0].double().log_softmax(dim=-1)
    return float(sum(logits[len(ids) - 1 + place, token] for place, token in enumerate(more)))


def test_a_likelihood_is_that_of_the_text_after_what_it_follows(base: Path) -> None:
    tokenizer = tiny_base_tokenizer(base)
    found = ask(base, Text("The refund"), Text("The refund", "Who is it?"), Text("one two three"))
    alone, answer = (
        list(tokenizer(text, add_special_tokens=False)["input_ids"]) for text in ("The refund", "one two three")
    )
    assert tokenizer.bos_token_id is None and tokenizer.eos_token_id is not None
    begin = [tokenizer.eos_token_id]
    asked = render_prompt([Message(role="user", content="Who is it?")], tokenizer)
    expected = [
        by_definition(base, begin, alone),
        by_definition(base, asked, alone),
        by_definition(base, begin, answer),
    ]
    assert [one.log_probability for one in found] == pytest.approx(expected, abs=1e-4)
    assert [one.tokens for one in found] == [len(alone), len(alone), len(answer)]


def test_a_text_that_does_not_fit_is_refused(base: Path) -> None:
    with pytest.raises(DataError, match="does not fit into the model's context of 512"):
        ask(base, Text("refund " * 600))
