from __future__ import annotations

from typing import get_args

from docs.generate_quantization import TARGET, page
from schemas.optimize import PRESETS, Variant
from schemas.schemes import SCHEMES, Scheme, VariantBackend, made_by


def test_the_page_is_up_to_date() -> None:
    assert TARGET.read_text(encoding="utf-8") == page(), "run python docs/generate_quantization.py"


def test_every_scheme_has_a_line_and_a_name() -> None:
    assert tuple(SCHEMES) == get_args(Scheme)
    assert {Variant.model_validate(name).scheme for name in PRESETS} == set(SCHEMES)
    assert sorted(scheme for backend in get_args(VariantBackend) for scheme in made_by(backend)) == sorted(SCHEMES)


def test_what_is_read_by_avx512_is_what_a_cpu_loads_in_four_bits() -> None:
    for facts in SCHEMES.values():
        assert facts.packed == (facts.bits is not None and facts.bits < 8 and facts.vllm_dtype is not None)
