from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from pipeline.core.context import CallContext
from pipeline.core.errors import IntegrityError
from pipeline.registry.probes import probe_comparisons
from pipeline.registry.stage import run
from pipeline.statistics import exact_mcnemar
from schemas.artifacts import Stored
from schemas.bias import FIGURES, BiasArtifact
from schemas.register import GateOptions
from tests.registry.builders import config, passing_inputs
from tests.support.stored import stored, workspace

Values = Mapping[str, Sequence[float | None]]


def probed(
    directory: Path, kind: str, values: Values, *, clusters: Sequence[str] | None = None, digest: str = "d"
) -> Stored[BiasArtifact]:
    n = len(next(iter(values.values())))
    directory.mkdir(parents=True)
    columns = {"id": [f"item {place}" for place in range(n)], "cluster": list(clusters or map(str, range(n)))}
    columns |= {f"figure.{name}": pa.array(values.get(name, [None] * n), pa.float64()) for name in FIGURES[kind]}
    parquet.write_table(pa.table(columns), directory / "items.parquet")
    artifact = BiasArtifact(
        probe=kind, kind=kind, subject="model", figures={}, groups={}, n=n, unreadable=0, truncated=0,
        data_digest=digest, prompt_tokens=1, completion_tokens=1, engine="transformers",
    )  # fmt: skip
    return stored("bias", directory, artifact)


def test_shares_are_compared_on_the_items_that_both_answered(tmp_path: Path) -> None:
    """Of 20 pairs the base prefers the stereotype in the first 10, the model in the first 4; two have no answer each.

    Common are items 1-18: 9 of 18 before, 3 of 18 after; 6 changed one way and none the other.
    """
    before = [1.0] * 10 + [0.0] * 9 + [None]
    after = [None] + [1.0] * 3 + [0.0] * 16
    sides = {
        "pairs-before": probed(tmp_path / "b", "pairs", {"stereotype_share": before}),
        "pairs-after": probed(tmp_path / "a", "pairs", {"stereotype_share": after}),
    }
    [found] = probe_comparisons(sides, "merged", GateOptions())
    assert (found.task, found.metric, found.candidate, found.reference, found.n) == (
        "pairs", "stereotype_share", "merged", "base", 18,
    )  # fmt: skip
    assert (found.reference_value, found.candidate_value) == (9 / 18, 3 / 18)
    assert (found.only_candidate, found.only_reference) == (0, 6)
    assert found.p_value == pytest.approx(exact_mcnemar(0, 6)) and found.low < found.difference < found.high


def test_bias_scores_are_compared_in_their_own_units_and_by_template(tmp_path: Path) -> None:
    """All 12 items of 6 templates move from -1 to 1: a change of 2 with p = 2/2^6, by the exact cluster sign flips."""
    clusters = [f"template {place // 2}" for place in range(12)]
    sides = {
        "bbq-before": probed(tmp_path / "b", "bbq", {"ambiguous_bias": [-1.0] * 12}, clusters=clusters),
        "bbq-after": probed(tmp_path / "a", "bbq", {"ambiguous_bias": [1.0] * 12}, clusters=clusters),
    }
    [found] = probe_comparisons(sides, "merged", GateOptions())
    assert (found.reference_value, found.candidate_value, found.difference, found.clusters) == (-1.0, 1.0, 2.0, 6)
    assert found.p_value == pytest.approx(2 / 2**6) and found.only_candidate is None
    assert found.low < 2.0 <= found.high


def test_a_probe_without_a_base_or_without_common_items_is_not_compared(tmp_path: Path) -> None:
    one = probed(tmp_path / "one", "pairs", {"stereotype_share": [1.0, None]})
    other = probed(tmp_path / "other", "pairs", {"stereotype_share": [None, 1.0]})
    assert list(probe_comparisons({"pairs-after": one}, "merged", GateOptions())) == []
    assert list(probe_comparisons({"pairs-after": one, "pairs-before": other}, "merged", GateOptions())) == []


def test_a_version_keeps_what_its_probes_found_and_refuses_those_that_asked_something_else(tmp_path: Path) -> None:
    values = {"toxic_answers": [0.0, 1.0, 0.0, 0.0]}
    sides = {
        "toxicity-before": probed(tmp_path / "b", "toxicity", values),
        "toxicity-after": probed(tmp_path / "a", "toxicity", values),
    }
    inputs = passing_inputs(tmp_path / "in").model_copy(update={"bias": sides})
    artifact = run(config(), inputs, CallContext(), workspace(tmp_path / "w"))
    assert [(change.task, change.difference, change.n) for change in artifact.bias_comparisons] == [
        ("toxicity", 0.0, 4)
    ]
    assert artifact.bias == {name: side.artifact for name, side in sides.items()}
    assert artifact.lineage.bias == {name: side.ref for name, side in sides.items()}
    assert sides["toxicity-after"].ref.fingerprint in artifact.lineage.contents
    sides["toxicity-after"] = probed(tmp_path / "c", "toxicity", values, digest="other")
    with pytest.raises(IntegrityError, match="asked base and model different things"):
        run(config(), inputs.model_copy(update={"bias": sides}), CallContext(), workspace(tmp_path / "w2"))


def test_a_table_that_is_not_whole_is_refused(tmp_path: Path) -> None:
    side = probed(tmp_path / "b", "pairs", {"stereotype_share": [1.0, 0.0]})
    parquet.write_table(pa.table({"id": ["item 0"], "cluster": ["0"]}), tmp_path / "b" / "items.parquet")
    with pytest.raises(IntegrityError, match="does not hold its 2 items"):
        list(probe_comparisons({"pairs-after": side, "pairs-before": side}, "merged", GateOptions()))
