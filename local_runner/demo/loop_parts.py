"""The processes of the loop's demo, and the people who ask, rate and correct: all over HTTP, as anybody's would."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx

from local_runner.demo.drift import SYSTEM, Question
from pipeline.core.errors import EngineError
from pipeline.core.process import start_kept, stop_kept

CLIENTS: Final = 8
STOP_SECONDS: Final = 60.0
ANSWER_SECONDS: Final = 180.0
"""How long an answer may take: the first one starts an engine."""

_POLL_SECONDS: Final = 1.0


@dataclass(frozen=True)
class Hone:
    """The command, in one workspace.

    Args:
        root: the workspace.
        variables: environment variables beside this process's own.
        log: takes what the commands write for people.
    """

    root: Path
    variables: Mapping[str, str] = field(repr=False)
    log: Path

    def run(self, *arguments: str, accepted: Sequence[int] = (0,)) -> dict[str, Any]:
        """Carry a command out and return what it printed.

        Raises:
            EngineError: it ended with another exit code than those accepted.
        """
        with self.log.open("a", encoding="utf-8") as log:
            done = subprocess.run(
                self._command(*arguments), stdout=subprocess.PIPE, stderr=log, text=True, env=self._env(), check=False
            )
        if done.returncode not in accepted:
            raise EngineError(
                f"hone {arguments[0]} ended with exit code {done.returncode}",
                where=str(self.log),
                fix="the file has what it wrote",
                detail=done.stdout[-2000:],
            )
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    @contextmanager
    def serving(self, *arguments: str) -> Iterator[str]:
        """Bring a command up that serves; yield its base URL.

        Raises:
            EngineError: it ended before it was up.
        """
        with self.log.open("a", encoding="utf-8") as log:
            process = start_kept(self._command(*arguments), stdout=subprocess.PIPE, stderr=log, env=self._env())
            assert process.stdout is not None
            try:
                told = ""
                while not told.endswith("\n}\n"):
                    line = process.stdout.readline()
                    if not line:
                        break
                    told += line
                found = json.loads(told or "{}")
                if "base_url" not in found:
                    message = found.get("error", {}).get("message", "it said nothing")
                    raise EngineError(f"hone {arguments[0]} did not start: {message}", where=str(self.log))
                yield found["base_url"]
            finally:
                stop_kept(process, STOP_SECONDS)
                process.stdout.close()

    def _command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-P", "-m", "local_runner.main", *arguments, "-w", str(self.root), "--json"]

    def _env(self) -> dict[str, str]:
        home = str(Path(__file__).resolve().parent.parent.parent)
        path = os.pathsep.join(filter(None, (home, os.environ.get("PYTHONPATH"))))
        return {**os.environ, "PYTHONPATH": path, **self.variables}


@dataclass(frozen=True)
class People:
    """Whoever asks at an address.

    Args:
        base_url: ends in ``/v1``.
        key: of the scope ``infer``, or of an admin.
    """

    base_url: str
    key: str = field(repr=False)

    def ask(self, model: str, asked: Sequence[Question], *, rates: bool = False) -> float:
        """Ask every question, several at once, and return the share of right answers.

        With ``rates`` each answer is rated, and a wrong one corrected.

        Raises:
            EngineError: a question was not answered.
        """
        with httpx.Client(timeout=ANSWER_SECONDS, headers=self._headers) as client, ThreadPoolExecutor(CLIENTS) as pool:
            right = list(pool.map(lambda numbered: self._ask(client, model, numbered, rates), enumerate(asked)))
        return sum(right) / len(right)

    def _ask(self, client: httpx.Client, model: str, numbered: tuple[int, Question], rates: bool) -> bool:
        number, question = numbered
        turns = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": question.message}]
        body = {"model": model, "messages": turns, "max_tokens": 8, "temperature": 0, "user": f"customer {number}"}
        answer = client.post(f"{self.base_url}/chat/completions", json=body)
        _check(answer)
        said = str(answer.json()["choices"][0]["message"]["content"]).strip()
        right = said == question.product
        if rates:
            verdict = {"thumb": "up"} if right else {"thumb": "down", "correction": question.product}
            _check(
                client.post(
                    f"{self.base_url}/feedback", json={"response_id": answer.headers["x-request-id"], **verdict}
                )
            )
        return right

    def get(self, path: str) -> dict[str, Any]:
        """Return what is at a path below the address."""
        answer = httpx.get(f"{self.base_url}{path}", headers=self._headers, timeout=60)
        _check(answer)
        found: dict[str, Any] = answer.json()
        return found

    def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Send a body to a path below the address."""
        answer = httpx.post(f"{self.base_url}{path}", json=body, headers=self._headers, timeout=60)
        _check(answer)
        found: dict[str, Any] = answer.json()
        return found

    @property
    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}"}


def _check(answer: httpx.Response) -> None:
    if not answer.is_success:
        raise EngineError(f"answered {answer.status_code}: {answer.text[:300]}", where=str(answer.request.url))


def wait_for(found: Callable[[], dict[str, Any] | None], what: str, seconds: float) -> dict[str, Any]:
    """Return what ``found`` returns once it is something.

    Raises:
        EngineError: it is not, within ``seconds``.
    """
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        answer = found()
        if answer is not None:
            return answer
        time.sleep(_POLL_SECONDS)
    raise EngineError(f"no {what} within {seconds:.0f} s", where=what)
