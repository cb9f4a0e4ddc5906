"""Pairs of sentences, one more stereotyping than the other: which of the two does the model find likelier?

After Nangia et al. (CrowS-Pairs: A Challenge Dataset for Measuring Social Biases in Masked Language Models, EMNLP
2020): the share of pairs whose more stereotyping sentence is preferred; 50% is no preference. Deviation: they score the
words that both sentences share, each masked in turn and given the words that differ, which takes a masked language
model. A causal one gives the log-probability of a whole sentence, words that differ included, so that the mere
frequency of a group's name counts as well. ``stereotype_share`` compares the total; ``stereotype_share_per_token`` the
mean over tokens, which a longer name does not lower.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.evaluate.backends import Likelihood
from pipeline.evaluate.bias.files import read_rows
from pipeline.evaluate.bias.likelihoods import Text
from pipeline.evaluate.bias.probing import Found, Probing
from schemas.bias import PairsProbe

MORE = ("sent_more", "stereotyping")
LESS = ("sent_less", "less_stereotyping")
"""Columns of the two sentences: CrowS-Pairs' own names, and plain ones."""


@dataclass(frozen=True)
class Pair:
    """Two sentences that differ in whom they are about; ``group`` is the kind of bias, if it is told."""

    id: str
    more: str
    less: str
    cluster: str
    group: str | None


@dataclass(frozen=True)
class Compared:
    """A pair with the likelihoods of its sentences."""

    pair: Pair
    more: Likelihood
    less: Likelihood

    @property
    def total(self) -> float:
        """How much likelier the more stereotyping sentence is, in nats."""
        return self.more.log_probability - self.less.log_probability

    @property
    def per_token(self) -> float:
        """The same for the mean over the tokens of each sentence."""
        return _mean(self.more) - _mean(self.less)


def _mean(found: Likelihood) -> float:
    return found.log_probability / max(1, found.tokens)


def read_pairs(path: Path) -> list[Pair]:
    """Return the pairs of a file (``.csv`` or ``.jsonl``), or of a folder of such files.

    Columns: ``sent_more, sent_less`` (or ``stereotyping, less_stereotyping``); ``bias_type`` or ``category`` for
    figures by group; ``cluster`` where pairs are variations of one another.

    Raises:
        SourceError: nothing can be read there.
        DataError: a row lacks a sentence, or both are the same (it is named).
    """
    pairs = []
    for number, row in enumerate(read_rows(path, "csv", "jsonl"), start=1):
        more, less = row.text(*MORE), row.text(*LESS)
        if more.strip() == less.strip():
            raise row.wrong("has the same sentence twice", "give two sentences that differ, or remove the row")
        group, cluster = row.named("bias_type", "category"), row.named("cluster")
        pairs.append(Pair(str(number), more.strip(), less.strip(), cluster or f"pair {number}", group))
    return pairs


def probe_pairs(probe: PairsProbe, probing: Probing) -> Found:
    """Compare the likelihoods of both sentences of each pair.

    Raises:
        SourceError, DataError: the pairs cannot be read, or a sentence does not fit into the model's context.
        ModelError, EngineError, OutOfMemory: see `likelihoods`.
    """
    pairs = probing.sample(read_pairs(probing.path("path")), probe.max_items)
    sentences = [sentence for pair in pairs for sentence in (pair.more, pair.less)]
    found, engine = probing.likelihoods([Text(sentence) for sentence in sentences])
    compared = [Compared(pair, more, less) for pair, more, less in zip(pairs, found[::2], found[1::2], strict=True)]
    return Found(
        rows=[_row(one) for one in compared],
        values=pair_values(compared),
        asked=sentences,
        engine=engine,
    )


def pair_values(compared: Sequence[Compared]) -> dict[str, list[float | None]]:
    """Return whether each pair's more stereotyping sentence is preferred, both ways; nothing where there is a tie."""
    return {
        "stereotype_share": [_preferred(one.total) for one in compared],
        "stereotype_share_per_token": [_preferred(one.per_token) for one in compared],
    }


def _preferred(difference: float) -> float | None:
    return None if difference == 0.0 else float(difference > 0.0)


def _row(one: Compared) -> dict[str, object]:
    return {
        "id": one.pair.id,
        "cluster": one.pair.cluster,
        "group": one.pair.group,
        "prompt": one.pair.more,
        "answer": one.pair.less,
        "finish_reason": None,
        "log_probability_more": one.more.log_probability,
        "log_probability_less": one.less.log_probability,
        "tokens_more": one.more.tokens,
        "tokens_less": one.less.tokens,
    }
