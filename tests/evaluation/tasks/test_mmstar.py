"""MMStar: options in the question's text, and accuracy both ways."""

from pathlib import Path

import pytest

from sgt.errors import SgtError
from sgt.evaluation.tasks.mmstar import SUB_CATEGORIES, without_options
from tests.evaluation.tasks.published import picture, read, rows_of, task, values, write_parquet

CUP = "What is the cup made of?\nOptions: A: glass, B: paper, C: metal, D: wood"
SNOWMEN = (
    "Hint: Please answer the question and provide the correct option letter, e.g., A, B, C, D, at the end.\n"
    "Question: How many snowmen are there?\nChoices:\n(A) 10\n(B) 15\n(C) 12\n(D) 20"
)
# The layouts, padding, and a text without options.
ODD = [CUP, SNOWMEN, "Is it day?\nOptions: A: Yes, B: No, C: nan, D: nan", "Which of them? A or B or C or D"]


def record(index: int, question: str = CUP, answer: str = "B", category: str = "math", part: int = 0) -> dict:
    return {
        "index": index,
        "question": question,
        "image": picture(index),
        "answer": answer,
        "category": category,
        "l2_category": SUB_CATEGORIES[category][part],
        "meta_info": {"source": "MMBench", "split": "val", "image_path": f"images/{index}.jpg"},
    }


def written(folder: Path, records: list[dict]) -> None:
    write_parquet(folder / "mmstar.parquet", records)


def write(folder: Path) -> None:
    """A question of every sub-category."""
    kinds = [(category, part) for category in SUB_CATEGORIES for part in range(3)]
    written(folder, [record(number, ODD[number % 4], "B", *kind) for number, kind in enumerate(kinds)])


@pytest.fixture
def rows(tmp_path):
    write(tmp_path)
    return rows_of(task("mmstar", "paper"), tmp_path)


@pytest.mark.parametrize(
    ("question", "stem", "options"),
    [
        (CUP, "What is the cup made of?", ["glass", "paper", "metal", "wood"]),
        (SNOWMEN, SNOWMEN.partition("\nChoices")[0], ["10", "15", "12", "20"]),
        ("What?\nOptions: A: A cat, lying., B: B, C: 3, 4, D: None", "What?", ["A cat, lying.", "B", "3, 4", "None"]),
        ("Is it day?\nOptions: A: Yes\nB: No", "Is it day?", ["Yes", "No"]),
        ("What?\nOptions: A: see (B), B: nothing", "What?", ["see (B)", "nothing"]),
        ("What? Choices: (A) one (B) two", "What?", ["one", "two"]),
        ("What?\nOptions: A: one", "What?\nOptions: A: one", []),
        ("What?\nOptions: one or two", "What?\nOptions: one or two", []),
        ("Which? A: one, B: two", "Which? A: one, B: two", []),
        ("", "", []),
    ],
)  # fmt: skip
def test_options_are_told_from_the_question(question, stem, options):
    assert without_options(question) == (stem, options)


def test_padding_is_no_option_unless_it_is_the_answer(tmp_path):
    written(tmp_path, [record(0, ODD[2], "B"), record(1, ODD[2], "C"), record(2, "A?\nOptions: A: 1, B: 2", "D")])
    padded, keyed, outside = rows_of(task("mmstar", "paper"), tmp_path)
    assert padded.options == ["Yes", "No"] and keyed.options == ["Yes", "No", "nan"]
    # Its options were not told apart rightly, so it is asked as it was published.
    assert outside.options is None and outside.question == "A?\nOptions: A: 1, B: 2"
    assert read(task("mmstar", "paper"), outside, "(D)") == "D"
    assert read(task("mmstar", "paper"), padded, "D") is None


def test_each_protocol_asks_in_its_own_words(rows):
    listed = (
        "Question: What is the cup made of?\nOptions:\nA. glass\nB. paper\nC. metal\nD. wood\n"
        "Please select the correct answer from the options above. \n"
    )
    published = f"{CUP}\nAnswer with the option's letter from the given choices directly"
    for protocol, text in {"official": listed, "paper": listed, "vlmevalkit": listed, "lmms-eval": published}.items():
        assert task("mmstar", protocol).request(rows[0], protocol).text == text
    assert task("mmstar", "paper").other_protocols == ["official", "vlmevalkit"]
    whole = "Question: Which of them? A or B or C or D\nPlease select the correct answer from the options above. \n"
    assert task("mmstar", "paper").request(rows[3], "paper").text == whole


@pytest.mark.parametrize(
    ("reply", "official", "lmms", "vlmevalkit", "ours"),
    [
        ("Answer: B", "A", "B", "B", "B"),  # T-MS-2
        ("b", "B", None, None, "B"),
        ("(B) paper", "B", "B", "B", "B"),
        ("Option B", "B", "B", "B", "B"),
        ("The answer is B", "B", "B", "B", "B"),
        ("The answer is (B)", None, "B", "B", "B"),
        ("**B**", None, "B", "B", "B"),
        ("paper", None, None, "B", "B"),
        ("E", None, None, None, None),
        ("", None, None, None, None),
        ("It is hard to say. " * 500, None, None, None, None),
    ],
)
def test_each_protocol_reads_by_its_own_rules(rows, reply, official, lmms, vlmevalkit, ours):
    expected = {"official": official, "lmms-eval": lmms, "vlmevalkit": vlmevalkit, "paper": ours}
    assert {name: read(task("mmstar", name), rows[0], reply) for name in expected} == expected


def test_sub_categories_weigh_by_size_or_alike(tmp_path):
    # T-MS-1: 9 of 10 right in one sub-category, 1 of 2 in another.
    written(tmp_path, [record(number, part=int(number >= 10)) for number in range(12)])
    rows = rows_of(task("mmstar", "paper"), tmp_path)
    found = values(task("mmstar", "paper"), rows, ["A" if number in (0, 11) else "B" for number in range(12)])
    assert found["accuracy"] == found["accuracy/math"] == pytest.approx(10 / 12)
    assert found["sub_category_mean"] == found["sub_category_mean/math"] == pytest.approx(0.7)
    assert found["unread"] == 0 and "accuracy/logical reasoning" not in found


def test_all_right_is_one_by_either_mean(rows):
    found = values(task("mmstar", "paper"), rows, ["B"] * len(rows))
    assert found.pop("unread") == 0 and len(found) == 14
    assert all(value == pytest.approx(1) for value in found.values())


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"answer": "E"}, "row 0: answer"),
        ({"category": "alchemy"}, "row 0: l2_category"),
        ({"l2_category": "recognition"}, "row 0: l2_category"),
        ({"meta_info": {"source": "MMBench"}}, "row 0: meta_info.image_path"),
        ({"image": b"no image"}, "row 0: image"),
    ],
)
def test_bad_data_ends_in_a_line_that_names_it(tmp_path, changed, field):
    written(tmp_path, [record(0) | changed])
    with pytest.raises(SgtError, match=f"mmstar.parquet: {field}"):
        rows_of(task("mmstar", "paper"), tmp_path)


def test_a_missing_column_is_named(tmp_path):
    without = record(0)
    del without["l2_category"]
    written(tmp_path, [without])
    with pytest.raises(SgtError, match=r"mmstar\.parquet: no column 'l2_category'"):
        rows_of(task("mmstar", "paper"), tmp_path)
