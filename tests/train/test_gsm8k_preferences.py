"""GSM8K's own preferences: of two solutions by language models to one problem, the one whose result is right.

A reward model of one small layer begins without weights and reads 1,456 pairs. On the pairs of problems that it has not
read it tells right from wrong more often than before: by how solutions are written, not by doing the sums.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from schemas.base_model import BaseModelRef, ModelInit, TokenizerSpec
from tests.data.support import run_stage as run_data
from tests.evaluate.support import data_artifact as held_out
from tests.support.learning import check_learned, preferred
from tests.support.training import Trained, data_artifact, run_stage, train_config

pytestmark = [pytest.mark.full, pytest.mark.real_data]

SHAPE = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "max_position_embeddings": 1024,
}


def test_a_reward_model_learns_from_graded_solutions(real_data: Path, tmp_path: Path) -> None:
    read = run_data(
        tmp_path,
        real_data / "gsm8k_pref" / "pairs.jsonl",
        columns={"group": "qid"},
        split={"by": "group", "test": 0.4, "validation": 0.0},
        deduplicate={"near": False},
    )
    assert read.artifact.rows == {"train": 1456, "test": 970}
    held = read.examples("test")
    train = data_artifact(tmp_path / "train", read.examples("train"), kind="preference")
    test = held_out(tmp_path / "test", test=held, kind="preference", labels=None)
    base = BaseModelRef(name="llama", init=ModelInit(config=SHAPE, tokenizer=TokenizerSpec(vocab_size=1024)))

    def trained(name: str, **changes: object) -> Trained:
        settings = {"num_train_epochs": 9, "per_device_train_batch_size": 16, "max_length": 1000, **changes}
        return run_stage(tmp_path / name, train_config(base, method="reward", adapter="full", **settings), train)

    first = trained("untrained", max_steps=1, learning_rate=1e-12)
    last = trained("trained", max_steps=150, learning_rate=3e-3)
    before = preferred(tmp_path / "before", test, base_model=base, trained=first)
    after = preferred(tmp_path / "after", test, base_model=base, trained=last)
    # solutions to one problem are not independent of each other
    check_learned(after, before, least=0.02, clusters=[row.cluster for row in held])
