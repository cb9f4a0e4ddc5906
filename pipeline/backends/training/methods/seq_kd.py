"""Distillation from a teacher's answers (Kim and Rush 2016, arXiv:1606.07947): the stage drew them, SFT follows."""

from __future__ import annotations

from pipeline.backends.training.methods.sft import build

__all__ = ["build"]
