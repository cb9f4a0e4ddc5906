from __future__ import annotations

import pytest

from modal_app import attempts
from modal_app.attempts import unasked_gpus
from modal_app.settings import Settings
from schemas.ledger import Resources

CPU = Resources(cpu=4, memory_gib=8)
GPU = Resources(gpu="L4", count=1, cpu=4, memory_gib=32)


def test_a_call_without_a_gpu_is_not_made_where_its_container_has_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would be billed for what its meter does not count."""
    monkeypatch.setattr(attempts, "SETTINGS", Settings(device="cuda"))
    refused = unasked_gpus(CPU, 2)
    assert refused is not None and refused.exit_code == 3
    assert "was to have no GPU, and its function was deployed with 2" in refused.message
    assert unasked_gpus(CPU, 0) is None
    assert unasked_gpus(GPU, 1) is None


def test_where_no_gpus_are_offered_those_of_the_machine_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "SETTINGS", Settings(device="cpu"))
    assert unasked_gpus(CPU, 2) is None
