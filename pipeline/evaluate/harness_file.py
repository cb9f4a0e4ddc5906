"""Task files of lm-evaluation-harness, read without running anything that they name.

lm_eval runs what a task file asks for: functions of files beside it (``!function utils.score``), templates that can
reach Python's internals, metrics that are scripts of the Hub. Here a file is data: what would run code is refused,
unless the run description says ``allow_code``, and every file that it names becomes part of what is fingerprinted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pipeline.core.errors import ConfigError, DataError, SourceError
from pipeline.core.yaml_text import YamlLoader
from schemas.base import Reference
from schemas.evaluate import HarnessConfig, HarnessOptions

FILE_FORMATS = ("json", "csv", "parquet", "text")
"""What ``dataset_path`` says where the data are files."""

_SUFFIXES = (".yaml", ".yml")


class FunctionName(str):
    """What stands after ``!function``: ``module.function`` of a file beside the task's."""

    __slots__ = ()

    @property
    def file(self) -> str:
        """The name of the module's file."""
        return f"{self.rpartition('.')[0]}.py"


def is_task_file(name: str) -> bool:
    """Tell whether ``name`` is that of a file, and not of a task that lm_eval has."""
    return name.endswith(_SUFFIXES)


def harness_config(
    task: str, options: HarnessOptions, source: Callable[[str], Reference], digest: Callable[[Path], str]
) -> HarnessConfig:
    """Return a task as it is measured: its file and all that this names with their digests, or its name.

    Args:
        task: a name that lm_eval knows, or a YAML file.
        options: how it is asked.
        source: finds the file and digests it.
        digest: of a file beside it.

    Raises:
        ConfigError, DataError, SourceError: the file, or one that it names, cannot be read, or runs code.
    """
    if not is_task_file(task):
        return HarnessConfig(**options.model_dump(), task=task)
    file = source(task)
    path = Path(file.location)
    found = named_files(read_task(path, allow_code=options.allow_code), path.parent)
    files = {name: Reference(location=str(one.resolve()), digest=digest(one)) for name, one in found.items()}
    return HarnessConfig(**options.model_dump(), file=file, files=files)


def read_task(path: Path, *, allow_code: bool) -> dict[str, Any]:
    """Return the content of a task file, with `FunctionName` where it names functions.

    Raises:
        SourceError: it cannot be read.
        DataError: it is no YAML, or not the description of one task.
        ConfigError: it would run code, and ``allow_code`` is not set.
    """
    task = _parse(path)
    if not isinstance(task, dict) or not isinstance(task.get("task"), str):
        raise DataError(
            "this is not the description of one task",
            where=str(path),
            fix="give it `task: NAME` and the keys of an lm-evaluation-harness task; groups are named task by task",
        )
    if "include" in task:
        raise DataError(
            "a task file that includes others is not read", where=f"{path}: include", fix="write all keys into one file"
        )
    asks = next(_code_in(task), None)
    if asks is not None and not allow_code:
        raise ConfigError(
            "this task file runs code",
            where=f"{path}: {asks}",
            fix="read that code, and set allow_code: true on the task in evaluate.harness to run it with your rights",
        )
    metrics = task.get("metric_list") or []
    if not isinstance(metrics, list):
        raise DataError("metric_list is no list", where=str(path), fix="write `metric_list: [{metric: acc}]`")
    if any(isinstance(metric, dict) and metric.get("hf_evaluate") for metric in metrics):
        raise ConfigError(
            "a metric that is a script of the Hub is not run",
            where=f"{path}: metric_list: hf_evaluate",
            fix="use one of lm_eval's own metrics",
        )
    return task


def named_files(task: Mapping[str, Any], folder: Path) -> dict[str, Path]:
    """Return the data and code files of a task by the names that stand in it, relative to ``folder``.

    Raises:
        SourceError: one is not there, or is an address.
    """
    names = [*_data_files(task), *sorted({function.file for function in _functions(task)})]
    if isinstance(task.get("dataset_path"), str) and (folder / task["dataset_path"]).exists():
        names.append(task["dataset_path"])
    found = {}
    for name in names:
        path = folder / name
        if "://" in name:
            raise SourceError("addresses are not read", where=name, fix="download the file and name it in the task")
        if not path.exists():
            raise SourceError(
                "no such file beside the task's", where=str(path), fix="correct the name in the task file"
            )
        found[name] = path
    return found


def bind(
    task: Mapping[str, Any], files: Mapping[str, Path], load: Callable[[Path, str], Callable[..., Any]]
) -> dict[str, Any]:
    """Return the task with paths and functions in place of their names.

    Args:
        task: as `read_task` returned it.
        files: where the files are now, by name.
        load: returns a function of a file.
    """

    def bound(value: Any) -> Any:
        if isinstance(value, FunctionName):
            return load(files[value.file], value.rpartition(".")[2])
        if isinstance(value, dict):
            return {key: bound(item) for key, item in value.items()}
        return [bound(item) for item in value] if isinstance(value, list) else value

    def located(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: located(item) for key, item in value.items()}
        return [located(item) for item in value] if isinstance(value, list) else str(files[value])

    made: dict[str, Any] = bound(dict(task))
    if _data_files(task):
        made["dataset_kwargs"]["data_files"] = located(task["dataset_kwargs"]["data_files"])
    if made.get("dataset_path") in files:
        made["dataset_path"] = str(files[made["dataset_path"]])
    return made


def _parse(path: Path) -> Any:
    import yaml

    class Loader(YamlLoader):
        """YAML's plain types, and names of functions as names."""

    def function_name(loader: Loader, node: yaml.ScalarNode) -> FunctionName:
        return FunctionName(loader.construct_scalar(node))

    Loader.add_constructor("!function", function_name)
    try:
        return yaml.load(path.read_text(encoding="utf-8"), Loader=Loader)  # noqa: S506
    except OSError as error:
        raise SourceError(f"cannot be read: {error.strerror}", where=str(path), fix="check the path") from error
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        first = str(error).splitlines()[0] if str(error) else "nested too deeply"
        raise DataError(f"no YAML: {first}", where=str(path), fix="repair the file") from error


def _data_files(task: Mapping[str, Any]) -> list[str]:
    """Return the names of the data files, in order."""
    arguments = task.get("dataset_kwargs")
    named = arguments.get("data_files") if isinstance(arguments, dict) else None
    if isinstance(arguments, dict) and arguments.get("data_dir") is not None:
        raise DataError(
            "a folder of data is not read", where="dataset_kwargs: data_dir", fix="name its files in data_files"
        )
    if named is None:
        return []
    if task.get("dataset_path") not in FILE_FORMATS:
        raise DataError(
            f"files are named, and dataset_path {task.get('dataset_path')!r} is none of {', '.join(FILE_FORMATS)}",
            where="dataset_path",
            fix="give the data as files of one of these formats",
        )
    groups = list(named.values()) if isinstance(named, dict) else [named]
    names = [name for group in groups for name in (group if isinstance(group, list) else [group])]
    if not all(isinstance(name, str) for name in names):
        raise DataError("names of files are text", where="dataset_kwargs: data_files", fix="correct the task file")
    return list(dict.fromkeys(names))


def _functions(value: Any) -> Iterator[FunctionName]:
    if isinstance(value, FunctionName):
        yield value
    elif isinstance(value, (dict, list)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _functions(item)


def _code_in(task: Mapping[str, Any]) -> Iterator[str]:
    """Yield what of a task runs code beside lm_eval's own."""
    yield from (f"!function {function}" for function in _functions(task))
    arguments = task.get("dataset_kwargs")
    if isinstance(arguments, dict) and arguments.get("trust_remote_code"):
        yield "dataset_kwargs: trust_remote_code"
    if task.get("unsafe_code"):
        yield "unsafe_code"
