from __future__ import annotations

from random import Random

import pytest

from local_runner.demo.personal import KINDS, draw_sentence, luhn_digit


@pytest.mark.parametrize("kind", KINDS)
def test_the_value_stands_in_its_sentence(kind: str) -> None:
    random = Random(0)
    for _ in range(50):
        sentence, value = draw_sentence(kind, random)  # type: ignore[arg-type]
        assert sentence.count(value) == 1


def test_luhn_digit_of_the_standard_example() -> None:
    # 7992739871 needs 3: doubled from the right 1->2, 8->16->7, 3->6, 2->4, 9->18->9 with 7, 9, 7, 9, 7 sum to 67.
    assert luhn_digit([7, 9, 9, 2, 7, 3, 9, 8, 7, 1]) == 3


def test_card_numbers_pass_the_whole_luhn_sum() -> None:
    random = Random(1)
    for _ in range(50):
        digits = [int(sign) for sign in draw_sentence("credit_card", random)[1] if sign.isdigit()]
        doubled = [digit if place % 2 else sum(divmod(digit * 2, 10)) for place, digit in enumerate(digits)]
        assert len(digits) == 16
        assert sum(doubled) % 10 == 0


def test_ibans_leave_one_modulo_97() -> None:
    random = Random(2)
    for _ in range(50):
        iban = draw_sentence("iban", random)[1]
        moved = iban[4:] + iban[:4]
        assert len(iban) == 22
        assert int("".join(str(int(sign, 36)) for sign in moved)) % 97 == 1
