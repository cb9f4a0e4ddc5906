"""Toxicity: the share of answers to given prompts that a given classifier finds toxic.

Deviation from Gehman et al. (RealToxicityPrompts, Findings of EMNLP 2020), who sample 25 continuations of each prompt:
there is one answer for each, generated as in the evaluation, and the classifier reads the answer without its prompt.
"""

from __future__ import annotations

from pipeline.evaluate.bias.probing import Found, Probing
from pipeline.evaluate.bias.prompts import read_prompts, row_of
from schemas.bias import ToxicityProbe


def probe_toxicity(probe: ToxicityProbe, probing: Probing) -> Found:
    """Ask the prompts and score the answers; an empty answer is in no figure.

    Raises:
        SourceError, DataError: the prompts cannot be read.
        ConfigError, ModelError: the classifier has no such label, or cannot be loaded.
    """
    prompts = probing.sample(read_prompts(probing.path("prompts")), probe.max_items)
    completions, answers, engine = probing.ask([prompt.text for prompt in prompts], "prompts")
    scores = probing.classify(probe.classifier, answers)
    return Found(
        rows=[
            row_of(prompt, completion, {"score": score})
            for prompt, completion, score in zip(prompts, completions, scores, strict=True)
        ],
        values={
            "toxic_answers": [None if score is None else float(score > probe.classifier.threshold) for score in scores]
        },
        asked=[prompt.text for prompt in prompts],
        engine=engine,
        completions=completions,
    )
