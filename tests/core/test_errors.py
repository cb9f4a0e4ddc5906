from __future__ import annotations

import builtins
import errno

import pytest

from pipeline.core import errors
from pipeline.core.errors import HoneError, as_hone_error, from_record
from schemas.errors import EXIT_CODES

KINDS = sorted(HoneError.__subclasses__(), key=lambda kind: kind.__name__)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_an_error_keeps_its_kind_across_processes(kind: type[HoneError]) -> None:
    error = kind("bad", where="a.jsonl:3", fix="mend it", detail="log")
    again = from_record(error.record())
    assert type(again) is kind
    assert (again.message, again.where, again.fix, again.detail) == ("bad", "a.jsonl:3", "mend it", "log")
    assert str(again) == "a.jsonl:3: bad (mend it)"


def test_every_code_has_one_class_and_an_exit_code() -> None:
    codes = [kind.code for kind in KINDS]
    assert sorted(codes) == sorted(EXIT_CODES)
    assert all(int(EXIT_CODES[code]) != 0 for code in codes)


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    assert errors.__doc__ is not None
    drawn = [line for line in errors.__doc__.splitlines() if "──" in line]
    described = {line.split()[1]: line.split("(")[1].split(")")[0] for line in drawn}
    actual = {
        kind.__name__: next((base.__name__ for base in kind.__bases__ if hasattr(builtins, base.__name__)), "Exception")
        for kind in KINDS
        if kind.__name__ != "InternalError"
    }
    assert described == actual


class LibraryConnectionError(OSError):
    """An `OSError` without a number, as requests raises."""


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "storage"),
        (PermissionError(errno.EACCES, "Permission denied", "/x"), "storage"),
        (ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"), "source"),
        (TimeoutError("timed out"), "source"),
        (LibraryConnectionError("max retries exceeded"), "internal"),
        (MemoryError(), "memory"),
        (ZeroDivisionError("x"), "internal"),
        (errors.DataError("bad"), "data"),
        (ModuleNotFoundError("No module named 'torch'", name="torch.nn"), "environment"),
        (ModuleNotFoundError("No module named 'pipeline.gone'", name="pipeline.gone"), "internal"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else value,
)
def test_what_an_exception_means_is_found_from_its_kind(error: Exception, code: str) -> None:
    assert as_hone_error(error, "train.seed-0").code == code
