"""The whole circle in a shorter form: real processes, real training, real engines."""

from __future__ import annotations

from collections import Counter
from itertools import islice
from pathlib import Path

import pytest

from local_runner.demo.drift import RENAMED, questions, renamed
from local_runner.demo.loop import NEW, Sizes, go_round
from local_runner.demo.phrases import PRODUCTS
from pipeline.core.errors import ConfigError

SHORT = Sizes(train=1200, test=200, reference=120, window=60, drifted=200, scored=60, rollout=200)


def test_every_old_name_has_a_new_one() -> None:
    assert renamed("The router and the Webcam, not the routers") == "The beacon and the Porthole, not the routers"
    new = [name for names in RENAMED.values() for name in names]
    assert list(RENAMED) == list(PRODUCTS) and max(Counter(new).values()) == 1
    old = {name for names in PRODUCTS.values() for name in names}
    assert not old & set(new)
    asked = list(islice(questions(1, drifted=True), 300))
    for question in asked:
        assert not old & set(question.message.lower().replace(".", " ").replace(",", " ").replace(":", " ").split())
    # A tenth of the messages has a typing error in one of about fifteen words, which may be the name.
    assert sum(any(name in each.message.lower() for name in RENAMED[each.product]) for each in asked) >= 290


def test_messages_are_the_same_again_and_each_is_one() -> None:
    first, again = (list(islice(questions(0), 200)) for _ in range(2))
    assert first == again
    assert len({question.message for question in first}) == 200


def test_a_folder_with_a_story_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / ".hone").mkdir()
    with pytest.raises(ConfigError, match="played here before"):
        go_round(tmp_path, SHORT, print)


@pytest.mark.full
@pytest.mark.vllm
@pytest.mark.timeout(2400)
def test_the_circle_closes(tmp_path: Path, vllm_python: Path) -> None:
    told: list[str] = []
    found = go_round(tmp_path / "loop", SHORT, told.append)
    assert not found.quiet_alarm and found.alarm, told
    assert {"vocabulary", "embedding"} <= set(found.drifted), told
    assert found.verdict == "promoted", told
    assert found.rollout[0] == "start 0% to 25%" and "promote 25% to 100%" in found.rollout, told
    assert found.champion == NEW, told
    assert found.new_after >= found.new_before + 0.2, told
    assert found.known_after >= found.known_before - 0.1, told
