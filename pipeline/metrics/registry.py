"""The tables of metrics and measures: a name, and what builds it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path

from pipeline.core.errors import ConfigError
from pipeline.metrics.accuracy import Accuracy
from pipeline.metrics.balanced_accuracy import BalancedAccuracy
from pipeline.metrics.base import Metric
from pipeline.metrics.bert_score import BertScore
from pipeline.metrics.bleu import Bleu
from pipeline.metrics.calibration_error import CalibrationError
from pipeline.metrics.chrf import Chrf
from pipeline.metrics.code_execution import CodeExecution
from pipeline.metrics.exact_match import ExactMatch
from pipeline.metrics.field_f1 import FieldF1
from pipeline.metrics.json_exact_match import JsonExactMatch
from pipeline.metrics.json_schema import JsonSchema
from pipeline.metrics.json_validity import JsonValidity
from pipeline.metrics.macro_f1 import MacroF1
from pipeline.metrics.math_answer import MathAnswer
from pipeline.metrics.mcc import Mcc
from pipeline.metrics.measure import Measure, Unit
from pipeline.metrics.micro_f1 import MicroF1
from pipeline.metrics.pairwise_accuracy import PairwiseAccuracy
from pipeline.metrics.perplexity import Perplexity
from pipeline.metrics.rouge import Rouge1, Rouge2, RougeL
from pipeline.metrics.user_metric import is_user_metric, load_user_metric
from pipeline.metrics.valid_label import ValidLabel

_FACTORIES: dict[str, Callable[..., Metric]] = {}
_MEASURES: dict[str, type[CalibrationError] | type[Perplexity]] = {
    kind.name: kind for kind in (CalibrationError, Perplexity)
}


def register_metric(name: str, factory: Callable[..., Metric]) -> None:
    """Add a metric to the table; the keyword parameters of ``factory`` are the metric's parameters.

    Raises:
        ConfigError: the name is taken, or reads as the name of a file.
    """
    if name in _FACTORIES:
        raise ConfigError("a metric of this name exists", where=name, fix="choose another name")
    if is_user_metric(name):
        raise ConfigError("a metric's name cannot end as a Python file", where=name, fix="choose another name")
    _FACTORIES[name] = factory


def metric_names() -> tuple[str, ...]:
    """Return the names in the table, sorted."""
    return tuple(sorted(_FACTORIES))


def metric_factory(name: str) -> Callable[..., Metric]:
    """Return what builds the metric ``name`` of the table; its docstring says what is measured.

    Raises:
        KeyError: there is none.
    """
    return _FACTORIES[name]


def get_metric(name: str, *, root: Path | None = None, **params: object) -> Metric:
    """Return the metric that a spec names.

    Args:
        name: a name of the table, or ``./my_metric.py:score`` for a user's function.
        root: the folder that a user's file is relative to and must lie in.
        params: the metric's parameters, such as ``labels`` of ``valid_label``.

    Raises:
        ConfigError: an unknown name (the nearest is given), a parameter that is missing or unknown, or what
            is wrong with a user's file.
        SourceError: a user's file cannot be read.
    """
    if is_user_metric(name):
        if params:
            raise ConfigError(
                f"a metric by file takes no parameters, but {_listed(params)} is given",
                where=name,
                fix="write the values into the file",
            )
        if root is None:
            raise ConfigError("a metric by file cannot be used here", where=name, fix="name a metric of the table")
        return load_user_metric(name, root=root)
    factory = _FACTORIES.get(name)
    if factory is None and name in _MEASURES:
        raise ConfigError(
            f"{name} is a measure of the model and no score of its answers",
            where=name,
            fix="name it in evaluate.measures",
        )
    if factory is None:
        nearest = get_close_matches(name, _FACTORIES, n=1, cutoff=0.5)
        raise ConfigError(
            "there is no such metric",
            where=name,
            fix=f"did you mean {nearest[0]}?" if nearest else f"choose one of {_listed(metric_names())}",
        )
    _check_parameters(name, factory, params)
    return factory(**params)


def measure_names() -> tuple[str, ...]:
    """Return the names of all measures, sorted."""
    return tuple(sorted(_MEASURES))


def measure_factory(name: str) -> Callable[..., Measure]:
    """Return what builds the measure ``name``; its docstring says what is measured.

    Raises:
        KeyError: there is none.
    """
    return _MEASURES[name]


def measure_unit(name: str) -> Unit:
    """Return the unit of the measure ``name``."""
    return _MEASURES[name].unit


def get_measure(name: str, **params: object) -> Measure:
    """Return the measure that a spec names.

    Raises:
        ConfigError: an unknown name (the nearest is given), or a parameter that is missing, unknown or wrong.
    """
    factory: Callable[..., Measure] | None = _MEASURES.get(name)
    if factory is None:
        where = f"evaluate.measures: {name}"
        if name in _FACTORIES or is_user_metric(name):
            raise ConfigError("this is a metric and no measure", where=where, fix="name it in evaluate.metrics")
        nearest = get_close_matches(name, _MEASURES, n=1, cutoff=0.5)
        fix = f"did you mean {nearest[0]}?" if nearest else f"choose one of {_listed(measure_names())}"
        raise ConfigError("there is no such measure", where=where, fix=fix)
    _check_parameters(name, factory, params)
    return factory(**params)


def _check_parameters(name: str, factory: Callable[..., object], params: dict[str, object]) -> None:
    try:
        inspect.signature(factory).bind(**params)
    except TypeError as error:
        known = list(inspect.signature(factory).parameters)
        raise ConfigError(
            f"the metric's parameters do not fit: {error}",
            where=name,
            fix=f"it takes {_listed(known)}" if known else "it takes none",
        ) from error


def _listed(names: object) -> str:
    return ", ".join(str(name) for name in names) if isinstance(names, (list, tuple, dict)) else str(names)


for _metric in (
    *(
        Accuracy,
        BalancedAccuracy,
        BertScore,
        Bleu,
        Chrf,
        CodeExecution,
        ExactMatch,
        FieldF1,
        JsonExactMatch,
        JsonSchema,
    ),
    *(JsonValidity, MacroF1, MathAnswer, Mcc, MicroF1, PairwiseAccuracy, Rouge1, Rouge2, RougeL, ValidLabel),
):
    register_metric(_metric.name, _metric)
