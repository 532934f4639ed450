"""Reading answers: what each harness's rules give, as worked out by running them, and what ours say of the same."""

import pytest

from sgt.evaluation.parsing import letter, lmms_letter, vlmevalkit_letter, vlmevalkit_yes_no, yes_no
from sgt.evaluation.task import Parsed

CHAIRS = ["a red chair", "the green chair of the left side in the room", "a table", "nothing of all this here"]


@pytest.mark.parametrize(
    ("reply", "lmms", "vlmevalkit", "ours"),
    [
        ("B", "B", "B", ("B", "direct")),
        ("(B)", "B", "B", ("B", "direct")),
        ("B.", "B", "B", ("B", "direct")),
        ("The answer is (B).", "B", "B", ("B", "cue")),
        ("B because the red armchair stands there today", "B", None, ("B", "text")),
        ("The answer is B since A is wrong", "A", "B", ("B", "cue")),
        ("A dog stands there, beside what was asked for", "A", None, (None, "none")),
        ("b", None, None, ("B", "direct")),
        ("the answer is above", None, "A", (None, "none")),
        ("**B**", "B", "B", ("B", "direct")),
        ("B. the green chair of the left side in the room", "B", "B", ("B", "direct")),
        ("A or B", "A", None, (None, "ambiguous")),
        ("a table", None, "C", ("C", "direct")),
        ("It is a table", None, "C", ("C", "text")),
        ("Cannot determine the answer", "C", None, (None, "none")),
        ("E", None, None, (None, "none")),
        ("", None, None, (None, "none")),
        ("word " * 2000, None, None, (None, "none")),
        ("B, as the chair in the room shows, so B", "B", None, ("B", "text")),
        ("The answer is a table.", None, "A", ("C", "cue")),
        ("The answer is a.", None, "A", ("A", "cue")),
        ("A table", "A", "A", ("C", "direct")),
        ("A table.\n", "A", "A", ("C", "direct")),
        ("Option A", "A", "A", ("A", "text")),
    ],
)
def test_a_letter_by_each_rule(reply, lmms, vlmevalkit, ours):
    assert lmms_letter(reply, 4).value == lmms
    assert vlmevalkit_letter(reply, CHAIRS).value == vlmevalkit
    found = letter(reply, CHAIRS)
    assert (found.value, found.status) == ours


@pytest.mark.parametrize("reply", ["A cat", "A cat.", "The answer is a cat.", "Answer: a small cat", "A small cat"])
def test_an_article_is_no_letter_where_an_option_is_named(reply):
    assert letter(reply, ["dog", "cat"]).value == "B"


@pytest.mark.parametrize(
    ("reply", "value", "status"),
    [
        ("Yes", "yes", "direct"),
        ("no.", "no", "direct"),
        ("**Yes**", "yes", "direct"),
        ("Yes, it is not far", "yes", "text"),
        ("The answer is no", "no", "text"),
        ("It may be yes or no", None, "ambiguous"),
        ("Nope", None, "none"),
        ("", None, "none"),
    ],
)
def test_yes_and_no(reply, value, status):
    found = yes_no(reply)
    assert (found.value, found.status) == (value, status)


@pytest.mark.parametrize(
    ("reply", "value", "status"),
    [
        ("No,it is black", "no", "text"),
        ("No, it is black", "no", "text"),
        ("No,it is one of 1,000", None, "none"),
        ("yes/no", None, "ambiguous"),
        ("Yes.", "yes", "direct"),
        ("**Yes**", None, "none"),
    ],
)
def test_yes_and_no_as_vlmevalkit_divides_words(reply, value, status):
    assert vlmevalkit_yes_no(reply) == Parsed(value, status)
