"""Answers that are numbers: the value of one, and how near it is to the right one."""

import operator
import re

import numpy as np

_TOLERANCES = 1 - np.arange(0.5, 1.0, 0.05)
_LITERAL = r"[-+]?(?:(?:0|[1-9]\d*)(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?"
_OPERATORS = {"+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv}


def arithmetic(text: str) -> float | None:
    """The value of a number, or of two with an operator between them, written as in Python; None if it is neither."""
    match = re.fullmatch(rf"({_LITERAL})(?:\s*([-+*/])\s*({_LITERAL}))?", text.strip())
    if match is None:
        return None
    first, sign, second = match.groups()
    if sign is None:
        return float(first)
    if sign == "/" and float(second) == 0:
        return None
    return _OPERATORS[sign](float(first), float(second))


def mean_relative_accuracy(answer: float, value: float, published: bool) -> float:
    """Of ten tolerances from 0.5 to 0.05, the share that the relative error is below.

    Args:
        answer: the right number.
        value: what was answered.
        published: divide by the answer as it is, which gives 1 for every value if it is negative, and 0 if it is 0.
            Otherwise divide by its size; of an answer that is 0, 0 alone is right.
    """
    if answer == 0:
        return float(value == 0 and not published)
    error = abs(value - answer) / (answer if published else abs(answer))
    return float(np.mean(error < _TOLERANCES))
