"""A model on this machine: what its files say before its weights are loaded, and the loading."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.core.errors import ConfigError
from pipeline.core.models import ModelFiles, model_files
from pipeline.evaluate import backends
from pipeline.evaluate.backends import Generator
from pipeline.render import Tokenizer, end_of_turn_ids
from schemas.artifacts import Stored
from schemas.base_model import BaseModelRef
from schemas.evaluate import GenerationConfig
from schemas.optimize import OptimizeArtifact
from schemas.render import RenderOptions
from schemas.train import TrainArtifact

if TYPE_CHECKING:
    from pipeline.evaluate.backends import ModelFacts


@dataclass(frozen=True)
class LocalModel:
    """What asking a local model needs beside the items; ``chat_template`` is for a tokenizer that has none."""

    files: ModelFiles
    chat_template: str | None
    vllm_cpu_dtype: str | None

    def open(self) -> OpenedModel:
        """Return the model's tokenizer and what its files say.

        Raises:
            ModelError: the files are missing or unreadable.
        """
        tokenizer = backends.open_tokenizer(self.files, None)
        options = RenderOptions(chat_template=self.chat_template if tokenizer.chat_template is None else None)
        return OpenedModel(self, tokenizer, options, backends.model_facts(self.files))


@dataclass(frozen=True)
class OpenedModel:
    """A model whose tokenizer is there and whose weights are not."""

    model: LocalModel
    tokenizer: Tokenizer
    options: RenderOptions
    facts: ModelFacts

    def load(self, config: GenerationConfig, longest: int) -> Generator:
        """Load the weights; ``longest`` is the longest sequence in tokens, prompt and answer.

        Raises:
            ModelError, EngineError: they cannot be loaded.
        """
        return backends.open_generator(
            self.model.files,
            self.tokenizer,
            config,
            stop_ids=sorted({*end_of_turn_ids(self.tokenizer, self.options), *self.facts.stop_ids}),
            context_length=self.facts.context_length,
            longest=longest,
            vllm_cpu_dtype=self.model.vllm_cpu_dtype,
        )


def trained_model(
    base: BaseModelRef | None, model: Stored[TrainArtifact] | Stored[OptimizeArtifact] | None
) -> LocalModel:
    """Return what asking a model artifact needs; an adapter also needs its ``base``.

    Raises:
        ConfigError: no model is given.
        ModelError: the base is needed and has no weights.
    """
    if model is None:
        raise ConfigError("the subject is a model and none is given", where="inputs.model", fix="name a model artifact")
    dtype = model.artifact.vllm_dtype if isinstance(model.artifact, OptimizeArtifact) else None
    return LocalModel(model_files(base, model), None, dtype)
