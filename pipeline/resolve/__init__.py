"""A run description as it was written, to a run: what every name in it means on this machine now."""

from pipeline.resolve.metrics import DEFAULT_METRICS
from pipeline.resolve.resolver import Resolver
from pipeline.resolve.sources import data_options, is_hub_id

__all__ = ["DEFAULT_METRICS", "Resolver", "data_options", "is_hub_id"]
