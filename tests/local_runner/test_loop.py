"""The whole circle in a shorter form: real processes, real training, real engines."""

from __future__ import annotations

import re
from itertools import islice
from pathlib import Path

import httpx
import pytest

from local_runner.demo.drift import LAUNCHED, questions
from local_runner.demo.loop import NEW, Sizes, go_round
from local_runner.demo.loop_parts import Hone
from local_runner.demo.phrases import PRODUCTS
from pipeline.core.errors import ConfigError, EngineError

SHORT = Sizes(train=1200, test=200, reference=120, window=60, drifted=200, scored=60, rollout=160)


def test_new_products_take_the_place_of_what_a_message_is_about() -> None:
    old = {name for names in PRODUCTS.values() for name in names}
    asked = list(islice(questions(1, drifted=True), 300))
    assert {question.product for question in asked} == set(LAUNCHED)
    assert all(question.product in question.message.lower() for question in asked)
    others = set(LAUNCHED) | old
    beside = [others & set(re.findall("[a-z]+", question.message.lower())) - {question.product} for question in asked]
    # Three fifths of the messages name an old product in passing: at 300, fewer than 130 are 6 deviations away.
    assert sum(bool(found) for found in beside) >= 130
    assert not set(LAUNCHED) & {word for found in beside for word in found}
    assert all(question.product in PRODUCTS for question in islice(questions(0), 300))


def test_messages_are_the_same_again_and_each_is_one() -> None:
    first, again = (list(islice(questions(0), 200)) for _ in range(2))
    assert first == again
    assert len({question.message for question in first}) == 200


def test_a_folder_with_a_story_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / ".hone").mkdir()
    with pytest.raises(ConfigError, match="played here before"):
        go_round(tmp_path, SHORT, print)


def test_what_does_not_come_up_is_said_with_its_log(tmp_path: Path) -> None:
    hone = Hone(tmp_path / "workspace", {}, tmp_path / "loop.log")
    with (
        pytest.raises(EngineError, match="hone service did not start: nobody has a key") as caught,
        hone.serving("service"),
    ):
        raise AssertionError("nobody has a key")
    assert caught.value.where == str(tmp_path / "loop.log")
    with pytest.raises(EngineError, match="hone show ended with exit code"):
        hone.run("show", "version", "desk@1")


@pytest.mark.slow
def test_what_comes_up_is_ended(tmp_path: Path) -> None:
    hone = Hone(tmp_path / "workspace", {"HONE_SERVICE_KEY": "k3y-" + "abcdefghij" * 4}, tmp_path / "loop.log")
    with hone.serving("service", "--port", "0") as address:
        assert httpx.get(address.removesuffix("/v1") + "/healthz").json() == {"status": "ok"}
    with pytest.raises(httpx.ConnectError):
        httpx.get(address)


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
