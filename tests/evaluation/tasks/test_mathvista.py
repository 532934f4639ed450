"""MathVista: answers without a judge, and the published code's normalisation."""

from pathlib import Path

import pytest

from sgt.errors import SgtError
from sgt.evaluation.tasks.mathvista import edit_distance, normalised
from sgt.models.requests import Reply
from tests.evaluation.tasks.published import picture, read, rows_of, task, values, write_parquet

LETTER = "Hint: Please answer the question and provide the correct option letter, e.g., A, B, C, D, at the end."
INTEGER = (
    "Hint: Please answer the question requiring an integer answer and provide the final value, e.g., 1, 2, 3, "
    "at the end."
)
ONE_PLACE = (
    "Hint: Please answer the question requiring a floating-point number with one decimal place and provide the final "
    "value, e.g., 1.2, 1.3, 1.4, at the end."
)
LIST = (
    "Hint: Please answer the question requiring a Python list as an answer and provide the final list, e.g., "
    "[1, 2, 3], [1.2, 1.3, 1.4], at the end."
)


def record(
    pid: int,
    answer: str,
    kind: str,
    choices: list[str] | None = None,
    precision: float | None = None,
    unit: str | None = None,
    hint: str = INTEGER,
    work: str = "math word problem",
    skills: tuple[str, ...] = ("arithmetic reasoning",),
) -> dict:
    asked = "How much is it?" if unit is None else f"How much is it? (Unit: {unit})"
    options = [f"({letter}) {text}" for letter, text in zip("ABCDEFGH", choices or (), strict=False)]
    return {
        "pid": str(pid),
        "question": "How much is it?",
        "image": f"images/{pid}.jpg",
        "decoded_image": picture(pid),
        "choices": choices,
        "unit": unit,
        "precision": precision,
        "answer": answer,
        "question_type": "multi_choice" if choices else "free_form",
        "answer_type": kind,
        "metadata": {"split": "testmini", "language": "english", "task": work, "skills": list(skills)},
        "query": "\n".join([hint, f"Question: {asked}", *(["Choices:", *options] if options else [])]),
    }


RECORDS = [
    record(1, "6", "text", ["4", "6", "8"], hint=LETTER, work="figure question answering"),
    record(2, "up", "text", ["north", "up"], hint=LETTER, work="textbook question answering"),
    record(3, "14", "integer", unit="cm"),
    record(4, "1200", "integer", skills=("arithmetic reasoning", "numeric commonsense")),
    record(5, "1.2", "float", precision=1.0, hint=ONE_PLACE, work="geometry problem solving"),
    record(6, "[2014, 2016]", "list", hint=LIST, work="figure question answering", skills=("statistical reasoning",)),
    record(7, "0", "integer", work="visual question answering"),
    # Three published questions have an option twice.
    record(8, "5", "text", ["3", "5", "5"], hint=LETTER),
]
CHOICE, WORDS, INTEGERS, THOUSANDS, FLOAT, YEARS, ZERO, TWICE = range(len(RECORDS))
PROTOCOLS = ("paper", "official", "vlmevalkit", "lmms-eval")


def written(folder: Path, records: list[dict]) -> None:
    write_parquet(folder / "data/testmini-00000-of-00001.parquet", records)


def write(folder: Path) -> None:
    """Every type of answer; of the other split, whose answers are not public, a file that is not read."""
    written(folder, RECORDS)
    write_parquet(folder / "data/test-00000-of-00001.parquet", [RECORDS[0] | {"answer": ""}])


@pytest.fixture
def rows(tmp_path):
    write(tmp_path)
    return rows_of(task("mathvista", "paper"), tmp_path)


@pytest.mark.parametrize(
    ("place", "extraction", "right"),
    [
        (CHOICE, "(B)", True),  # T-MA-1
        (CHOICE, "b", False),  # T-MA-2: as far from every option, so the first
        (WORDS, "", True),  # T-MA-3: by accident
        (INTEGERS, "14.9", True),  # T-MA-4
        (THOUSANDS, "1,200", False),  # T-MA-5
        (FLOAT, "1.24", True),  # T-MA-6
        (YEARS, "[2014,2016]", False),  # T-MA-7
        (YEARS, "[2014, 2016]", True),
        (CHOICE, "B", True),
        (CHOICE, "It is (b)", True),
        (WORDS, "upp", True),
        (TWICE, "C", True),
        (INTEGERS, "inf", False),
        (FLOAT, "nan", False),
    ],
)
def test_the_published_code_normalises(rows, place, extraction, right):
    row = rows[place]
    assert (normalised(row, extraction) == row.answer) == right
    # A reply that is what a judge would give back.
    if " is " not in extraction:
        assert (read(task("mathvista", "official"), row, extraction) == row.answer) == right


def test_how_far_texts_are_from_each_other():
    assert edit_distance("", "up") == 2 and edit_distance("kitten", "sitting") == 3 and edit_distance("b", "b") == 0


@pytest.mark.parametrize(
    ("place", "reply", "paper", "official", "vlmevalkit", "lmms"),
    [
        (CHOICE, "B", "B", "B", "B", "B"),
        (CHOICE, "6", "B", "B", "B", "B"),
        (CHOICE, "There are 6 of them", "B", None, None, None),
        (CHOICE, "b", "B", "A", None, "A"),
        (CHOICE, "4 and 2 are 6.\nThe answer is (B).", "B", None, "B", None),
        (CHOICE, "so \\boxed{\\text{B}}", "B", None, "B", None),
        (CHOICE, "A or B", None, None, None, None),
        (CHOICE, "", None, "A", None, "A"),
        (TWICE, "C", "B", "B", "C", "B"),
        (TWICE, "5", "B", "B", None, "B"),
        (TWICE, "The answer is 5.", "B", None, None, None),
        (INTEGERS, "14", "14", "14", "14", "14"),
        (INTEGERS, "13", "13.0", "13", None, "13"),
        (INTEGERS, "14 cm", "14", None, None, None),
        (INTEGERS, "14.9", "14.9", "14", None, "14"),
        (INTEGERS, "7 and 7 are\n\\boxed{14}", "14", None, None, None),
        (INTEGERS, "fourteen", None, "None", None, "None"),
        (THOUSANDS, "1,200", "1200", "None", None, "None"),
        (THOUSANDS, "2,400/2", "1200", "None", None, "None"),
        (ZERO, "0", "0", "0", None, "0"),
        (FLOAT, "1.24", "1.2", "1.2", None, "None"),
        (FLOAT, "1.2", "1.2", "1.2", "1.2", "None"),
        (FLOAT, "\\frac{6}{5}", "1.2", "None", None, "None"),
        (YEARS, "[2014,2016]", "[2014, 2016]", "[2014,2016]", None, "[2014,2016]"),
        (YEARS, "2014 and 2016", None, None, None, None),
        (INTEGERS, "word " * 2000, None, None, None, None),
        (CHOICE, "x" * 10_000, None, "A", None, "A"),
        (INTEGERS, "9" * 10_000, "inf", "None", None, "None"),
    ],
)
def test_each_protocol_reads_by_its_own_rules(rows, place, reply, paper, official, vlmevalkit, lmms):
    expected = dict(zip(PROTOCOLS, (paper, official, vlmevalkit, lmms), strict=True))
    assert {name: read(task("mathvista", name), rows[place], reply) for name in expected} == expected


@pytest.mark.parametrize(
    ("place", "reply", "status"),
    [
        (CHOICE, "B", "direct"),
        (CHOICE, "The answer is B", "cue"),
        (CHOICE, "There are 6 of them", "text"),
        (CHOICE, "A or B", "ambiguous"),
        (INTEGERS, "14.", "direct"),
        (INTEGERS, "Answer: 14", "cue"),
        (INTEGERS, "There are 14", "text"),
        (INTEGERS, "many", "none"),
        (YEARS, "[2014, 2016]", "direct"),
        (YEARS, "From [2014, 2016]", "text"),
    ],
)
def test_how_an_answer_was_found(rows, place, reply, status):
    assert task("mathvista", "paper").parse(rows[place], Reply(reply, 1, "stop"), "paper").status == status


def test_an_answer_that_is_no_list_of_numbers_leaves_the_reply_unread(tmp_path):
    written(tmp_path, [RECORDS[YEARS] | {"answer": "[May, June]"}])
    (row,) = rows_of(task("mathvista", "paper"), tmp_path)
    assert read(task("mathvista", "paper"), row, "[5, 6]") is None
    assert read(task("mathvista", "official"), row, "[May, June]") == row.answer


def test_lmms_reads_floats_where_their_precision_is_an_integer(tmp_path):
    written(tmp_path, [RECORDS[FLOAT] | {"precision": 1}])
    (row,) = rows_of(task("mathvista", "lmms-eval"), tmp_path)
    assert read(task("mathvista", "lmms-eval"), row, "1.24") == "1.2"


def test_each_protocol_asks_in_its_own_words(rows):
    query = f"{LETTER}\nQuestion: How much is it?\nChoices:\n(A) 4\n(B) 6\n(C) 8"
    for protocol in PROTOCOLS[:3]:
        assert task("mathvista", protocol).request(rows[CHOICE], protocol).text == query
    assert task("mathvista", "paper").other_protocols == ["official", "vlmevalkit"]
    asked = [task("mathvista", "lmms-eval").request(row, "lmms-eval").text for row in rows]
    assert asked[CHOICE] == (
        "How much is it?\nA. 4\nB. 6\nC. 8\nAnswer with the option's letter from the given choices directly."
    )
    assert asked[INTEGERS] == "How much is it? (Unit: cm)\nAnswer the question using a single integer number."
    assert asked[FLOAT] == (
        "How much is it?\nAnswer the question using a single floating-point number with one decimal place."
    )
    assert asked[YEARS] == "How much is it?\nAnswer the question using a Python list."


def test_accuracy_as_if_unread_replies_were_wrong_and_right(rows):
    # Right, unread, wrong, right, right, unread, right, wrong.
    replies = ["B", "A or B", "13", "1200", "1.24", "2014 and 2016", "0", "A"]
    found = values(task("mathvista", "paper"), rows, replies)
    assert found["accuracy"] == pytest.approx(4 / 8) and found["accuracy_at_most"] == pytest.approx(6 / 8)
    assert found["unread"] == pytest.approx(2 / 8)
    assert found["accuracy/multi_choice"] == pytest.approx(1 / 3)
    assert found["accuracy/free_form"] == pytest.approx(3 / 5)
    assert found["accuracy/FQA"] == pytest.approx(1 / 2) and found["accuracy/MWP"] == pytest.approx(1 / 3)
    assert found["accuracy/arithmetic reasoning"] == pytest.approx(4 / 7)
    assert found["accuracy/numeric commonsense"] == 1 and "accuracy/scientific reasoning" not in found


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"answer": "7"}, "row 0: answer"),
        ({"choices": None}, "row 0: answer"),
        ({"answer_type": "word"}, "row 0: answer_type"),
        ({"answer_type": "integer", "answer": "six"}, "row 0: answer"),
        ({"answer_type": "float"}, "row 0: answer"),
        ({"answer_type": "float", "precision": float("nan")}, "row 0: answer"),
        ({"metadata": {"task": "math word problem", "language": "english"}}, "row 0: metadata.skills"),
        ({"decoded_image": b"no image"}, "row 0: image"),
    ],
)
def test_bad_data_ends_in_a_line_that_names_it(tmp_path, changed, field):
    written(tmp_path, [RECORDS[CHOICE] | changed])
    with pytest.raises(SgtError, match=rf"testmini-00000-of-00001.parquet: {field}"):
        rows_of(task("mathvista", "paper"), tmp_path)


def test_a_missing_column_is_named(tmp_path):
    written(tmp_path, [{name: value for name, value in RECORDS[CHOICE].items() if name != "query"}])
    with pytest.raises(SgtError, match="no column 'query'"):
        rows_of(task("mathvista", "paper"), tmp_path)
