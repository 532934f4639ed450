"""RealWorldQA: how its rows are taken apart, the cases of its scorers that were worked out by hand, and its metrics."""

import json
from pathlib import Path

import pytest

from sgt.errors import SgtError
from sgt.evaluation.tasks import TASKS
from sgt.evaluation.tasks.realworldqa import PROTOCOLS
from tests.evaluation.tasks.published import picture, read, rows_of, scored, task, values, write_parquet

LETTER = "Please answer directly with only the letter of the correct option and nothing else."
WORD = "Please answer directly with a single word or number."
ROWS = [
    (f"Which lane is closed?\nA. Left\nB. Right\n{LETTER}", "B"),
    (f"How many cars are ahead of us?\n{WORD}", "2"),
    (f"Is the road ahead uphill or downhill?\n\n{WORD}", "Downhill"),
    # A question of two lines that begins like an option, and an option without a sign after its letter.
    (f"A dog crosses.\nWhere is it?\n\nA. On the left side\nB On the right side\nC. Nowhere\n\n{LETTER}", "C"),
    (f"Can we turn right here?\n{WORD}", "Yes"),
]


def write(folder: Path, rows: list[tuple[str, str]] = ROWS) -> None:
    """In two files, as the hub has them."""
    made = [
        {"image": picture(number), "question": question, "answer": answer}
        for number, (question, answer) in enumerate(rows)
    ]
    for part in range(0, len(made), 3):
        write_parquet(folder / f"data/test-{part // 3:05d}-of-00002.parquet", made[part : part + 3])


@pytest.fixture
def rows(tmp_path):
    write(tmp_path)
    return rows_of(task("realworldqa", "paper"), tmp_path)


def test_rows_are_taken_apart(rows):
    assert [row.id for row in rows] == ["0", "1", "2", "3", "4"]
    assert [row.kind for row in rows] == ["mcq", "number", "text", "mcq", "yesno"]
    assert [row.answer for row in rows] == ["B", "2", "downhill", "C", "yes"]
    assert rows[0].question == "Which lane is closed?" and rows[0].options == ["Left", "Right"]
    assert rows[1].question == "How many cars are ahead of us?" and rows[1].options is None
    assert rows[3].question == "A dog crosses.\nWhere is it?"
    assert rows[3].options == ["On the left side", "On the right side", "Nowhere"]


@pytest.mark.parametrize(
    "options",
    [
        "A. Left\nB. Right\nC. Both",
        "A) Left\nB: Right\n(C) Both",
        "A. Left B. Right\nC Both",
        "A. Left\nB.Right C, Both",
    ],
)
def test_options_that_are_written_in_another_way_are_found(tmp_path, options):
    write(tmp_path, [(f"Which lane is closed, A or B?\n{options}\n{LETTER}", "C")])
    (row,) = rows_of(task("realworldqa", "paper"), tmp_path)
    assert (row.question, row.options) == ("Which lane is closed, A or B?", ["Left", "Right", "Both"])


def test_prompts(rows):
    for name in ("paper", "cambrian", "lmms-eval"):
        asked = task("realworldqa", name)
        assert asked.request(rows[0], name).content == [rows[0].images[0], ROWS[0][0]]
        assert len(asked.other_protocols) == 2
    vlmevalkit = task("realworldqa", "vlmevalkit")
    assert vlmevalkit.request(rows[0], "vlmevalkit").text == (
        "Question: Which lane is closed?\nOptions:\nA. Left\nB. Right\n"
        "Please select the correct answer from the options above. \n"
    )
    assert vlmevalkit.request(rows[1], "vlmevalkit").text == "Question: How many cars are ahead of us?\n"
    assert {name: each.max_new_tokens for name, each in PROTOCOLS.items()} == {
        "paper": 100,
        "cambrian": 512,
        "lmms-eval": 16,
        "vlmevalkit": 100,
    }


@pytest.mark.parametrize(
    ("row", "reply", "paper", "cambrian", "lmms", "vlmevalkit"),
    [
        # The cases that were worked out by hand.
        (1, "two", "2", "two", "two", None),
        (0, "B. Right", "B", None, "B", "B"),
        (2, "downhill.", "downhill", "downhill", "downhill", None),
        (0, "The answer is B", "B", "B", "B", "B"),
        (0, "The answer is B since A is wrong", "B", "B", "A", "B"),
        (0, "Answer: B", "B", "B", "B", "B"),
        (0, "right", "B", None, None, "B"),
        (0, "C", None, None, "C", None),
        (0, "", None, None, None, None),
        (0, "word " * 2000, None, None, None, None),
        (1, "There are 2 cars.", "2", "there", "there are 2 cars", None),
        (1, "2 cars and 3 vans", None, "2", "2 cars and 3 vans", None),
        (1, "Of 3 cars, two are ahead. The answer is 2.", "2", "2", "of 3 cars, two are ahead. the answer is 2", None),
        (1, "none", None, "none", "none", None),
        (2, "The answer is: Downhill", "downhill", ":", "the answer is: downhill", None),
        (2, "**Downhill**", "downhill", "**downhill**", "**downhill**", None),
        (2, "", None, None, None, None),
        (4, "Yes, we can.", "yes", "yes,", "yes, we can", None),
    ],
)
def test_each_protocol_reads_by_its_own_rules(rows, row, reply, paper, cambrian, lmms, vlmevalkit):
    found = [read(task("realworldqa", name), rows[row], reply) for name in PROTOCOLS]
    assert found == [paper, cambrian, lmms, vlmevalkit]


def test_a_number_may_be_published_in_words(tmp_path):
    write(tmp_path, [(f"How many cars are ahead of us?\n{WORD}", "Two")])
    (row,) = rows_of(task("realworldqa", "paper"), tmp_path)
    assert [read(task("realworldqa", "paper"), row, reply) for reply in ("2", "Two.", "3")] == ["two", "two", "3"]
    assert [read(task("realworldqa", "lmms-eval"), row, reply) for reply in ("2", "Two.")] == ["2", "two"]


def test_accuracy_of_all_and_by_how_they_are_answered(rows):
    replies = ["B", "two", "uphill", "A", "I cannot see"]
    found = values(task("realworldqa", "paper"), rows, replies)
    assert found == pytest.approx(
        {"accuracy": 2 / 5, "accuracy/letter": 1 / 2, "accuracy/open": 1 / 3, "unread": 1 / 5}
    )
    assert values(task("realworldqa", "lmms-eval"), rows, replies)["accuracy"] == pytest.approx(1 / 5)


def test_rows_that_must_not_be_passed_on_are_not_in_a_score_file(rows):
    assert not TASKS["realworldqa"].redistributable
    result = scored(task("realworldqa", "paper"), rows, ["B"] * 5)
    written = json.dumps([result.items, result.metrics])
    assert not any(text in written for row in rows for text in (row.question, *(row.options or ())))


@pytest.mark.parametrize(
    ("question", "answer", "problem"),
    [
        (f"Which lane is closed?\nA. Left\nB. Right\n{LETTER}", "C", "row 1: answer: 'C' is none of 2 options"),
        (f"Which lane is closed?\n{LETTER}", "A", "row 1: answer: 'A' is none of 0 options"),
        ("Which lane is closed?", " ", "row 1: answer: '' is none of 0 options"),
        ("Which lane is closed?", None, "row 1: answer: "),
    ],
)
def test_bad_rows_are_named(tmp_path, question, answer, problem):
    write(tmp_path, [ROWS[0], (question, answer)])
    with pytest.raises(SgtError, match=f"test-00000-of-00002.parquet: {problem}"):
        rows_of(task("realworldqa", "paper"), tmp_path)


def test_an_image_that_does_not_decode_is_named(tmp_path):
    write_parquet(tmp_path / "test-0.parquet", [{"question": "Is it?", "answer": "Yes", "image": b"no image"}])
    with pytest.raises(SgtError, match=r"test-0.parquet: row 0: image"):
        rows_of(task("realworldqa", "paper"), tmp_path)


def test_a_missing_column_is_named(tmp_path):
    write_parquet(tmp_path / "test-0.parquet", [{"question": "Is it?", "image": picture(0)}])
    with pytest.raises(SgtError, match=r"test-0.parquet: no column 'answer'"):
        rows_of(task("realworldqa", "paper"), tmp_path)


def test_rows_that_are_there_under_two_names_are_refused(tmp_path):
    many = [{"question": "Is it?", "answer": "Yes", "image": picture(0)}] * 400
    for split in ("test", "test_0412"):
        write_parquet(tmp_path / f"data/{split}-00000-of-00001.parquet", many)
    with pytest.raises(SgtError, match="800 rows, 765 are published"):
        task("realworldqa", "paper").open([tmp_path])
