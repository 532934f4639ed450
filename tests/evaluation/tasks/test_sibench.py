"""SIBench: the cases of its scorers that were worked out by hand, what is shown of videos, and its metrics."""

import csv
from pathlib import Path

import pytest

from sgt.data.frames import evenly_spaced
from sgt.errors import SgtError
from sgt.evaluation import parsing
from sgt.evaluation.task import Row
from sgt.evaluation.tasks.sibench import SETTINGS, options_in
from tests.evaluation.tasks.published import picture, read, rows_of, scored, task, values

COLUMNS = ["index", "question", "answer", "type", "data_source", "input_type", "image_path", "video_path"]
CHOICE = "Which is higher?\nA. the apple\nB. the red chair"
CHOICE_ROW = ["0", CHOICE, "A", "MCQ", "BLINK", "image", "BLINK/0.jpg", ""]
# Two sources use one name for different images.
FILES = {"BLINK/0.jpg": 1, "SPAR-Bench/0.jpg": 2, "SPAR-Bench/1.jpg": 3}
VIEWS = "SPAR-Bench/0.jpg, SPAR-Bench/1.jpg"
CONTENT = {
    "Height": [
        CHOICE_ROW,
        ["1", "Is the apple higher?", "Yes", "YN", "SpatialBench", "image", "BLINK/0.jpg", ""],
        ["2", "How many chairs are there?", "2", "Number_Int", "BLINK", "image", "BLINK/0.jpg", ""],
    ],
    "multi-view_reasoning": [
        ["212", "How many metres apart?", "10", "Number", "SPAR-Bench", "multi-view", VIEWS, ""],
    ],
    "Camera_Pose": [
        ["7", "Where does it turn? (A) left (B) right", "B", "MCQ", "VSI-Bench", "video", "", "VSI-Bench/s/a.mp4"],
    ],
}
FRAMES = (
    "\nYou will receive 30 distinct frames that have been uniformly sampled from a video sequence, arranged in the "
    "same temporal order as they appear in the video.\nPlease analyze these frames and answer the question based on "
    "your observations.\n"
)


def write_setting(folder: Path, setting: str, rows: list[list[str]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / f"{setting}.tsv", "w", newline="") as file:
        csv.writer(file, delimiter="\t", lineterminator="\n").writerows([COLUMNS, *rows])


def write(folder: Path) -> None:
    """Every setting has a question, three of them those of ``CONTENT``; a video has 31 frames."""
    for name, number in FILES.items():
        path = folder / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture(number, "JPEG"))
    video = folder / "data_sampled_video/VSI-Bench/s/a"
    video.mkdir(parents=True)
    for number in range(31):
        (video / f"{number + 1}.png").write_bytes(picture(number))
    for setting in (*SETTINGS, "SIBench"):
        write_setting(folder / "data", setting, CONTENT.get(setting, [CHOICE_ROW]))
        write_setting(folder / "SIBench-mini", setting, [CHOICE_ROW])


@pytest.fixture
def folder(tmp_path):
    write(tmp_path)
    return tmp_path


@pytest.fixture
def rows(folder):
    return {row.id: row for row in rows_of(task("sibench", "paper"), folder)}


def test_rows(folder, rows):
    assert len(rows) == 20 + 3 + 1 + 1
    assert len(rows_of(task("sibench-image", "paper"), folder)) == 20 + 3
    assert len(rows_of(task("sibench", "paper", part="mini"), folder)) == 23
    choice, views, video = rows["Height-0"], rows["multi-view_reasoning-212"], rows["Camera_Pose-7"]
    assert choice.options == ["the apple", "the red chair"] and choice.images[0] is rows["Height-1"].images[0]
    assert choice.dimensions == {"setting": "Height", "source": "BLINK", "input": "image"}
    assert rows["Height-1"].answer == "yes" and choice.groups == {"image": "BLINK/0.jpg"}
    assert len(views.images) == 2 and views.groups == {"image": "SPAR-Bench/0.jpg,SPAR-Bench/1.jpg"}
    assert video.options == ["left", "right"]
    # Of 31 frames, the first is the second one's: floor(31 / 31).
    assert [image.getpixel((0, 0)) for image in video.images[::29]] == [(37, 91, 13), (30 * 37 % 256, 170, 134)]


def test_prompts(rows):
    benchmark = task("sibench", "official")
    texts = {name: benchmark.request(row, "official").content for name, row in rows.items()}
    assert texts["Height-0"][1] == f"{CHOICE}\nSelect from the given options, answer with letters only."
    # Not of a source whose questions say how to answer.
    assert texts["Height-1"][1] == "Is the apple higher?"
    assert texts["Height-2"][1] == "How many chairs are there?\nAnswer using a single number and nothing else."
    assert texts["multi-view_reasoning-212"][2] == "How many metres apart?"
    first, *images = texts["Camera_Pose-7"]
    after = "\nSelect from the given options, answer with letters only."
    assert first == f"{FRAMES}Where does it turn? (A) left (B) right{after}" and len(images) == 30
    assert benchmark.other_protocols == ["paper", "own"]


def test_frames_as_the_published_code_takes_them():
    assert evenly_spaced([str(number) for number in range(30)], 30) == [str(number) for number in range(30)]
    assert evenly_spaced([str(number) for number in range(62)], 30) == [str(2 * number) for number in range(1, 31)]
    assert evenly_spaced(["a"], 3) == ["a"] * 3


@pytest.mark.parametrize(
    ("reply", "official", "paper", "own"),
    [
        ("A", "A", "A", "A"),
        ("A. the apple", "A", "A", "A"),
        ("(B)", "B", "B", "B"),
        ("A apple", None, None, "A"),
        (" (A)", None, None, "A"),
        ("B) left", None, None, "B"),
        # Its judge would be asked.
        ("The answer is B.", None, "B", "B"),
        ("a", None, "A", "A"),
        ("", None, None, None),
    ],
)
def test_letters(rows, reply, official, paper, own):
    for protocol, value in {"official": official, "paper": paper, "own": own}.items():
        assert read(task("sibench", protocol), rows["Height-0"], reply) == value


@pytest.mark.parametrize(
    ("reply", "official", "own"),
    [
        ("Yes.", "yes", "yes"),
        ("no, it is not", "no", "no"),
        ("**Yes**", None, "yes"),
        ("It is, yes", None, "yes"),
        ("Nothing", None, None),
        ("", None, None),
    ],
)
def test_yes_and_no(rows, reply, official, own):
    for protocol, value in {"official": official, "paper": official, "own": own}.items():
        assert read(task("sibench", protocol), rows["Height-1"], reply) == value


def test_other_answers_of_yes_or_no_are_compared_whole(folder):
    write_setting(folder / "data", "Height", [["0", "Is it?", "True", "YN", "BLINK", "image", "BLINK/0.jpg", ""]])
    row = next(row for row in rows_of(task("sibench", "paper"), folder) if row.id == "Height-0")
    for protocol in ("official", "own"):
        assert score_of(row, "true", protocol) == 1 and score_of(row, "true.", protocol) == 0


def number_row(answer: str, counts: bool = False) -> Row:
    dimensions = {"setting": "Height", "source": "BLINK", "input": "image"}
    extra = {"counts": counts, "number": float(answer)}
    return Row("0", "How many?", "number", (), None, answer, dimensions, {"image": "a"}, extra)


def score_of(row: Row, reply: str, protocol: str) -> float:
    return scored(task("sibench", protocol), [row], [reply]).items["score"][0]


@pytest.mark.parametrize(
    ("answer", "counts", "reply", "official", "own"),
    [
        ("10", False, "9", 0.8, 0.8),
        ("10", False, "13", 0.4, 0.4),
        ("10", False, "about 9 m", 0.0, 0.8),
        ("10", False, "18/2", 0.8, 0.0),
        ("10", False, "20,5", 0.0, 0.0),
        ("10", False, "1/0", 0.0, 0.0),
        ("10", False, "__import__('os').getcwd()", 0.0, 0.0),
        ("-1", True, "I do not know", 1.0, 0.0),
        ("2", True, "2.0", 1.0, 1.0),
        ("2", True, "There are 2.", 0.0, 1.0),
        ("-2", False, "7", 1.0, 0.0),
        ("-2", False, "-2", 1.0, 1.0),
        ("0", False, "5", 0.0, 0.0),
        ("0", False, "0", 0.0, 1.0),
        ("10", False, "9" * 10_000, 0.0, 0.0),
    ],
)
def test_numbers(answer, counts, reply, official, own):
    row = number_row(answer, counts)
    for protocol, value in {"official": official, "paper": official, "own": own}.items():
        assert score_of(row, reply, protocol) == pytest.approx(value), protocol


def test_no_number_is_counted_as_unread_although_it_has_a_value():
    found = scored(task("sibench", "official"), [number_row("-1", counts=True)], ["I do not know"])
    assert found.items["unread"] == [1] and found.statuses == {"none": 1}


@pytest.mark.parametrize(
    ("reply", "value", "status"),
    [
        ("2.4", 2.4, "direct"),
        ("1,200.", 1200.0, "direct"),
        ("The answer is 3 m, not 4.", 3.0, "cue"),
        ("2 or 3", None, "ambiguous"),
        ("2-3", None, "ambiguous"),
        ("minus", None, "none"),
        ("-.5 m", -0.5, "text"),
    ],
)
def test_our_own_numbers(reply, value, status):
    parsed = parsing.number(reply)
    assert (parsed.value, parsed.status) == (value, status)


def test_means_over_questions_and_settings(folder):
    benchmark = task("sibench", "official")
    all_rows = rows_of(benchmark, folder)
    # Of Height's three questions one is right; the number has an MRA of 0.8; all else is wrong.
    replies = {"Height-1": "Yes", "multi-view_reasoning-212": "9"}
    found = values(benchmark, all_rows, [replies.get(row.id, "C") for row in all_rows])
    assert found["score"] == pytest.approx(1.8 / 25) and found["score/macro"] == pytest.approx((1 / 3 + 0.8) / 23)
    assert found["score/Height"] == pytest.approx(1 / 3) and found["score/multi-view_reasoning"] == pytest.approx(0.8)
    assert found["score/image"] == pytest.approx(1 / 23) and found["score/video"] == 0
    assert found["unread"] == pytest.approx(1 / 25)


def test_options_in_a_question():
    assert options_in("Point A: high. Which? Options: A: one, B: two, C: three") == ["one", "two", "three"]
    assert options_in("Which?\n(A) one\n(B) two\n") == ["one", "two"]
    assert options_in("Which of A and B?") is None and options_in("A. one") is None


@pytest.mark.parametrize(
    ("column", "cell", "message"),
    [
        ("type", "Text", "Height.tsv: row 0: type"),
        ("answer", "", "Height.tsv: row 0: answer"),
        ("answer", "C", "Height.tsv: row 0: answer: 'C' is none of A, B"),
        ("image_path", "", "Height.tsv: row 0: image_path: missing"),
        # There is a file of this name, of another source.
        ("image_path", "BLINK/1.jpg", "Height.tsv: row 0: image_path: .*no image 'BLINK/1.jpg'"),
        ("image_path", "../secret.jpg", "Height.tsv: row 0: image_path: .*no image"),
    ],
)
def test_bad_cells_are_named(folder, column, cell, message):
    row = dict(zip(COLUMNS, CHOICE_ROW, strict=True)) | {column: cell}
    write_setting(folder / "data", "Height", [list(row.values())])
    (folder / "secret.jpg").write_bytes(picture(0))
    with pytest.raises(SgtError, match=message):
        rows_of(task("sibench", "paper"), folder)


def test_what_is_missing_is_named(folder):
    (folder / "data/BLINK/0.jpg").write_bytes(b"no image")
    with pytest.raises(SgtError, match=r"relative_distance.tsv: row 0: image_path: .*BLINK/0.jpg: corrupt"):
        rows_of(task("sibench", "paper"), folder)
    (folder / "data_sampled_video/VSI-Bench/s/a").rename(folder / "data_sampled_video/VSI-Bench/s/b")
    with pytest.raises(SgtError, match=r"Camera_Pose.tsv: row 0: video_path: no frames of 'VSI-Bench/s/a.mp4' in"):
        task("sibench", "paper").open([folder])
    (folder / "data/Height.tsv").unlink()
    with pytest.raises(SgtError, match=r"Height.tsv: not there"):
        task("sibench", "paper").open([folder])


def test_answers_that_are_no_numbers_are_named(folder):
    write_setting(folder / "data", "Height", [["0", "?", "three", "Number", "BLINK", "image", "BLINK/0.jpg", ""]])
    with pytest.raises(SgtError, match=r"Height.tsv: row 0: answer: 'three' is no number"):
        task("sibench", "paper").open([folder])
