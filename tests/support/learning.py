"""One form for every proof that a method learns: the same items before and after, and a paired test between the two."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from pathlib import Path

from pipeline.backends.generate_transformers import load_generator
from pipeline.backends.tokenizer_transformers import load_tokenizer
from pipeline.core.context import CallContext
from pipeline.core.models import model_files
from pipeline.evaluate.stage import run
from pipeline.metrics import get_metric, item_scores
from pipeline.render import end_of_turn_ids, render_prompt
from pipeline.statistics import compare
from schemas.artifacts import Stored
from schemas.base_model import BaseModelRef
from schemas.data import DataArtifact, Example, Message
from schemas.evaluate import BaseSubject, EvaluateConfig, EvaluateInputs, GenerationConfig, MetricSpec, ModelSubject
from tests.support.stored import stored, workspace
from tests.support.training import Trained, base, data_artifact, run_stage, train_config

EMBEDDED = Path(__file__).resolve().parents[2] / "pipeline" / "embedded" / "tiny_base"


def row(number: int, system: str, question: str, answer: str) -> Example:
    """Return a question under a system turn, with its answer."""
    turns = (
        Message(role="system", content=system),
        Message(role="user", content=question),
        Message(role="assistant", content=answer),
    )
    return Example(id=f"row{number}", row=number + 1, messages=turns, cluster=number)


def taught(folder: Path, rows: Sequence[Example]) -> BaseModelRef:
    """Return the embedded base after one epoch of these rows: where the methods begin."""
    settings = {"adapter": "full", "learning_rate": 3e-3, "per_device_train_batch_size": 16, "max_length": 256}
    run_stage(folder / "work", train_config(base(EMBEDDED), **settings), data_artifact(folder / "data", rows))
    return base(folder / "work" / "output" / "model")


def model_of(trained: Trained) -> BaseModelRef:
    """Refer to the whole model that a training left."""
    return base(trained.workspace.output / "model")


def answered(model: BaseModelRef, asked: Sequence[Example]) -> list[float]:
    """Return whether each greedy answer, of 6 tokens at most, is the expected one."""
    assert model.weights is not None
    tokenizer = load_tokenizer(model.weights.location)
    generator = load_generator(
        model_files(model), tokenizer, stop_ids=end_of_turn_ids(tokenizer), context_length=512, dtype="float32"
    )
    prompts = [render_prompt(one.prompt, tokenizer) for one in asked]
    answers = generator.generate(prompts, GenerationConfig(max_new_tokens=6, batch_size=100), CallContext())
    return item_scores(get_metric("exact_match"), [one.text for one in answers], [one.answer for one in asked])


def preferred(
    folder: Path, pairs: Stored[DataArtifact], *, base_model: BaseModelRef, trained: Trained | None = None
) -> list[float]:
    """Return whether the chosen answer of each test pair is preferred, by a training's model or by its base."""
    from pyarrow import parquet

    subject = BaseSubject() if trained is None else ModelSubject()
    model = None if trained is None else stored("train", trained.workspace.output, trained.artifact)
    config = EvaluateConfig(
        subject=subject, base=base_model, metrics=(MetricSpec(name="pairwise_accuracy"),), ranks=True
    )
    run(config, EvaluateInputs(data=pairs, model=model), CallContext(), workspace(folder))
    columns = parquet.read_table(folder / "output" / "items.parquet").to_pydict()
    scores: list[float] = columns["score.pairwise_accuracy"]
    return scores


def check_learned(
    after: Sequence[float], before: Sequence[float], least: float, clusters: Sequence[Hashable] | None = None
) -> None:
    """Fail unless the scores rose significantly on the same items, by more than ``least`` with the whole interval."""
    found = compare(after, before, clusters=clusters)
    assert found.better, found
    assert found.low > least, found
