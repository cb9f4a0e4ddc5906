"""The model that comes with hone: plain files, its own template, its own task; and the way to make it again."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path

import pytest

from local_runner.demo import commands, triage
from local_runner.demo.files import DemoFiles
from local_runner.demo.make_base import make_base
from pipeline.embedded import TINY_BASE


def test_weights_and_tokenizer_are_small_and_plain() -> None:
    names = {path.name for path in TINY_BASE.iterdir()}
    assert names == {
        "README.md",
        "chat_template.jinja",
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    }
    assert sum(path.stat().st_size for path in TINY_BASE.iterdir()) <= 6_000_000


def test_architecture_is_one_that_engines_serve() -> None:
    config = json.loads((TINY_BASE / "config.json").read_text(encoding="utf-8"))
    assert config["architectures"] == ["LlamaForCausalLM"]
    assert config["head_dim"] in (32, 64)
    assert config["hidden_size"] == config["num_attention_heads"] * config["head_dim"]
    assert config["tie_word_embeddings"] is True


def test_card_states_the_size_of_the_weights() -> None:
    card = (TINY_BASE / "README.md").read_text(encoding="utf-8")
    megabytes = (TINY_BASE / "model.safetensors").stat().st_size / 1e6
    assert card.startswith("---\nlicense: apache-2.0\n")
    assert f"{megabytes:.1f} MB" in card
    assert "$" not in card


@pytest.mark.slow
def test_tokenizer_keeps_any_text_and_its_template(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(TINY_BASE)
    text = "Grüße, 世界!\t\x00 🙂"
    assert tokenizer.decode(tokenizer(text, add_special_tokens=False)["input_ids"]) == text
    turns = [
        {"role": "system", "content": triage.SYSTEM_PROMPT},
        {"role": "user", "content": "The lamp went dead."},
        {"role": "assistant", "content": "{}"},
    ]
    rendered = tokenizer.apply_chat_template(turns, return_assistant_tokens_mask=True, return_dict=True)
    trained = [i for i, used in zip(rendered["input_ids"], rendered["assistant_masks"], strict=True) if used]
    assert tokenizer.decode(trained) == "{}<|im_end|>"
    assert tokenizer.bos_token is None
    assert tokenizer.eos_token == "<|im_end|>"
    assert tokenizer.pad_token not in (None, tokenizer.eos_token)
    tokenizer.save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    assert again.chat_template == tokenizer.chat_template
    assert again.apply_chat_template(turns)["input_ids"] == rendered["input_ids"]


@pytest.mark.slow
def test_base_does_its_own_task_and_not_the_new_one(demo_files: DemoFiles) -> None:
    own = _asked(commands.SYSTEM_PROMPT, demo_files.commands_test, "utterance", "command", 200)
    new = _asked(triage.SYSTEM_PROMPT, demo_files.triage_test, "message", "triage", 50)
    # 200 items: a share of .9 has a standard error of .02.
    assert _exact_match(own) >= 0.9
    assert _exact_match(new) <= 0.1


def _asked(system: str, path: Path, prompt: str, answer: str, count: int) -> list[tuple[list[dict[str, str]], str]]:
    with path.open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line in islice(lines, count)]
    turns = [[{"role": "system", "content": system}, {"role": "user", "content": row[prompt]}] for row in rows]
    return [(asked, row[answer]) for asked, row in zip(turns, rows, strict=True)]


def _exact_match(items: list[tuple[list[dict[str, str]], str]]) -> float:
    """The share of greedy answers of the base that are right."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(TINY_BASE, padding_side="left")
    model = AutoModelForCausalLM.from_pretrained(TINY_BASE)
    prompts = [tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False) for turns, _ in items]
    encoded = tokenizer(prompts, return_tensors="pt", padding=True, add_special_tokens=False)
    generated = model.generate(
        input_ids=encoded["input_ids"], attention_mask=encoded["attention_mask"], max_new_tokens=32, do_sample=False
    )
    answers = tokenizer.batch_decode(generated[:, encoded["input_ids"].shape[1] :], skip_special_tokens=True)
    return sum(answer == expected for answer, (_, expected) in zip(answers, items, strict=True)) / len(items)


@pytest.mark.full
@pytest.mark.timeout(2400)
def test_base_made_again_scores_the_same(tmp_path: Path, demo_files: DemoFiles) -> None:
    make_base(tmp_path / "work", tmp_path / "model")
    card = (tmp_path / "model" / "README.md").read_text(encoding="utf-8")
    again = next(line for line in card.splitlines() if "type: exact_match" in line)
    own = (TINY_BASE / "README.md").read_text(encoding="utf-8")
    kept = next(line for line in own.splitlines() if "type: exact_match" in line)
    scores = [float(line.split("value:")[1].split(",")[0]) for line in (again, kept)]
    # 600 items each: a difference of two shares near .96 has a standard error of .011.
    assert scores[0] >= 0.9
    assert abs(scores[0] - scores[1]) <= 0.045
