"""`hone chat`: a conversation with a registered version, turn by turn."""

from __future__ import annotations

from dataclasses import dataclass, field

from local_runner.asking import Asked
from pipeline.backends.generation import Completion, Generator
from pipeline.core.context import CallContext
from pipeline.core.errors import DataError
from pipeline.data.prompts import ask_text, template_columns
from pipeline.evaluate import backends
from pipeline.render import Tokenizer, end_of_turn_ids, render_prompt
from schemas.data import Message
from schemas.evaluate import GenerationConfig


@dataclass
class Chat:
    """A loaded model and the conversation so far. Every turn is rendered by the one render, as in training."""

    asked: Asked
    tokenizer: Tokenizer
    generator: Generator
    system: str | None
    turns: list[Message] = field(default_factory=list)

    def reply(self, text: str, context: CallContext) -> Completion:
        """Return the answer to ``text``; both join the conversation. After an error it is as it was before.

        Raises:
            DataError: the conversation fills the model's context.
            RenderError: the chat template refuses the conversation.
        """
        turns = [*self.turns, Message(role="user", content=ask_text(text, self.asked.data))]
        first = [Message(role="system", content=self.system)] if self.system else []
        prompt = render_prompt([*first, *turns], self.tokenizer)
        config: GenerationConfig = self.asked.generation
        try:
            answer = self.generator.generate([prompt], config, context, lambda _count: None)[0]
        except DataError as error:
            raise DataError(error.message, where="conversation", fix="type /reset to begin a new one") from error
        self.turns = [*turns, Message(role="assistant", content=answer.text)]
        return answer

    def reset(self) -> None:
        """Forget the conversation."""
        self.turns = []


def open_chat(asked: Asked, system: str | None) -> Chat:
    """Load the model of a version; ``system`` null takes the system turn of its training rows.

    Raises:
        ModelError: its files are missing or cannot be read.
    """
    tokenizer = backends.open_tokenizer(asked.files, None)
    facts = backends.model_facts(asked.files)
    generator = backends.open_generator(
        asked.files,
        tokenizer,
        asked.generation,
        stop_ids=sorted({*end_of_turn_ids(tokenizer), *facts.stop_ids}),
        context_length=facts.context_length,
        longest=asked.generation.max_new_tokens,
        vllm_cpu_dtype=None,
    )
    return Chat(asked, tokenizer, generator, asked.data.system if system is None else system)


def template_note(asked: Asked) -> str | None:
    """Return what the user should know of the prompt template; None where there is none."""
    columns = template_columns(asked.data)
    if asked.data.prompt_template is None:
        return None
    if len(columns) == 1:
        return f"each line is asked through the prompt template of training, as its {columns[0]}"
    return f"the prompt template of training reads {len(columns)} columns; lines are asked as they are"
