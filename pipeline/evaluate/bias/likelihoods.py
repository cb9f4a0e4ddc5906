"""How likely a model finds given texts: as answers to a conversation, or standing alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.core.context import CallContext
from pipeline.core.errors import DataError, ModelError
from pipeline.evaluate import backends
from pipeline.evaluate.backends import Likelihood
from pipeline.evaluate.local_model import LocalModel, OpenedModel
from pipeline.render import render_prompt
from schemas.data import Message
from schemas.evaluate import GenerationConfig


@dataclass(frozen=True)
class Text:
    """A text whose likelihood is asked for, and the user's turn that it answers; None: it stands alone, untemplated."""

    text: str
    asked: str | None = None


def likelihoods(
    model: LocalModel, texts: Sequence[Text], config: GenerationConfig, context: CallContext, label: str
) -> tuple[list[Likelihood], str]:
    """Return the log-probability of each text, in order, and the engine's name.

    An answer follows the rendered conversation with its generation prompt, and has no end-of-turn token. A text that
    stands alone follows the token that begins a text: BOS, or the end-of-text token where there is none (as in
    lm-evaluation-harness). Either is tokenized by itself, with no special token added.

    Raises:
        ModelError: the model cannot be loaded, or has neither of the two tokens.
        RenderError: the chat template refuses a conversation.
        DataError: a text does not fit into the model's context.
        EngineError, OutOfMemory: the engine fails, or the model does not fit.
    """
    opened = model.open()
    prompts = [_prompt(opened, text) for text in context.track(texts, f"{label}: render", len(texts))]
    more = [list(opened.tokenizer(text.text, add_special_tokens=False)["input_ids"]) for text in texts]
    longest = max(len(prompt) + len(ids) for prompt, ids in zip(prompts, more, strict=True))
    limit = opened.facts.context_length
    if limit is not None and longest >= limit:
        raise DataError(
            f"a text of {longest} tokens does not fit into the model's context of {limit}",
            where=label,
            fix="shorten it, or take a base model with a longer context",
        )
    generator = opened.load(config, longest + 1)
    with context.progress(label, len(texts)) as advance:
        found = generator.score(prompts, more, batch_size=config.batch_size, context=context, advance=advance)
    return found, backends.engine_name(config)


def _prompt(opened: OpenedModel, text: Text) -> list[int]:
    tokenizer = opened.tokenizer
    if text.asked is not None:
        return render_prompt([Message(role="user", content=text.asked)], tokenizer, opened.options)
    first = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
    if first is None:
        raise ModelError(
            "the tokenizer has no token that begins a text, so the first word follows from nothing",
            where=opened.model.files.tokenizer,
            fix="set bos_token or eos_token in its tokenizer_config.json",
        )
    return [first]
