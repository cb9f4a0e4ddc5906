"""A real HTTP server stands for the endpoint: it speaks chat completions and misbehaves as each test asks."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from pipeline.backends import openai_http
from pipeline.backends.generate_openai import ChatEndpoint
from pipeline.backends.generation import Question
from pipeline.core.context import CallContext
from pipeline.core.errors import Cancelled, ConfigError, EngineError
from schemas.data import Message
from schemas.evaluate import GenerationConfig
from schemas.events import Event

Reply = tuple[int, dict[str, Any] | str, dict[str, str]]


def completion(text: str, reason: str = "stop") -> dict[str, Any]:
    return {
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": reason}],
        "usage": {"prompt_tokens": 5, "completion_tokens": 2},
    }


def echo(body: dict[str, Any], _seen: int) -> Reply:
    return 200, completion(body["messages"][-1]["content"].upper()), {}


class Served:
    """The server's address and what it was asked."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}/v1"
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.together = 0
        self.most_together = 0


@contextmanager
def endpoint(reply: Callable[[dict[str, Any], int], Reply], path: str = "chat/completions") -> Iterator[Served]:
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            with lock:
                served.bodies.append(body)
                served.headers.append(dict(self.headers))
                served.together += 1
                served.most_together = max(served.most_together, served.together)
                seen = len(served.bodies)
            try:
                status, content, headers = reply(body, seen) if self.path == f"/v1/{path}" else (404, "", {})
            finally:
                with lock:
                    served.together -= 1
            data = (content if isinstance(content, str) else json.dumps(content)).encode()
            self.send_response(status)
            for name, value in {"content-length": str(len(data)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served = Served(server.server_port)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openai_http, "FIRST_DELAY", 0.01)


def questions(count: int) -> list[Question]:
    return [Question((Message(role="user", content=f"question {number}"),)) for number in range(count)]


def ask(served: Served, count: int = 1, key: str | None = None, **config: Any) -> list[str]:
    chat = ChatEndpoint(served.url, "tiny", api_key=key, key_name="ENDPOINT_KEY")
    answers = chat.answer(questions(count), GenerationConfig(**config), CallContext())
    return [answer.text for answer in answers]


def test_answers_come_in_the_order_of_the_questions_and_several_are_asked_at_once() -> None:
    def slow(body: dict[str, Any], seen: int) -> Reply:
        time.sleep(0.05 if seen % 2 else 0.01)
        return echo(body, seen)

    with endpoint(slow) as served:
        answers = ask(served, 12, batch_size=4)

    assert answers == [f"QUESTION {number}" for number in range(12)]
    assert 2 <= served.most_together <= 4


def test_the_request_says_what_the_config_says() -> None:
    messages = (Message(role="system", content="be brief", weight=0.0), Message(role="user", content="hello"))
    tools = ({"type": "function", "function": {"name": "look_up"}},)
    config = GenerationConfig(max_new_tokens=7, temperature=0.5, top_p=0.9, seed=3)
    with endpoint(lambda *_: (200, completion("hi", "length"), {})) as served:
        chat = ChatEndpoint(served.url + "/", "tiny", api_key="sk-1")
        answers = chat.answer([Question(messages, tools)], config, CallContext())

    assert served.bodies == [
        {
            "model": "tiny",
            "messages": [{"role": "system", "content": "be brief"}, {"role": "user", "content": "hello"}],
            "tools": [{"type": "function", "function": {"name": "look_up"}}],
            "max_tokens": 7,
            "temperature": 0.5,
            "top_p": 0.9,
            "seed": 3,
        }
    ]
    assert served.headers[0]["Authorization"] == "Bearer sk-1"
    assert answers[0].finish_reason == "length"
    assert (answers[0].prompt_tokens, answers[0].completion_tokens) == (5, 2)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_endpoint_is_asked_again(status: int) -> None:
    def busy(body: dict[str, Any], seen: int) -> Reply:
        return echo(body, seen) if seen > 2 else (status, {"error": {"message": "busy"}}, {"retry-after": "0"})

    with endpoint(busy) as served:
        assert ask(served) == ["QUESTION 0"]
    assert len(served.bodies) == 3


def test_retry_after_is_obeyed() -> None:
    def busy(body: dict[str, Any], seen: int) -> Reply:
        return echo(body, seen) if seen > 1 else (429, "", {"retry-after": "0.4"})

    started = time.monotonic()
    with endpoint(busy) as served:
        ask(served)
    assert time.monotonic() - started >= 0.4


def test_an_endpoint_that_stays_busy_is_an_error_with_its_words() -> None:
    with endpoint(lambda *_: (503, {"error": {"message": "overloaded today"}}, {})) as served:
        with pytest.raises(EngineError, match="no answer in 6 attempts; last: 503 overloaded today"):
            ask(served)
        assert len(served.bodies) == openai_http.ATTEMPTS


def test_nobody_listening_is_an_error(unused_port: int) -> None:
    chat = ChatEndpoint(f"http://127.0.0.1:{unused_port}/v1", "tiny", api_key=None)
    with pytest.raises(EngineError, match="ConnectError"):
        chat.answer(questions(1), GenerationConfig(), CallContext())


@pytest.fixture
def unused_port() -> int:
    with endpoint(echo) as served:
        return int(served.url.split(":")[2].split("/")[0])


def test_a_wrong_key_is_named_by_its_secret_and_never_shown() -> None:
    def refuse(*_: Any) -> Reply:
        return 401, {"error": {"message": "Incorrect API key provided: sk-secret-value"}}, {}

    with endpoint(refuse) as served, pytest.raises(ConfigError, match="refuses the key") as caught:
        ask(served, 3, key="sk-secret-value")
    assert caught.value.where == "ENDPOINT_KEY"
    assert "sk-secret-value" not in str(caught.value)


def test_a_wrong_address_is_an_error_that_says_what_to_correct() -> None:
    with endpoint(echo) as served:
        chat = ChatEndpoint(served.url.removesuffix("/v1"), "tiny", api_key=None)
        with pytest.raises(ConfigError, match="does not know this address or the model tiny"):
            chat.answer(questions(1), GenerationConfig(), CallContext())
    with pytest.raises(ConfigError, match="does not know this address"):
        ChatEndpoint("no-scheme/v1", "tiny", api_key=None).answer(questions(1), GenerationConfig(), CallContext())


def test_a_request_that_is_refused_is_not_repeated() -> None:
    with endpoint(lambda *_: (400, {"error": {"message": "prompt too long"}}, {})) as served:
        with pytest.raises(EngineError, match="refuses the request: 400 prompt too long"):
            ask(served)
        assert len(served.bodies) == 1


@pytest.mark.parametrize("key", ["sk-secret-value\n", "sk-secret value", "ключ", ""])
def test_a_key_that_no_header_can_hold_is_refused_and_never_shown(key: str) -> None:
    with endpoint(echo) as served, pytest.raises(ConfigError, match="the key is empty, or holds") as caught:
        ask(served, key=key)
    assert caught.value.where == "ENDPOINT_KEY"
    assert "secret" not in str(caught.value)
    assert served.bodies == []


def test_an_answer_that_cannot_be_unpacked_is_asked_for_again() -> None:
    def garbled(body: dict[str, Any], seen: int) -> Reply:
        return (200, "no gzip", {"content-encoding": "gzip"}) if seen == 1 else echo(body, seen)

    with endpoint(garbled) as served:
        assert ask(served) == ["QUESTION 0"]


def test_a_refusal_without_end_is_an_error() -> None:
    with endpoint(lambda *_: (400, "[" * 100_000, {})) as served, pytest.raises(EngineError, match="refuses"):
        ask(served)


def test_half_of_a_surrogate_pair_is_shown_as_unknown() -> None:
    with endpoint(lambda *_: (200, said("half \ud83d, whole \U0001f600"), {})) as served:
        assert ask(served) == ["half \ufffd, whole \U0001f600"]


def said(content: Any) -> dict[str, Any]:
    return {"choices": [{"message": {"content": content}}]}


@pytest.mark.parametrize(
    "answer",
    [
        "<html>login</html>",
        {"choices": []},
        {"choices": [{"message": None}]},
        "[1]",
        "[" * 100_000,
        said([{"type": "text", "text": "yes"}]),
        {**said("yes"), "usage": {"prompt_tokens": float("inf")}},
    ],
    ids=range(7),
)
def test_an_answer_that_is_no_completion_is_an_error(answer: dict[str, Any] | str) -> None:
    with (
        endpoint(lambda *_: (200, answer, {})) as served,
        pytest.raises(EngineError, match="is no chat completion"),
    ):
        ask(served)


def test_parameters_that_a_model_refuses_are_left_out_or_renamed_and_said() -> None:
    def picky(body: dict[str, Any], seen: int) -> Reply:
        for name in ("max_tokens", "temperature"):
            if name in body:
                return 400, {"error": {"message": f"unsupported: {name}", "param": name}}, {}
        return echo(body, seen)

    events: list[Event] = []
    with endpoint(picky) as served:
        chat = ChatEndpoint(served.url, "tiny", api_key=None)
        config = GenerationConfig(max_new_tokens=9, batch_size=4)
        answers = chat.answer(questions(8), config, CallContext(sink=events.append))

    assert [answer.text for answer in answers] == [f"QUESTION {number}" for number in range(8)]
    assert served.bodies[-1]["max_completion_tokens"] == 9
    assert not {"max_tokens", "temperature"} & set(served.bodies[-1])
    warned = [event.data["parameter"] for event in events if event.kind == "warning"]
    assert sorted(str(name) for name in warned) == ["max_tokens", "temperature"]


def test_a_parameter_that_is_refused_for_ever_does_not_loop() -> None:
    def stubborn(body: dict[str, Any], seen: int) -> Reply:
        return 400, {"error": {"message": "no temperature", "param": "temperature"}}, {}

    with endpoint(stubborn) as served:
        with pytest.raises(EngineError, match="400 no temperature"):
            ask(served)
        assert len(served.bodies) == 2


def test_asking_stops_when_the_run_is_cancelled() -> None:
    def slow(body: dict[str, Any], seen: int) -> Reply:
        time.sleep(0.05)
        return echo(body, seen)

    with endpoint(slow) as served:
        chat = ChatEndpoint(served.url, "tiny", api_key=None)
        context = CallContext(cancelled=lambda: len(served.bodies) > 4)
        with pytest.raises(Cancelled):
            chat.answer(questions(200), GenerationConfig(batch_size=2), context)
    assert len(served.bodies) < 20
