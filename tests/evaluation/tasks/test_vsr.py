"""VSR: the cases of its scorers that were worked out by hand, its three splits, and its metrics."""

import json
import zipfile
from pathlib import Path

import pytest

from sgt.errors import SgtError
from sgt.evaluation import parsing
from sgt.evaluation.tasks.vsr import PROTOCOLS, Caption, VsrRecord
from tests.evaluation.tasks.published import picture, read, rows_of, task, values

PROMPT = "The bench is left of the dog.\nIs this statement true according to the image? Answer yes or no."


def record(image: int, label: int = 1, source: str = "train2017", **more) -> dict:
    """A line of the random test set, with columns that are not needed."""
    return {
        "image": f"{image:012d}.jpg",
        "image_link": f"http://images.cocodataset.org/{source}/{image:012d}.jpg",
        "caption": "The bench is left of the dog.",
        "label": label,
        "relation": "left of",
        "annotator_id": 4,
        "vote_true_validator_id": "[2, 3]",
        "vote_false_validator_id": "[]",
        "reference_frame": None,
        **more,
    }


RECORDS = [record(1), record(2), record(3, 0), record(1, 0), record(2, 0), record(4, 1, "val2017")]


def write_lines(folder: Path, records: list[dict]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "test.jsonl").write_text("\n".join(map(json.dumps, records)))


def write(folder: Path, images: Path, records: list[dict] = RECORDS) -> None:
    """Five rows about three images of train2017 and one about one of val2017, in COCO's zips."""
    write_lines(folder, records)
    images.mkdir(parents=True, exist_ok=True)
    for source, numbers in {"train2017": (1, 2, 3), "val2017": (4,)}.items():
        with zipfile.ZipFile(images / f"{source}.zip", "w") as archive:
            for number in numbers:
                archive.writestr(f"{source}/{number:012d}.jpg", picture(number, "JPEG"))


@pytest.fixture
def folders(tmp_path):
    found = (tmp_path / "vsr-random", tmp_path / "coco-2017")
    write(*found)
    return found


def test_the_three_splits(folders):
    rows = rows_of(task("vsr", "paper"), *folders)
    # In the order of their images, each of which is decoded once.
    assert [row.id for row in rows] == ["random-0", "random-3", "random-1", "random-4", "random-2"]
    assert rows[0].images[0] is rows[1].images[0]
    assert [row.answer for row in rows] == ["yes", "no", "yes", "no", "no"]
    assert rows[0].dimensions == {"split": "random", "source": "train2017", "relation": "left of"}
    whole = rows_of(task("vsr-random", "paper"), *folders)
    assert [row.id for row in whole] == [*(row.id for row in rows), "random-5"]
    write_lines(folders[0], [record(1, subj="bench", obj="dog"), record(4, source="val2017", subj="bench", obj="dog")])
    assert [row.id for row in rows_of(task("vsr-zeroshot", "paper"), *folders)] == ["zeroshot-0", "zeroshot-1"]
    published = {name: task(name, "paper").options.published_rows for name in ("vsr", "vsr-random", "vsr-zeroshot")}
    assert published == {"vsr": 2113, "vsr-random": 2195, "vsr-zeroshot": 1222}


def test_metrics(folders):
    rows = rows_of(task("vsr", "paper"), *folders)
    replies = {"random-0": "yes", "random-1": "no", "random-2": "no", "random-3": "Yes.", "random-4": "No."}
    found = values(task("vsr", "paper"), rows, [replies[row.id] for row in rows])
    assert [found[name] for name in ("accuracy", "precision", "recall", "f1")] == pytest.approx([0.6, 0.5, 0.5, 0.5])
    assert found["yes_ratio"] == pytest.approx(0.4) and found["unread"] == 0
    assert "accuracy/val2017" not in found and found["accuracy/train2017"] == found["accuracy"]
    # A reply without an answer is wrong, and no yes.
    silent = values(task("vsr", "paper"), rows, [""] * 5)
    assert (silent["accuracy"], silent["recall"], silent["unread"]) == (0, 0, 1)
    assert "precision" not in silent


@pytest.mark.parametrize(
    ("reply", "paper", "pope", "vlmevalkit"),
    [
        ("Yes, it is not far", "yes", "no", "yes"),
        ("yes", "yes", "yes", "yes"),
        ("**No**", "no", "yes", None),
        ("It is left of it, so yes and no", None, "no", None),
        ("I cannot tell", None, "yes", None),
    ],
)
def test_protocols_with_one_prompt_read_by_their_own_rules(folders, reply, paper, pope, vlmevalkit):
    row = rows_of(task("vsr", "paper"), *folders)[0]
    for protocol, value in {"paper": paper, "pope": pope, "vlmevalkit": vlmevalkit}.items():
        assert PROTOCOLS[protocol].prompt(row) == PROMPT
        assert read(task("vsr", protocol), row, reply) == value
    assert task("vsr", "paper").other_protocols == ["pope", "vlmevalkit"]


def test_true_or_false(folders):
    benchmark = task("vsr-true-false", "true-false")
    row = rows_of(benchmark, *folders)[0]
    assert PROTOCOLS["true-false"].prompt(row) == (
        "The bench is left of the dog.\nIs this statement true or false according to the image? Answer true or false."
    )
    assert benchmark.other_protocols == []
    replies = {"True": "yes", "false.": "no", "The statement is not true.": "no", "It is untrue": "no", "Maybe": None}
    assert {reply: read(benchmark, row, reply) for reply in replies} == replies
    assert parsing.true_false("True and false").value == "yes"
    assert parsing.true_false("It is true or false").status == "ambiguous"


@pytest.mark.parametrize(
    ("name", "true", "false", "accuracy"), [("vsr-random", 1181, 1014, 0.5380), ("vsr-zeroshot", 629, 593, 0.5147)]
)
def test_always_yes(name, true, false, accuracy):
    benchmark = task(name, "paper")
    labels = [1] * true + [0] * false
    rows = [
        benchmark.row(Caption(line, "train2017", VsrRecord(**record(line, label))), [])
        for line, label in enumerate(labels)
    ]
    found = values(benchmark, rows, ["yes"] * len(rows))
    assert found["accuracy"] == pytest.approx(accuracy, abs=5e-5)
    assert (found["recall"], found["yes_ratio"]) == (1, 1)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"label": 2}, "test.jsonl: record 0: label"),
        ({"caption": None}, "test.jsonl: record 0: caption"),
        ({"image_link": "http://example.org/1.jpg"}, "test.jsonl: record 0: image_link"),
        ({"subj": "bench"}, "test.jsonl: record 0: subj"),
        ({"image": "000000000009.jpg"}, "test.jsonl: record 0: image: .*no image 'train2017/000000000009.jpg'"),
    ],
)
def test_bad_records_are_named(folders, bad, message):
    write_lines(folders[0], [{**record(1), **bad}])
    with pytest.raises(SgtError, match=message):
        rows_of(task("vsr", "paper"), *folders)


def test_an_image_that_does_not_decode_is_named(folders):
    with zipfile.ZipFile(folders[1] / "train2017.zip", "w") as archive:
        archive.writestr("train2017/000000000001.jpg", b"no image")
    with pytest.raises(SgtError, match=r"record 0: image: .*train2017.zip: train2017/000000000001.jpg: corrupt"):
        rows_of(task("vsr", "paper"), *folders)
