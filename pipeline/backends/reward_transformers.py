"""Reward models by transformers: a score for each answer, and the merge of one that was trained as an adapter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.backends.attention_torch import without_plans
from pipeline.backends.bars import no_bars
from pipeline.backends.generation import Advance, Question
from pipeline.backends.memory_torch import run_batches
from pipeline.backends.remarks_peft import without_known_remarks
from pipeline.backends.tokenizer_transformers import load_tokenizer
from pipeline.core.context import CallContext
from pipeline.core.errors import DataError, ModelError
from pipeline.core.models import ModelFiles
from pipeline.render import Tokenizer, render_conversation, split_answer
from schemas.data import Message
from schemas.render import RenderOptions


@dataclass(frozen=True)
class RewardModel:
    """A loaded sequence classifier with one output, and its own tokenizer and template.

    ``longest`` is what it takes in tokens, None where positions have no end; ``name`` is where it is, for errors.
    """

    model: Any
    tokenizer: Tokenizer
    longest: int | None
    name: str

    def score(
        self,
        questions: Sequence[Question],
        answers: Sequence[Message],
        *,
        batch_size: int,
        context: CallContext,
        advance: Advance | None = None,
    ) -> list[float]:
        """Return the model's output, which has no bounds, for each answer to its question.

        What is read ends with the answer's end-of-turn token, as in training.

        Raises:
            RenderError: the model's template refuses a conversation.
            DataError: a conversation is longer than the model takes.
            OutOfMemory: one conversation does not fit into memory.
        """
        rows = [self._tokens(question, answer) for question, answer in zip(questions, answers, strict=True)]
        order = sorted(range(len(rows)), key=lambda place: (-len(rows[place]), place))
        found = [0.0] * len(rows)

        def work(places: Sequence[int]) -> None:
            context.check()
            for place, score in zip(places, self._outputs([rows[place] for place in places]), strict=True):
                found[place] = score
            if advance is not None:
                advance(len(places))

        run_batches(work, order, batch_size, context)
        return found

    def _tokens(self, question: Question, answer: Message) -> list[int]:
        asked = answer.model_copy(update={"weight": None})
        rendered = render_conversation(
            (*question.messages, asked), self.tokenizer, RenderOptions(), tools=question.tools
        )
        prompt, said = split_answer(rendered)
        ids = [*prompt, *said]
        if self.longest is not None and len(ids) > self.longest:
            raise DataError(
                f"a question with its answer has {len(ids)} tokens, and the reward model takes {self.longest}",
                where=self.name,
                fix="leave longer rows out, allow shorter answers, or take a reward model with a longer context",
            )
        return ids

    def _outputs(self, rows: Sequence[list[int]]) -> list[float]:
        import torch

        device, width = self.model.get_input_embeddings().weight.device, max(map(len, rows))
        padding = self.tokenizer.pad_token_id or 0
        ids = torch.tensor([row + [padding] * (width - len(row)) for row in rows], device=device)
        mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows], device=device)
        with torch.inference_mode():
            outputs = self.model(input_ids=ids, attention_mask=mask, use_cache=False).logits
        return [float(value) for value in outputs[:, 0].float()]


def load_reward_model(files: ModelFiles, key: str) -> RewardModel:
    """Load a reward model onto a GPU where there is one, in float32 onto the CPU else; ``key`` names it in errors.

    Only safetensors are read.

    Raises:
        ModelError: there is none, it has not one output, or lacks weights.
    """
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    model, missing = _load(files, "auto" if device == "cuda" else torch.float32, key)
    where, fix = f"{key}: {files.weights}", "name what a run with train.method: reward left, or another reward model"
    if missing:
        raise ModelError(f"it lacks weights, first {missing[0]}: it is no reward model", where=where, fix=fix)
    if model.config.num_labels != 1:
        raise ModelError(f"it has {model.config.num_labels} outputs, and a reward is one", where=where, fix=fix)
    tokenizer = load_tokenizer(files.tokenizer, revision=files.revision, trust_remote_code=files.trust_remote_code)
    if tokenizer.chat_template is None:
        raise ModelError("its tokenizer has no chat template", where=where, fix=fix)
    text = model.config.get_text_config()
    text.pad_token_id = tokenizer.pad_token_id
    length = getattr(text, "max_position_embeddings", None)
    longest = int(length) if isinstance(length, int) and length > 0 else None
    return RewardModel(model.to(device).eval(), tokenizer, longest, where)


def merge_scorer(files: ModelFiles, adapter: Path) -> Any:
    """Return a reward model of base and adapter, merged in float32, in the precision in which the base is stored.

    Raises:
        ModelError: base or adapter does not load.
    """
    import torch
    from peft import PeftModel
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(
        files.weights, revision=files.revision, trust_remote_code=files.trust_remote_code
    )
    stored = config.get_text_config().dtype or torch.float32
    base, _ = _load(files, torch.float32, "base_model")
    with without_known_remarks():
        model = PeftModel.from_pretrained(base, str(adapter)).merge_and_unload(safe_merge=True)
    model.to(stored)
    model.config.dtype = stored
    return model


def _load(files: ModelFiles, dtype: Any, key: str) -> tuple[Any, list[str]]:
    """Return a sequence classifier with the number of outputs that it has, else one, and the weights that it lacks."""
    from safetensors import SafetensorError
    from transformers import AutoConfig, AutoModelForSequenceClassification
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    without_plans()
    options: dict[str, Any] = {"revision": files.revision, "trust_remote_code": files.trust_remote_code}
    try:
        with no_bars():
            config = AutoConfig.from_pretrained(files.weights, **options)
            if not any("SequenceClassification" in name for name in config.architectures or ()):
                config.num_labels = 1
            model, info = AutoModelForSequenceClassification.from_pretrained(
                files.weights, config=config, use_safetensors=True, dtype=dtype, output_loading_info=True, **options
            )
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise ModelError(
            f"the model cannot be loaded: {reason[0]}",
            where=f"{key}: {files.weights}",
            fix="name a folder with config.json and *.safetensors, or a Hub id that this machine can reach",
        ) from error
    return model, sorted(info["missing_keys"])
