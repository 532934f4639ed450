"""MMVP: the cases of its scorers that were worked out by hand, both versions of its labels, and bad data."""

import csv
from pathlib import Path

import pytest

from sgt.errors import SgtError
from tests.evaluation.tasks.published import picture, read, rows_of, task, values

HEADER = ("Index", "Question", "Options", "Correct Answer")
PROTOCOLS = ("official", "paper", "cambrian", "lmms-eval", "vlmevalkit")


def write_rows(folder: Path, rows: list[tuple], header: tuple[str, ...] = HEADER) -> None:
    """As published: a table, and a folder with a blank in its name."""
    (folder / "MMVP Images").mkdir(parents=True, exist_ok=True)
    with open(folder / "Questions.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    for number, *_ in rows:
        (folder / f"MMVP Images/{number}.jpg").write_bytes(picture(int(number), "JPEG"))


def write(folder: Path, pairs: tuple[int, ...] = (1, 2, 50), header: tuple[str, ...] = HEADER) -> None:
    """Pairs with the labels as published: the first is (a), the second is (b). Some options end in a blank."""
    questions = {pair: f'Can you see the key "{pair}", or not?' for pair in pairs}
    options = {pair: "(a) Black (b) White " if pair % 2 else "(a) Open (b) Closed" for pair in pairs}
    rows = [
        (2 * pair - first, questions[pair], options[pair], "(a)" if first else "(b)")
        for pair in pairs
        for first in (1, 0)
    ]
    write_rows(folder, rows, header)


@pytest.fixture
def rows(tmp_path):
    write(tmp_path)
    return rows_of(task("mmvp", "paper"), tmp_path)


def test_a_pair_is_right_if_both_questions_are(rows):
    # T-MV-1: (1, 1), (1, 0), (0, 1). The labels of the third pair are swapped.
    replies = ["A", "B", "A", "A", "B", "B"]
    for protocol in ("paper", "cambrian", "lmms-eval", "vlmevalkit"):
        found = values(task("mmvp", protocol), rows, replies)
        assert found == pytest.approx(
            {"accuracy": 4 / 6, "pairs": 1 / 3, "accuracy/corrected": 4 / 6, "pairs/corrected": 1 / 3, "unread": 0}
        )


def test_two_pairs_have_their_labels_swapped(tmp_path):
    write(tmp_path, (49, 50, 140))
    rows = rows_of(task("mmvp", "paper"), tmp_path)
    assert [row.id for row in rows] == ["97", "98", "99", "100", "279", "280"]
    assert [row.answer for row in rows] == ["A", "B"] * 3
    found = values(task("mmvp", "paper"), rows, ["A", "B", "B", "A", "B", "A"])
    assert (found["accuracy"], found["pairs"]) == pytest.approx((2 / 6, 1 / 3))
    assert (found["accuracy/corrected"], found["pairs/corrected"]) == (1, 1)


def test_a_corrected_copy_has_the_same_scores(tmp_path):
    questions = [(99, "Long or short tusks?", "(a) Long (b) Short", label) for label in ("(a)", "(b)")]
    for name, (first, second) in {"original": questions, "corrected": reversed(questions)}.items():
        write_rows(tmp_path / name, [first, (100, *second[1:])])
    original, corrected = (rows_of(task("mmvp", "paper"), tmp_path / name) for name in ("original", "corrected"))
    assert [row.record() for row in original] == [row.record() for row in corrected]


def test_a_constant_answer_gets_half_of_the_questions_and_no_pair(tmp_path):
    write(tmp_path, tuple(range(1, 151)))
    rows = rows_of(task("mmvp", "paper"), tmp_path)
    found = values(task("mmvp", "paper"), rows, ["A"] * len(rows))
    assert len(rows) == 300
    assert found == {"accuracy": 0.5, "pairs": 0, "accuracy/corrected": 0.5, "pairs/corrected": 0, "unread": 0}


# Replies to the options Black and White.
@pytest.mark.parametrize(
    ("reply", "paper", "cambrian", "lmms", "vlmevalkit"),
    [
        ("Black", "B", "A", "B", "A"),  # T-MV-2
        ("(A)", None, "A", "A", "A"),  # T-MV-3
        ("The dog is on a mat, so B", None, None, "A", "B"),  # T-MV-4
        ("Banana", "B", None, "A", None),
        ("a", None, "A", "A", None),
        ("B.", "B", "B", "B", "B"),
        ("The answer is (B).", None, "B", "B", "B"),
        ("The answer is: B", None, None, "B", "B"),
        ("It is White", "B", None, None, "B"),
        ("it is white", None, None, None, "B"),
        ("Option B, I think", None, None, "B", "B"),
        ("White or Black", "A", None, None, None),
        ("", None, None, None, None),
        ("no " * 3300, None, None, None, None),
    ],
)
def test_each_protocol_reads_by_its_own_rules(rows, reply, paper, cambrian, lmms, vlmevalkit):
    assert read(task("mmvp", "paper"), rows[0], reply) == paper
    assert read(task("mmvp", "cambrian"), rows[0], reply) == cambrian
    assert read(task("mmvp", "lmms-eval"), rows[0], reply) == lmms
    assert read(task("mmvp", "vlmevalkit"), rows[0], reply) == vlmevalkit
    # A judge would have to.
    assert read(task("mmvp", "official"), rows[0], reply) is None


def test_each_protocol_asks_in_its_own_words(rows):
    question = 'Can you see the key "1", or not?'
    instruction = "Answer with the option's letter from the given choices directly."
    prompts = {name: task("mmvp", name).request(rows[0], name).content[-1] for name in PROTOCOLS}
    assert prompts == {
        "official": f"{question} (a) Black (b) White ",
        "paper": f"{question}\nA. Black\nB. White\n{instruction}",
        "cambrian": f"{question} Options:\nA. Black\nB. White\n{instruction}",
        "lmms-eval": f"{question}\nA. Black\nB. White\n{instruction}",
        "vlmevalkit": f"Question: {question}\nOptions:\nA. Black\nB. White\n"
        "Please select the correct answer from the options above. \n",
    }
    assert task("mmvp", "paper").other_protocols == ["lmms-eval"]


def test_each_question_has_its_own_image(tmp_path):
    write(tmp_path, (2,), ("lndex", *HEADER[1:]))
    first, second = rows_of(task("mmvp", "paper"), tmp_path)
    assert first.images[0].getpixel((0, 0)) != second.images[0].getpixel((0, 0))
    assert first.groups == second.groups == {"pair": "2"}


@pytest.mark.parametrize(
    ("second", "message"),
    [
        ((2, "Open?", "(a) Open (b) Closed", "(c)"), "Questions.csv: row 1: Correct Answer: Input should be"),
        ((2, "Open?", "(a) Open", "(b)"), "Questions.csv: row 1: Options: Value error, '(a) Open' is not (a) … (b) …"),
        ((2, "Open?", "", "(b)"), "Questions.csv: row 1: Options: Field required"),
        ((2, "Shut?", "(a) Open (b) Closed", "(b)"), "pair 1: its questions differ, or their answers do not"),
        ((2, "Open?", "(a) Open (b) Closed", "(a)"), "pair 1: its questions differ, or their answers do not"),
        ((4, "Open?", "(a) Open (b) Closed", "(b)"), "pair 1: it has the questions [1], not 1 and 2"),
        ((1, "Open?", "(a) Open (b) Closed", "(b)"), "pair 1: it has the questions [1, 1], not 1 and 2"),
    ],
)
def test_bad_rows_are_named(tmp_path, second, message):
    write_rows(tmp_path, [(1, "Open?", "(a) Open (b) Closed", "(a)"), second])
    with pytest.raises(SgtError) as error:
        rows_of(task("mmvp", "paper"), tmp_path)
    assert message in str(error.value) and str(tmp_path) in str(error.value)


@pytest.mark.parametrize(("header", "message"), [("Answer", "no column 'Correct Answer'"), ("Number", "row 0: Index")])
def test_a_missing_column_is_named(tmp_path, header, message):
    names = (*HEADER[:3], header) if header == "Answer" else (header, *HEADER[1:])
    write(tmp_path, (1,), names)
    with pytest.raises(SgtError, match=f"Questions.csv: {message}"):
        rows_of(task("mmvp", "paper"), tmp_path)


def test_an_image_that_is_not_there_or_not_one_is_named(tmp_path):
    write(tmp_path, (1,))
    (tmp_path / "MMVP Images/2.jpg").write_bytes(b"no image")
    with pytest.raises(SgtError, match=r"2\.jpg"):
        rows_of(task("mmvp", "paper"), tmp_path)
    (tmp_path / "MMVP Images/2.jpg").unlink()
    with pytest.raises(SgtError, match=r"no image .MMVP Images/2\.jpg"):
        rows_of(task("mmvp", "paper"), tmp_path)
