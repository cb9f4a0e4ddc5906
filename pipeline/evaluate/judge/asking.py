"""Asking a judge about pairs: both orders, kept in portions, once more where a reply holds no verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.core.context import CallContext
from pipeline.evaluate.answers import collect
from pipeline.evaluate.backends import Completion, Question
from pipeline.evaluate.judge.pairs import Pair
from pipeline.evaluate.judge.prompt import JudgePrompt
from pipeline.evaluate.judge.verdicts import Verdict, outcome, preferred, read_verdict
from pipeline.evaluate.respondents import Endpoint, EndpointRespondent
from pipeline.statistics import Outcome
from schemas.data import Message
from schemas.evaluate import GenerationConfig
from schemas.judge import JudgeOptions

KEY = "evaluate.judge"


@dataclass(frozen=True)
class Reply:
    """What a judge said of one order of a pair; ``requests``, and tokens, of all attempts."""

    raw: str
    verdict: Verdict | None
    swapped: bool
    requests: int
    prompt_tokens: int
    completion_tokens: int

    @property
    def preferred(self) -> Outcome | None:
        """What it says of the pair's first answer."""
        return preferred(self.verdict, swapped=self.swapped)


@dataclass(frozen=True)
class Judged:
    """A pair with the replies to both orders; none where its answers are identical, which is a tie."""

    pair: Pair
    replies: tuple[Reply, ...]

    @property
    def outcome(self) -> Outcome | None:
        """What became of the pair, None where an order got no readable verdict."""
        return outcome(*(reply.preferred for reply in self.replies)) if self.replies else "tie"

    @property
    def inconsistent(self) -> bool:
        """Whether the verdict changed with the order."""
        return len({reply.preferred for reply in self.replies}) > 1


def judge(
    pairs: Sequence[Pair], prompt: JudgePrompt, options: JudgeOptions, scratch: Path, context: CallContext
) -> list[Judged]:
    """Return every pair judged in both orders; a reply without a verdict is asked for once more.

    Raises:
        ConfigError: the address, the key or the model is wrong, or the template fails.
        EngineError: the judge does not answer.
    """
    key = context.secret(options.api_key_secret) if options.api_key_secret else None
    at = Endpoint(options.base_url, options.model, key, options.api_key_secret, KEY, options.timeout_seconds)
    orders = [(pair, swapped) for pair in pairs if not pair.identical for swapped in (False, True)]
    asked = [Question((prompt.ask(pair, swapped=swapped),)) for pair, swapped in orders]
    first = _collect(at, asked, options, scratch / "first", context, "judge")
    replies = [_reply([completion], swapped, options) for (_, swapped), completion in zip(orders, first, strict=True)]
    unread = [place for place, reply in enumerate(replies) if reply.verdict is None]
    if unread:
        again = [_repaired(asked[place], replies[place], prompt) for place in unread]
        second = _collect(at, again, options, scratch / "again", context, "judge once more")
        for place, completion in zip(unread, second, strict=True):
            replies[place] = _reply([first[place], completion], orders[place][1], options)
    both = iter(zip(replies[::2], replies[1::2], strict=True))
    return [Judged(pair, () if pair.identical else next(both)) for pair in pairs]


def _collect(
    at: Endpoint, questions: Sequence[Question], options: JudgeOptions, scratch: Path, context: CallContext, label: str
) -> list[Completion]:
    config = GenerationConfig(
        max_new_tokens=options.max_new_tokens,
        temperature=options.temperature,
        batch_size=options.concurrency,
        seed=options.seed,
    )
    scratch.mkdir(parents=True, exist_ok=True)
    return collect(EndpointRespondent(at, questions, config), len(questions), scratch, context, label)


def _repaired(question: Question, reply: Reply, prompt: JudgePrompt) -> Question:
    """Return the conversation that asks for the verdict again; an empty reply has no turn of its own."""
    said = (Message(role="assistant", content=reply.raw),) if reply.raw.strip() else ()
    return Question((*question.messages, *said, prompt.repair()) if said else question.messages)


def _reply(completions: Sequence[Completion], swapped: bool, options: JudgeOptions) -> Reply:
    last = completions[-1]
    return Reply(
        raw=last.text,
        verdict=read_verdict(last.text, ties=options.ties),
        swapped=swapped,
        requests=len(completions),
        prompt_tokens=sum(completion.prompt_tokens for completion in completions),
        completion_tokens=sum(completion.completion_tokens for completion in completions),
    )
