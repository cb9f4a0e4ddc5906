"""Monitoring on this machine: what the gateway captured since it last wrote partitions is written first."""

from __future__ import annotations

import time
from pathlib import Path

from local_runner.service import open_records
from pipeline.monitor.partitions import FOLDER, Partitions


def refresh(root: Path, database: str | None) -> None:
    """Write what the gateway has in its tables to partitions, and remove what is older than it keeps.

    Where no gateway has run in the workspace nothing is done.

    Raises:
        HoneError: the database cannot be opened, or a partition is damaged.
    """
    partitions = Partitions(root / FOLDER)
    days = partitions.retention_days()
    if days is None:
        return
    from pipeline.service.gateway.rotation import Rotation
    from pipeline.service.gateway.store import GatewayStore

    records = open_records(root, database)
    try:
        Rotation(GatewayStore(records.engine), partitions, days).rotate(time.time())
    finally:
        records.close()
