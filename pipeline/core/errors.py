"""The exception tree.

HoneError
├── ConfigError        (ValueError)      a key of the spec or an option is wrong
├── DataError          (ValueError)      a row or a file's content is wrong
├── SourceError        (OSError)         a file, path or address cannot be read
├── RenderError        (ValueError)      a conversation cannot become tokens and a mask as asked
├── ModelError         (ValueError)      a base model, tokenizer or adapter is missing or does not fit
├── EnvironmentMissing (RuntimeError)    a package or an environment is not installed
├── BudgetError        (RuntimeError)    an allowance of time or money is used up; a checkpoint is kept
├── DivergenceError    (ArithmeticError) the loss became NaN or infinite and one rollback did not help
├── OutOfMemory        (MemoryError)     the smallest micro-batch does not fit
├── StorageError       (OSError)         the workspace cannot be written
├── IntegrityError     (ValueError)      a stored file does not have the hash that its manifest states
├── EngineError        (RuntimeError)    an inference engine did not start or answered wrongly
├── RegistryError      (RuntimeError)    a version or alias is not as expected
├── GateRefused        (RuntimeError)    a version that its gate refused is asked to take traffic without a reason
├── UsageError         (ValueError)      a command, option or argument is not one that there is
└── Cancelled          (Exception)       somebody stopped the run
"""

from __future__ import annotations

import errno
import traceback
from typing import ClassVar

from schemas.errors import EXIT_CODES, ErrorCode, ErrorRecord, ExitCode


class HoneError(Exception):
    """An error that a user can act on.

    Args:
        message: what is wrong, in one sentence.
        where: the file, row or key.
        fix: what to do next.
        detail: longer evidence, such as the end of a log.
    """

    code: ClassVar[ErrorCode] = "internal"

    def __init__(
        self, message: str, *, where: str | None = None, fix: str | None = None, detail: str | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.fix = fix
        self.detail = detail

    def __str__(self) -> str:
        text = f"{self.where}: {self.message}" if self.where else self.message
        return f"{text} ({self.fix})" if self.fix else text

    def record(self) -> ErrorRecord:
        """Return the wire form."""
        return ErrorRecord(code=self.code, message=self.message, where=self.where, fix=self.fix, detail=self.detail)

    @property
    def exit_code(self) -> ExitCode:
        """What the command line returns for this error."""
        return EXIT_CODES[self.code]


class ConfigError(HoneError, ValueError):
    """A key of the spec or an option is wrong."""

    code = "config"


class DataError(HoneError, ValueError):
    """A row or a file's content is wrong."""

    code = "data"


class SourceError(HoneError, OSError):
    """A file, path or address cannot be read."""

    code = "source"


class RenderError(HoneError, ValueError):
    """A conversation cannot become tokens and a mask as asked."""

    code = "render"


class ModelError(HoneError, ValueError):
    """A base model, tokenizer or adapter is missing or does not fit."""

    code = "model"


class EnvironmentMissing(HoneError, RuntimeError):
    """A package or an environment is not installed."""

    code = "environment"


class BudgetError(HoneError, RuntimeError):
    """An allowance is used up; a checkpoint is kept."""

    code = "budget"


class DivergenceError(HoneError, ArithmeticError):
    """The loss became NaN or infinite and one rollback did not help."""

    code = "divergence"


class OutOfMemory(HoneError, MemoryError):
    """The smallest micro-batch does not fit."""

    code = "memory"


class StorageError(HoneError, OSError):
    """The workspace cannot be written."""

    code = "storage"


class IntegrityError(HoneError, ValueError):
    """A stored file does not have the hash that its manifest states."""

    code = "integrity"


class EngineError(HoneError, RuntimeError):
    """An inference engine did not start or answered wrongly."""

    code = "engine"


class RegistryError(HoneError, RuntimeError):
    """A version or alias is not as expected."""

    code = "registry"


class GateRefused(HoneError, RuntimeError):
    """A version that its gate refused is asked to take traffic, and no reason is given."""

    code = "gate"


class UsageError(HoneError, ValueError):
    """A command, option or argument is not one that there is."""

    code = "usage"


class Cancelled(HoneError):
    """Somebody stopped the run."""

    code = "cancelled"


class InternalError(HoneError):
    """A defect of hone, or a failure that nothing foresaw; ``detail`` holds the traceback."""

    code = "internal"


_FILE_SYSTEM = frozenset(
    (
        *(errno.EACCES, errno.EBUSY, errno.EDQUOT, errno.EEXIST, errno.EFBIG, errno.EIO, errno.EISDIR, errno.ELOOP),
        *(errno.EMFILE, errno.ENAMETOOLONG, errno.ENFILE, errno.ENODEV, errno.ENOENT, errno.ENOLCK, errno.ENOSPC),
        *(errno.ENOTDIR, errno.ENOTEMPTY, errno.EPERM, errno.EROFS, errno.ESTALE, errno.EXDEV),
    )
)
"""Numbers by which the file system reports a failure; an `OSError` may also come of the network or of a library."""

_OWN = frozenset(("", "schemas", "pipeline", "local_runner", "modal_app"))
"""A module of these that is missing is a defect."""

_INSTALL = "pip install 'hone-llm[local]' (in a checkout: make setup), or let Modal do it: hone run SPEC --on modal"


def as_hone_error(error: Exception, where: str | None = None) -> HoneError:
    """Return what any exception means for the user; ``where`` names the call for one that names no place itself."""
    if isinstance(error, HoneError):
        return error
    if isinstance(error, MemoryError):
        return OutOfMemory("memory is used up", where=where, fix="lower the batch sizes")
    if isinstance(error, OSError) and error.errno in _FILE_SYSTEM:
        return _storage_error(error)
    if isinstance(error, ModuleNotFoundError) and _package(error) not in _OWN:
        message = f"this needs the package {_package(error)}, which is not installed here"
        return EnvironmentMissing(message, where=where, fix=_INSTALL)
    if isinstance(error, (ConnectionError, TimeoutError)):
        fix = "check the network, then run the same command again"
        return SourceError(f"{type(error).__name__}: {error}", where=where, fix=fix)
    return InternalError(
        f"{type(error).__name__}: {error}",
        where=where,
        fix="this is a defect of hone or of a library; the detail has the traceback",
        detail="".join(traceback.format_exception(error)),
    )


def _package(error: ModuleNotFoundError) -> str:
    return (error.name or "").partition(".")[0]


def _storage_error(error: OSError) -> StorageError:
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    message = "the disk is full" if full else f"{type(error).__name__}: {error.strerror or error}"
    fix = "free space and run again; what was finished is kept" if full else "check the path and its permissions"
    place = str(error.filename) if error.filename else None
    return StorageError(message, where=place, fix=fix)


_BY_CODE: dict[str, type[HoneError]] = {cls.code: cls for cls in HoneError.__subclasses__()}


def from_record(record: ErrorRecord) -> HoneError:
    """Return the exception that ``record`` describes, so that an error keeps its type across processes."""
    return _BY_CODE[record.code](record.message, where=record.where, fix=record.fix, detail=record.detail)
