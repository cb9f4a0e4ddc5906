"""Fixtures of `tests.support.served`."""

from __future__ import annotations

from tests.support.served import adapter, adapter_evaluation, base, data, merged

__all__ = ["adapter", "adapter_evaluation", "base", "data", "merged"]
