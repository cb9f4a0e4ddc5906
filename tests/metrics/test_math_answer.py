"""Final answers of solutions, and when two are the same number."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.errors import DataError
from pipeline.metrics import get_metric
from pipeline.metrics.math_answer import as_number, final_answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("48/2 = 24 clips in May.\n#### 72", "72"),
        (r"so it is \boxed{\frac{1}{2}} and not 3", r"\frac{1}{2}"),
        (r"\boxed{1} no, \boxed{x^{2}+1}", "x^{2}+1"),
        ("The answer is 1,234.5 apples", "1,234.5"),
        (r"\boxed{never closed 7", "7"),
        ("#### ", None),
        ("no number", None),
    ],
)
def test_the_final_answer(text: str, answer: str | None) -> None:
    assert final_answer(text) == answer


@pytest.mark.parametrize(
    ("said", "meant", "right"),
    [
        ("#### 1,000.0", "#### 1000", 1.0),
        (r"\boxed{\dfrac{1}{2}}", "#### 0.5", 1.0),
        (r"\boxed{-\frac{3}{4}}", r"\boxed{-0.75}", 1.0),
        (r"\boxed{50\%}", "#### 50", 1.0),
        (r"\boxed{12\text{ cm}}", "#### 12", 1.0),
        (r"\boxed{x + 1}", r"\boxed{x+1}", 1.0),
        (r"The answer is $\frac{1}{2}$.", "0.5", 1.0),
        (r"The answer is $\frac{1}{2}$.", "2", 0.0),
        (r"#### \frac12", "0.5", 1.0),
        (r"It is $2\tfrac{1}{2}$ or -\frac{3}{4}", "-0.75", 1.0),
        (r"So $2\frac{1}{2}$.", "2.5", 1.0),
        ("#### 1 1/2", "1.5", 1.0),
        ("#### 1 1/2", "5.5", 0.0),  # not 11/2
        ("The answer is 2 1/2 cups.", "2.5", 1.0),
        (r"\boxed{-2\frac{1}{2}}", "#### -2.5", 1.0),
        (r"\boxed{2\frac12}", "#### 2.5", 1.0),
        (r"\boxed{3 4}", "34", 0.0),
        (r"\boxed{1, 234}", "1234", 0.0),
        (r"\boxed{1 234}", "1234", 1.0),
        (r"\boxed{(1, 2)}", r"\boxed{(1,2)}", 1.0),
        (r"\boxed{\$5}", "5", 1.0),
        ("It was 2020. 1/2", "1/2", 1.0),
        ("#### 0.3333", r"\boxed{\frac{1}{3}}", 0.0),
        ("It is 71.", "#### 72", 0.0),
        ("I do not know", "#### 72", 0.0),
        (r"\boxed{1/0}", "#### 1", 0.0),
        ("It costs $5.", "#### 5", 1.0),
        ("The answer is 1/2", "#### 1/2", 1.0),
        ("The answer is 7/2", "#### 2", 0.0),
        ("#### 18 dollars", "**#### 18**", 1.0),
        (r"\boxed{1{,}000}", "#### 1000", 1.0),
        (r"\boxed{90^\circ}", r"\boxed{90}", 1.0),
        (r"\boxed{\frac{1}{-2}}", "#### -0.5", 1.0),
        ("The answer is \u22125", "#### -5", 1.0),
        ("The answer is \u22125", "#### 5", 0.0),
        ("\\boxed{\u22125}", r"\boxed{-5}", 1.0),
        ("The balance is -$5.", "#### -5", 1.0),
        ("1e3", "1000", 1.0),
        ("1e3", "3", 0.0),
        ("It is 1.5e3 m", "1500", 1.0),
        ("2.5E-1", "#### 1/4", 1.0),
        (r"$1.5 \times 10^3$", "1500", 1.0),
        (r"\boxed{1.5\cdot 10^{-3}}", "0.0015", 1.0),
        ("That is 10^3.", "3", 0.0),
        ("That is 10^3.", "1000", 1.0),
        ("1e999999999", "#### 1", 0.0),
        ("x=10-3", "3", 1.0),
        ("x=10-3", "-3", 0.0),
        ("it takes 5-6", "6", 1.0),
        ("it takes 5\u20136", "6", 1.0),
        ("years 2020-2021", "2021", 1.0),
        ("years 2020-2021", "-2021", 0.0),
        ("x=-3", "-3", 1.0),
        ("4*-3", "-3", 1.0),
        ("half, 1/2.5", "2.5", 1.0),
        (r"\boxed{0.5}", r"\boxed{\frac12}", 1.0),
        (r"\boxed{\frac34}", r"\boxed{\frac{3}{4}}", 1.0),
        (r"\boxed{-\dfrac 3{4}}", "#### -0.75", 1.0),
        (r"\boxed{x+\tfrac12}", r"\boxed{x+\frac{1}{2}}", 1.0),
        (r"\boxed{\frac{a}b}", r"\boxed{\frac{a}{b}}", 1.0),
        (r"\boxed{\text{(A)}}", r"\boxed{A}", 1.0),
        (r"\boxed{\textbf{(A)}}", r"\boxed{\text{A}}", 1.0),
        (r"\boxed{\text{(A)}}", r"\boxed{B}", 0.0),
        (r"\boxed{" + "1" * 5000 + "/3}", "#### 1", 0.0),
    ],
)
def test_equal_numbers_are_equal_in_any_form(said: str, meant: str, right: float) -> None:
    assert get_metric("math_answer").item(said, meant) == right


def test_a_reference_without_an_answer_is_refused() -> None:
    with pytest.raises(DataError, match="item 0: the reference 'nothing' ends in no number"):
        get_metric("math_answer").corpus(["1"], ["nothing"])


@given(st.integers(-(10**12), 10**12), st.integers(1, 999))
def test_numbers_are_read_exactly(top: int, bottom: int) -> None:
    assert as_number(f"{top:,}") == top
    assert as_number(f"{top}/{bottom}") == Fraction(top, bottom)
    assert as_number(rf"\frac{{{top}}}{{{bottom}}}") == Fraction(top, bottom)


@given(st.integers(-(10**6), 10**6), st.integers(-30, 30))
def test_exponents_are_read_exactly(value: int, exponent: int) -> None:
    assert as_number(f"{value}e{exponent}") == as_number(rf"{value} \times 10^{{{exponent}}}")
    assert as_number(f"{value}e{exponent}") == value * Fraction(10) ** exponent


@given(st.text(max_size=60))
def test_any_text_is_read(text: str) -> None:
    assert get_metric("math_answer").item(text, "#### 1") in (0.0, 1.0)
