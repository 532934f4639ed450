"""Numbers in replies."""

import pytest

from sgt.evaluation.numbers import answer_part, last_list, last_number


@pytest.mark.parametrize(
    ("text", "value", "alone"),
    [
        ("14", 14, True),
        ("**14.**", 14, True),
        ("14 cm", 14, False),
        ("6cm", 6, False),
        ("1,200", 1200, True),
        ("12,345,678.5", 12345678.5, True),
        ("2014,2016", 2016, False),
        ("-3", -3, True),
        ("−3", -3, True),
        ("x=-5", -5, False),
        ("3-4", 4, False),
        (".5", 0.5, True),
        ("3/4", 0.75, True),
        ("\\frac{3}{4}", 0.75, True),
        ("1/0", None, None),
        ("25 cm^2", 25, False),
        ("25 m^{-1}", 25, False),
        ("2.5 × 10^{-3}", 0.0025, True),
        ("3e2", 300, True),
        ("H2O and x_{1}", None, None),
        ("two", None, None),
        ("", None, None),
        ("9" * 10_000, float("inf"), True),
    ],
)
def test_the_last_number(text, value, alone):
    assert last_number(text) == (None if value is None else (pytest.approx(value), alone))


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("[2014, 2016]", [2014, 2016]),
        ("It is [1.5,2]", [1.5, 2]),
        ("[1, x]", None),
        ("[]", None),
        ("2014 and 2016", None),
        ("[" * 10_000, None),
    ],
)
def test_the_last_list(text, numbers):
    assert last_list(text) == numbers


@pytest.mark.parametrize(
    ("reply", "part", "cued"),
    [
        ("14", "14", False),
        ("First 3, then 4. The answer is 7.", "7.", True),
        ("Answer: 3? No.\n**Answer:** 4\nSince 2 + 2", "4", True),
        ("**Final Answer**\n\n14 cm", "14 cm", True),
        ("The final answer is: \\boxed{\\text{B}} as 3 < 4", "B", True),
        ("\\boxed{\\frac{3}{4}}", "\\frac{3}{4}", True),
        ("\\boxed{3", "3", True),
        ("The answer is", "", True),
    ],
)
def test_where_the_answer_stands(reply, part, cued):
    assert answer_part(reply) == (part, cued)
