"""Learning from another model: from its probabilities, and from its answers, of which bad ones are rejected."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from local_runner.demo.files import draw_commands
from pipeline.core.errors import Cancelled, DataError, ModelError
from schemas.artifacts import Stored
from schemas.base_model import BaseModelRef
from schemas.data import DataArtifact, Example
from tests.support.learning import EMBEDDED, answered, check_learned, model_of, row, taught
from tests.support.tiny_model import write_tiny_base
from tests.support.training import base, data_artifact, run_stage, train_config

ROOM, DEVICE = 0, 1


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> BaseModelRef:
    """Another random model with the tokenizer of the tiny one."""
    return base(write_tiny_base(tmp_path_factory.mktemp("teacher"), seed=1))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "options"),
    [("gkd", {"beta": 0.0}), ("gkd", {"beta": 0.5}), ("seq_kd", {"max_completion_length": 200})],
)
def test_it_goes_on_where_it_was_stopped(
    tiny: BaseModelRef, teacher: BaseModelRef, rows: Stored[DataArtifact], tmp_path: Path, method: str, options: Any
) -> None:
    config = train_config(tiny, method=method, teacher=teacher, num_train_epochs=2, max_length=300, **{method: options})
    trained = run_stage(tmp_path / "whole", config, rows)
    losses = [line["loss"] for line in trained.log if "loss" in line]
    assert losses[-1] < losses[0]
    with pytest.raises(Cancelled):
        run_stage(tmp_path / "parts", config, rows, stop_at=3)
    parts = run_stage(tmp_path / "parts", config, rows)
    assert parts.digest == trained.digest
    assert parts.artifact == trained.artifact


@pytest.mark.slow
def test_a_student_that_is_its_teacher_has_nothing_to_learn(
    tiny: BaseModelRef, rows: Stored[DataArtifact], work: Path
) -> None:
    trained = run_stage(work, train_config(tiny, method="gkd", teacher=tiny, max_steps=2), rows)
    assert trained.log[0]["loss"] == pytest.approx(0.0, abs=1e-6)


@pytest.mark.slow
def test_the_forward_divergence_is_what_its_definition_says(
    tiny: BaseModelRef, teacher: BaseModelRef, rows: Stored[DataArtifact], tmp_path: Path
) -> None:
    """Beta 0: the mean over trained tokens of sum_v p(v) (log p(v) - log q(v)), p the teacher's and q the student's."""
    import torch
    from transformers import AutoModelForCausalLM

    from pipeline.core.examples import read_examples
    from pipeline.render import render_conversation
    from schemas.render import RenderOptions
    from tests.support.tiny_model import tiny_tokenizer

    config = train_config(tiny, method="gkd", teacher=teacher, gkd={"beta": 0.0}, max_steps=1, learning_rate=1e-12)
    trained = run_stage(tmp_path, config, rows)
    assert tiny.weights is not None and teacher.weights is not None
    student, other = (AutoModelForCausalLM.from_pretrained(one.weights.location) for one in (tiny, teacher))  # type: ignore[union-attr]
    total, count = 0.0, 0
    for example in read_examples(rows.file("validation.jsonl")):
        told = render_conversation(example.messages, tiny_tokenizer(), RenderOptions())
        with torch.no_grad():
            q, p = (model(torch.tensor([told.ids])).logits[0, :-1].log_softmax(-1) for model in (student, other))
        trained_places = torch.tensor(told.trained[1:])
        total += float((p.exp() * (p - q)).sum(-1)[trained_places].sum())
        count += int(trained_places.sum())
    assert trained.artifact.eval_loss == pytest.approx(total / count, rel=1e-4)


@pytest.mark.slow
def test_of_several_answers_the_best_is_kept_and_none_that_earns_too_little(
    tiny: BaseModelRef, rows: Stored[DataArtifact], tmp_path: Path
) -> None:
    """The teacher was taught the answers to a third of the questions: most of what it says to others is rejected."""
    from pipeline.core.examples import read_examples

    examples = read_examples(rows.file("train.jsonl"))
    learned = data_artifact(tmp_path / "learned", examples[:8])
    teaching = run_stage(
        tmp_path / "teacher",
        train_config(tiny, adapter="full", learning_rate=3e-3, num_train_epochs=60),
        learned,
    )
    options = {"num_generations": 4, "temperature": 1.0, "max_completion_length": 40}
    config = train_config(
        tiny, method="seq_kd", teacher=model_of(teaching), seq_kd=options, rewards=["exact_match"], max_steps=2
    )
    trained = run_stage(tmp_path / "student", config, rows)
    report = trained.artifact.taught
    assert report is not None
    assert (report.questions, report.answers) == (24, 96)
    kept = read_examples(trained.workspace.output / "taught.jsonl")
    assert len(kept) == report.kept and 2 < report.kept < 24
    answers = {one.row: one.answer for one in examples}
    assert all(one.answer.strip() == answers[one.row].strip() for one in kept)  # what earns 1 is the answer itself
    assert any(f"{24 - report.kept} of 24 questions are left out" in event.message for event in trained.events)


@pytest.mark.slow
def test_where_every_answer_is_cut_nothing_is_trained(
    tiny: BaseModelRef, teacher: BaseModelRef, rows: Stored[DataArtifact], work: Path
) -> None:
    config = train_config(tiny, method="seq_kd", teacher=teacher, seq_kd={"max_completion_length": 1})
    with pytest.raises(DataError, match="24 were cut at 1 tokens") as caught:
        run_stage(work, config, rows)
    assert caught.value.where == "train.seq_kd.max_completion_length"


@pytest.mark.slow
def test_probabilities_of_other_tokens_are_refused(tiny: BaseModelRef, rows: Stored[DataArtifact], work: Path) -> None:
    with pytest.raises(ModelError, match="the teacher has another tokenizer than the student"):
        run_stage(work, train_config(tiny, method="gkd", teacher=base(EMBEDDED)), rows)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"method": "gkd"}, "name it in train.gkd.teacher"),
        ({"method": "seq_kd", "seq_kd": {"num_generations": 4}}, "name rewards, or draw one"),
        (
            {"method": "seq_kd", "seq_kd": {"num_generations": 2, "temperature": 0.0}, "rewards": ["exact_match"]},
            "all answers are alike",
        ),
        ({"method": "gkd", "distributed": {"strategy": "ddp"}}, "asks its teacher in one process"),
        ({"method": "gkd", "rewards": ["exact_match"]}, "gkd learns from no rewards"),
    ],
)
def test_what_does_not_fit_is_refused(tiny: BaseModelRef, changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        train_config(tiny, **changes)


def said(number: int, command: Any, word: int) -> Example:
    """Return the row that answers a command with one word of its three."""
    return row(number, "Name the command: room, device, action.", command.utterance, command.answer.split()[word])


@pytest.fixture(scope="module")
def knowing(tmp_path_factory: pytest.TempPathFactory) -> BaseModelRef:
    """A teacher that names the device of a command, and nothing else."""
    part = draw_commands()[0][:1000]
    return taught(tmp_path_factory.mktemp("knowing"), [said(n, one, DEVICE) for n, one in enumerate(part)])


@pytest.mark.full
@pytest.mark.parametrize("method", ["gkd", "seq_kd"])
def test_a_method_brings_the_student_closer_to_its_teacher(knowing: BaseModelRef, tmp_path: Path, method: str) -> None:
    """The embedded base names room, device and action; of a student that saw its rows alone, none says what it should.

    Rows of `seq_kd` answer with the room, which its teacher never says. The probabilities of `gkd` are read at the
    device, and the token itself has no part in the loss.
    """
    train, test = draw_commands()
    rows = [said(n, one, DEVICE if method == "gkd" else ROOM) for n, one in enumerate(train[1000:1800])]
    options = {"gkd": {}, "seq_kd": {"max_completion_length": 8, "temperature": 0.0}}
    settings = {"adapter": "full", "learning_rate": 1e-3, "per_device_train_batch_size": 16, "max_length": 128}
    config = train_config(base(EMBEDDED), method=method, teacher=knowing, **settings, **{method: options[method]})
    trained = run_stage(tmp_path / "work", config, data_artifact(tmp_path / "data", rows))
    asked = [said(n, command, DEVICE) for n, command in enumerate(test[:300])]
    check_learned(answered(model_of(trained), asked), answered(base(EMBEDDED), asked), least=0.1)
