"""Which stage calls come next: a pure function of what is asked and what is finished, the same for every runner.

Call ids: ``plan``; ``data``, ``data.retention-<task>``; ``evaluate.baseline-<kind>``; ``train.seed-<n>``;
``evaluate.seed-<n>``; ``evaluate.retention-<task>-before|after``; ``optimize.<variant>``;
``evaluate.variant-<variant>``; ``bias.<probe>-before|after``; ``judge.labels``,
``judge.best-baseline``, ``judge.champion``; ``serve``; ``register``.
"""

from __future__ import annotations

from pipeline.flow.parts import Finished, served_variant, shipped_seed
from pipeline.flow.steps import next_calls
from pipeline.flow.training import train_config

__all__ = ["Finished", "next_calls", "served_variant", "shipped_seed", "train_config"]
