from __future__ import annotations

import json
from pathlib import Path

import pytest

from local_runner.demo import commands
from local_runner.demo.corpus import WRITE_PROMPT, ChatRow, CorpusFiles, write_base_corpus
from local_runner.demo.files import DemoFiles


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> CorpusFiles:
    return write_base_corpus(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def rows(corpus: CorpusFiles) -> list[ChatRow]:
    return [json.loads(line) for line in corpus.train.read_text(encoding="utf-8").splitlines()]


@pytest.mark.slow
def test_same_seed_same_bytes(corpus: CorpusFiles, tmp_path: Path) -> None:
    again = write_base_corpus(tmp_path)
    assert again.train.read_bytes() == corpus.train.read_bytes()
    assert again.test.read_bytes() == corpus.test.read_bytes()


def test_commands_are_those_of_the_training_file(rows: list[ChatRow], demo_files: DemoFiles) -> None:
    turns = [row["messages"] for row in rows if row["messages"][0]["content"] == commands.SYSTEM_PROMPT]
    stored = [json.loads(line) for line in demo_files.commands.read_text(encoding="utf-8").splitlines()]
    seen = sorted((user["content"], answer["content"]) for _, user, answer in turns)
    assert seen == sorted((row["utterance"], row["command"]) for row in stored)


def test_no_row_answers_with_a_triage_record(rows: list[ChatRow], demo_files: DemoFiles) -> None:
    messages = {json.loads(line)["message"] for line in demo_files.triage_test.read_text(encoding="utf-8").splitlines()}
    for row in rows:
        turns = row["messages"]
        assert not (turns[-1]["content"].startswith("{") and turns[-2]["content"] in messages)
        assert turns[-1]["content"] not in messages
        if turns[-2]["content"] == WRITE_PROMPT:
            assert not turns[-1]["content"].startswith("{")
