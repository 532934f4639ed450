"""POPE: the cases of its scorers that were worked out by hand, and its metrics."""

from pathlib import Path

import pytest

from sgt.errors import SgtError
from tests.evaluation.tasks.published import picture, read, rows_of, task, values, write_parquet

SPLITS = ("random", "popular", "adversarial")


def write(folder: Path, images: int = 1) -> None:
    """Per image and split, two questions about things that are there and two about others."""
    for split in SPLITS:
        rows = [
            {
                "id": str(number),
                "question_id": str(4 * image + number),
                "question": f"Is there a {'cat' if number % 2 == 0 else split} in the image?",
                "answer": "yes" if number % 2 == 0 else "no",
                "image_source": f"COCO_val2014_{image:012d}",
                "category": split,
                "image": picture(image),
            }
            for image in range(images)
            for number in range(4)
        ]
        write_parquet(folder / f"Full/{split}-00000-of-00001.parquet", rows)


@pytest.fixture
def rows(tmp_path):
    write(tmp_path)
    return rows_of(task("pope", "paper"), tmp_path)


def test_f1_is_the_mean_over_splits_and_pooled(rows):
    # The answers to questions about things that are there are right; one, none or both of the others are wrong.
    wrong = {"random": 0, "popular": 1, "adversarial": 2}
    replies = [
        "yes" if row.answer == "yes" or int(row.id[-1]) // 2 < wrong[row.dimensions["split"]] else "no" for row in rows
    ]
    found = values(task("pope", "paper"), rows, replies)
    assert [found[f"f1/{split}"] for split in SPLITS] == pytest.approx([1.0, 0.8, 2 / 3])
    assert [found[f"accuracy/{split}"] for split in SPLITS] == pytest.approx([1.0, 0.75, 0.5])
    assert found["f1"] == pytest.approx(0.8222, abs=5e-5) and found["f1/pooled"] == pytest.approx(0.8)
    assert found["accuracy"] == pytest.approx(0.75) and found["yes_ratio"] == pytest.approx(0.75)


@pytest.mark.parametrize(
    ("reply", "official", "vlmevalkit", "lmms"),
    [
        ("Yes, there is no doubt.", "no", None, None),
        ("Nope", "yes", None, None),
        ("yes.", "yes", "yes", None),
        ("**Yes**", "yes", None, None),
        ("Answer:no", "yes", None, None),
        ("Yes, it is not far", "no", "yes", None),
        ("No", "no", "no", "no"),
        ("", "yes", None, None),
    ],
)
def test_each_protocol_reads_by_its_own_rules(rows, reply, official, vlmevalkit, lmms):
    assert read(task("pope", "paper"), rows[0], reply) == official
    assert read(task("pope", "official"), rows[0], reply) == official
    assert read(task("pope", "vlmevalkit"), rows[0], reply) == vlmevalkit
    assert read(task("pope", "lmms-eval"), rows[0], reply) == lmms


def test_f1_of_lmms_eval_is_without_replies_that_are_neither(rows):
    # Of each split, whose answers are yes, no, yes, no: one is right, one is neither, one is wrong, one is right.
    replies = [("yes", "I see none.", "no", "no")[int(row.id[-1]) % 4] for row in rows]
    lmms, ours = (values(task("pope", protocol), rows, replies) for protocol in ("lmms-eval", "paper"))
    assert lmms["accuracy"] == pytest.approx(0.5) and lmms["unread"] == pytest.approx(0.25)
    # Precision 1 of 1, recall 1 of 2; POPE's own rule reads the second as yes.
    assert lmms["f1"] == pytest.approx(2 / 3) and ours["f1"] == pytest.approx(1 / 2)
    assert values(task("pope", "lmms-eval"), rows, ["I see none."] * 12)["f1"] == 0


def test_to_vlmevalkit_a_reply_that_is_neither_is_no_yes(rows):
    replies = [("yes", "I see none.", "no", "no")[int(row.id[-1]) % 4] for row in rows]
    found = values(task("pope", "vlmevalkit"), rows, replies)
    # Precision 1 of 1, recall 1 of 2; wrong all the same.
    assert found["f1"] == pytest.approx(2 / 3) and found["accuracy"] == pytest.approx(1 / 2)


def test_questions_about_one_image_share_it(rows):
    assert len(rows) == 12 and len({id(row.images[0]) for row in rows}) == 1
    assert {row.groups["image"] for row in rows} == {"COCO_val2014_000000000000"}


def test_a_folder_without_its_files_is_an_error_and_not_an_empty_benchmark(tmp_path):
    with pytest.raises(SgtError, match=r"PopeRecord: parquet: no file of these records was fetched"):
        task("pope", "paper").open([tmp_path])
