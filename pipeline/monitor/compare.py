"""Every detector over two windows, corrected for being several."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from pipeline.core.errors import DataError
from pipeline.monitor.choose import Chosen
from pipeline.monitor.found import Found
from pipeline.monitor.hashed import HashedEmbedder
from pipeline.monitor.registry import DETECTORS
from pipeline.monitor.rows import Row
from pipeline.monitor.windows import Embedder, Windows
from pipeline.statistics.multiple import holm
from schemas.monitor import (
    DetectorName,
    DriftReading,
    DriftReport,
    MonitorConfig,
    PastWindow,
    ReferenceKind,
    Skipped,
    WindowFacts,
)


def compare_windows(
    reference: Sequence[Row], current: Sequence[Row], config: MonitorConfig, embedder: Embedder | None = None
) -> tuple[tuple[DriftReading, ...], tuple[Skipped, ...]]:
    """Return what each detector says of two windows, and which could not say anything.

    A detector drifted where its p-value, Holm's over all that were read, is at most ``alpha``: windows of one
    distribution then make any of them drift with probability at most ``alpha``, however they depend on each other.

    Raises:
        DataError: none of the detectors has enough to read.
    """
    windows = Windows(reference, current, embedder or HashedEmbedder(), config.seed)
    found: dict[DetectorName, Found] = {}
    skipped: list[Skipped] = []
    for name in config.detectors or tuple(DETECTORS):
        answer = _detect(name, windows, config.minimum)
        if isinstance(answer, str):
            skipped.append(Skipped(detector=name, reason=answer))
        else:
            found[name] = answer
    if not found:
        raise DataError(
            "no detector has enough to read: " + "; ".join(f"{skip.detector}: {skip.reason}" for skip in skipped),
            where=f"{len(reference)} rows before, {len(current)} now",
            fix="wait for more answers, or take larger windows",
        )
    adjusted = holm([each.p_value for each in found.values()])
    readings = tuple(
        _reading(name, each, corrected, config.alpha)
        for (name, each), corrected in zip(found.items(), adjusted, strict=True)
    )
    return readings, tuple(skipped)


def _detect(name: DetectorName, windows: Windows, minimum: int) -> Found | str:
    detector = DETECTORS[name]
    items = windows.items(detector.reads)
    if min(items.counts) < minimum:
        before, now = items.counts
        return f"{detector.needs}: {before} before and {now} now, {minimum} are needed"
    if min(int(items.part.sum()), int((~items.part).sum())) < 2:
        return f"{detector.needs}: all of one window are of one user or conversation"
    return detector.detect(windows)


def _reading(name: DetectorName, found: Found, p_adjusted: float, alpha: float) -> DriftReading:
    detector = DETECTORS[name]
    return DriftReading(
        detector=name,
        title=detector.title,
        reference_items=found.counts[0],
        current_items=found.counts[1],
        statistic=found.statistic,
        p_value=found.p_value,
        p_adjusted=p_adjusted,
        exact=found.exact,
        measure=detector.measure,
        effect=found.effect,
        unit=detector.unit,
        reference=found.reference,
        current=found.current,
        bars=found.bars,
        drifted=p_adjusted <= alpha,
    )


def facts(rows: Sequence[Row]) -> WindowFacts:
    """Return what is said of a window."""
    times = [row.at for row in rows if row.at is not None]
    units = len({row.unit if row.unit is not None else row.id for row in rows})
    digest = hashlib.sha256("\n".join(sorted(row.id for row in rows)).encode()).hexdigest()
    return WindowFacts(
        rows=len(rows),
        units=units,
        first=min(times, default=None),
        last=max(times, default=None),
        digest=digest,
    )


def drift_report(
    version: str, kind: ReferenceKind, chosen: Chosen, config: MonitorConfig, embedder: Embedder | None = None
) -> DriftReport:
    """Compare a version's newest window, and those before it, with the reference; see `compare_windows`."""
    embedder = embedder or HashedEmbedder()
    readings, skipped = compare_windows(chosen.reference, chosen.current, config, embedder)
    return DriftReport(
        version=version,
        reference_kind=kind,
        reference=facts(chosen.reference),
        current=facts(chosen.current),
        config=config,
        embedder=embedder.name,
        readings=readings,
        skipped=skipped,
        past=tuple(_past(chosen.reference, rows, config, embedder) for rows in chosen.past),
        alarm=any(reading.drifted for reading in readings),
    )


def _past(reference: Sequence[Row], rows: Sequence[Row], config: MonitorConfig, embedder: Embedder) -> PastWindow:
    readings, _ = compare_windows(reference, rows, config, embedder)
    return PastWindow(
        last=facts(rows).last,
        p_adjusted=min(reading.p_adjusted for reading in readings),
        drifted=tuple(reading.detector for reading in readings if reading.drifted),
    )
