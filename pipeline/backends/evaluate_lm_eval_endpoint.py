"""A model behind an OpenAI-compatible completions address, such as vLLM's, as lm-evaluation-harness asks it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import httpx
from lm_eval.api.model import TemplateLM
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

from pipeline.backends.openai_http import OpenAIAddress, Payload
from pipeline.core.context import CallContext
from pipeline.core.errors import EngineError

PATH = "completions"

_DEFAULT_TOKENS = 256
"""Tokens of an answer where the task does not say, as lm_eval has it."""

Pair = tuple[list[int], list[int]]


class EndpointLM(TemplateLM):
    """Sends token ids, so that the address reads what the tokenizer here says.

    Args:
        at: the address; it must echo a prompt with its log-probabilities, as vLLM does.
        tokenizer: of the model that is served.
        context_length: in tokens; longer prompts lose their beginning.
        workers: requests under way at most.
        context: shows progress.
    """

    def __init__(
        self, at: OpenAIAddress, tokenizer: Any, context_length: int, workers: int, context: CallContext
    ) -> None:
        super().__init__()
        self.tokenizer = tokenizer
        self._at = at
        self._most = context_length - 1  # one token is always generated
        self._workers = workers
        self._context = context

    @property
    def eot_token_id(self) -> int:
        """The token that ends a text."""
        return int(self.tokenizer.eos_token_id)

    @property
    def prefix_token_id(self) -> int:
        """What stands before a text without a context."""
        bos = self.tokenizer.bos_token_id
        return int(bos) if bos is not None else self.eot_token_id

    @property
    def tokenizer_name(self) -> str:
        """What lm_eval calls the tokenizer."""
        return str(self.tokenizer.name_or_path).replace("/", "__")

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **_: Any) -> list[int]:
        """Return the token ids of a text; a BOS that is written out is not added again."""
        special = {} if add_special_tokens is None else {"add_special_tokens": add_special_tokens}
        if add_special_tokens is None and string.startswith(self.tokenizer.decode([self.prefix_token_id])):
            special = {"add_special_tokens": False}
        ids: list[int] = self.tokenizer.encode(string, **special)
        return ids

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        """Return the turns as the tokenizer's template writes them."""
        text: str = self.tokenizer.apply_chat_template(
            chat_history,
            tokenize=False,
            add_generation_prompt=add_generation_prompt,
            continue_final_message=not add_generation_prompt,
        )
        return text

    def _loglikelihood_tokens(self, requests: Sequence[tuple[Any, list[int], list[int]]], **_: Any) -> list[Any]:
        return self._scores([(context, more) for _text, context, more in requests])

    def loglikelihood_rolling(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[float]:  # noqa: ARG002
        """Return the log-likelihood of whole texts, each token seen once with as much before it as fits."""
        windows: list[Pair] = []
        counts = []
        for request in requests:
            (text,) = request.args
            parts = get_rolling_token_windows(
                token_list=self.tok_encode(text),
                prefix_token=self.prefix_token_id,
                max_seq_len=self._most - 1,  # each window has one token before it
                context_len=1,
            )
            found = [(list(context), list(more)) for context, more in map(make_disjoint_window, parts)]
            windows += found
            counts.append(len(found))
        scores = iter(self._scores(windows))
        return [sum(next(scores)[0] for _ in range(count)) for count in counts]

    def generate_until(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[str]:  # noqa: ARG002
        """Return what the model says until a stop sequence, the end of a text, or the most tokens."""
        made = [partial(self._generation, *request.args) for request in requests]
        stops = [self._stops(request.args[1]) for request in requests]
        texts = self._ask(made, self._text, "answers")
        return [_cut(text, until) for text, until in zip(texts, stops, strict=True)]

    def _scores(self, pairs: Sequence[Pair]) -> list[tuple[float, bool]]:
        """Return the log-likelihood of each continuation, and whether it is the greedy one."""
        kept = [_shortened(context, more, self._most) for context, more in pairs]
        made = [partial(self._echo, [*context, *more]) for context, more in kept]
        told = self._ask(made, self._log_probabilities, "likelihoods")
        found = []
        for (context, more), (chosen, best) in zip(kept, told, strict=True):
            if len(chosen) < len(context) + len(more):
                raise EngineError(
                    f"the endpoint tells the log-probabilities of {len(chosen)} tokens, not of the "
                    f"{len(context) + len(more)} that it was sent: it does not echo the prompt",
                    where=self._at.url(PATH),
                    fix="serve the model with vLLM, whose completions echo a prompt with its log-probabilities",
                )
            span = slice(len(context), len(context) + len(more))
            found.append((float(sum(chosen[span])), all(a >= b for a, b in zip(chosen[span], best[span], strict=True))))
        return found

    def _echo(self, tokens: list[int]) -> Payload:
        return {
            "model": self._at.model,
            "prompt": tokens,
            "max_tokens": 1,
            "temperature": 0,
            "logprobs": 1,
            "echo": True,
        }

    def _generation(self, text: str, options: dict[str, Any]) -> Payload:
        most = int(options.get("max_gen_toks", options.get("max_tokens", _DEFAULT_TOKENS)))
        tokens = self.tok_encode(text)[-max(1, self._most + 1 - most) :]
        sampled = options.get("do_sample", False)
        payload: Payload = {
            "model": self._at.model,
            "prompt": tokens,
            "max_tokens": most,
            "temperature": options.get("temperature", 0.0) if sampled else 0.0,
            "seed": 1234,
            "stop": self._stops(options),
        }
        return payload

    def _stops(self, options: dict[str, Any]) -> list[str]:
        """Return what ends an answer: the task's stop sequences and, as lm_eval adds it, the end of a text."""
        until = options.get("until") or []
        stops = [until] if isinstance(until, str) else [stop for stop in until if stop]
        return list(dict.fromkeys([*stops, self.tokenizer.decode([self.eot_token_id])]))

    def _ask(
        self, made: Sequence[Callable[[], Payload]], read: Callable[[httpx.Response], Any], label: str
    ) -> list[Any]:
        with self._context.progress(f"asking for {label}", len(made)) as advance:
            return self._at.post_all(PATH, made, read, workers=self._workers, advance=advance)

    def _log_probabilities(self, response: httpx.Response) -> tuple[list[float], list[float]]:
        """Return each token's log-probability, and that of the most probable in its place; the first has none."""
        try:
            told = response.json()["choices"][0]["logprobs"]
            chosen = [0.0 if value is None else float(value) for value in told["token_logprobs"]]
            best = [float(max(places.values())) if places else 0.0 for places in told["top_logprobs"]]
            if len(chosen) != len(best) or any(map(math.isnan, [*chosen, *best])):
                raise ValueError("a token lacks its log-probability")
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            raise self._at.unreadable(PATH, "completion with the log-probabilities of its prompt", response) from error
        return chosen, best

    def _text(self, response: httpx.Response) -> str:
        try:
            return str(response.json()["choices"][0]["text"])
        except (ValueError, LookupError, TypeError, RecursionError) as error:
            raise self._at.unreadable(PATH, "completion", response) from error


def _shortened(context: list[int], more: list[int], most: int) -> Pair:
    """Return the pair without the beginning that exceeds ``most`` tokens; one token of context stays."""
    over = max(0, len(context) + len(more) - most)
    return context[min(over, len(context) - 1) :], more[: most - 1]


def _cut(text: str, stops: Sequence[str]) -> str:
    """Return the text before the first stop sequence."""
    for stop in stops:
        text = text.split(stop)[0]
    return text
