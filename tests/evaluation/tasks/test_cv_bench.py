"""CV-Bench: the cases of its scorers that were worked out by hand, its metrics, and data that is not as it must be."""

from pathlib import Path

import pytest

from sgt.data import records
from sgt.errors import SgtError
from tests.evaluation.tasks.published import picture, read, rows_of, scored, task, values, write_parquet

PROTOCOLS = ("official", "paper", "lmms-eval", "vlmevalkit")
TASK_OF = {"ADE20K": "Count", "COCO": "Relation", "Omni3D": "Depth"}


def row(idx: int, source: str, choices: tuple[str, ...] = ("red", "right of the table"), answer: str = "(A)") -> dict:
    """As the hub has it. Every image is used for two rows; that of the 3D ones is not named."""
    lettered = "\n".join(f"({letter}) {choice}" for letter, choice in zip("ABCDEF", choices, strict=False))
    kind = "3D" if source == "Omni3D" else "2D"
    return {
        "idx": idx,
        "type": kind,
        "task": TASK_OF[source],
        "image": picture(idx),
        "question": "Where is the lamp?",
        "choices": list(choices),
        "answer": answer,
        "prompt": f"Where is the lamp? Select from the following choices.\n{lettered}",
        "filename": f"img/{kind}/{idx}.png",
        "source": source,
        "source_dataset": f"{source} Validation Set",
        "source_filename": None if kind == "3D" else f"{idx // 2:012d}.jpg",
        "target_class": None,
        "target_size": None,
        "bbox": None,
    }


def write_rows(folder: Path, rows: list[dict]) -> None:
    for kind in ("2D", "3D"):
        if of_kind := [each for each in rows if each["type"] == kind]:
            write_parquet(folder / f"test_{kind.lower()}.parquet", of_kind)


def write(folder: Path) -> None:
    """Four rows of ADE20K, two of COCO, three of Omni3D; one has six choices."""
    rows = [row(number, "ADE20K") for number in range(4)] + [row(number, "COCO") for number in (4, 5)]
    rows += [row(number, "Omni3D") for number in (6, 7)]
    write_rows(folder, [*rows, row(8, "Omni3D", ("3", "2", "5", "1", "0", "4"), "(F)")])


@pytest.fixture
def rows(tmp_path):
    write(tmp_path)
    return rows_of(task("cv-bench", "paper"), tmp_path)


def test_few_samples_are_of_every_task_of_a_source(tmp_path):
    tasks = ["Depth"] * 3 + ["Distance"] * 3
    write_rows(tmp_path, [row(number, "Omni3D") | {"task": name} for number, name in enumerate(tasks)])
    few = rows_of(task("cv-bench", "paper", samples=2), tmp_path)
    assert {each.dimensions["task"] for each in few} == {"Depth", "Distance"}


def test_the_first_samples_are_of_every_source(tmp_path):
    write(tmp_path)
    every = [row.id for row in rows_of(task("cv-bench", "paper"), tmp_path)]
    first = [row.id for row in rows_of(task("cv-bench", "paper", samples=5), tmp_path)]
    assert every == [*(f"2D-{n}" for n in range(6)), *(f"3D-{n}" for n in (6, 7, 8))]
    # Of four, two and three.
    assert first == ["2D-0", "2D-1", "2D-4", "3D-6", "3D-7"]


def test_few_samples_read_the_images_of_each_file_once(tmp_path, monkeypatch):
    write(tmp_path)
    columns, read = records._columns, []
    monkeypatch.setattr(
        records, "_columns", lambda path, names: read.append((path.name, names)) or columns(path, names)
    )
    rows_of(task("cv-bench", "paper", samples=5), tmp_path)
    assert [name for name, names in read if names == ["image"]] == ["test_2d.parquet", "test_3d.parquet"]


def test_half_is_2d_of_which_half_is_each_source(rows):
    # T-CV-1: of ADE20K 3 of 4 are right, of COCO 1 of 2, of Omni3D 2 of 3.
    replies = ["A", "A", "A", "B", "A", "B", "A", "A", "A"]
    for protocol in PROTOCOLS:
        found = values(task("cv-bench", protocol), rows, replies)
        assert found == pytest.approx(
            {
                "accuracy": 0.645833,
                "accuracy/plain": 0.666667,
                "accuracy/2d": 0.625,
                "accuracy/3d": 0.666667,
                "accuracy/ade20k": 0.75,
                "accuracy/coco": 0.5,
                "accuracy/count": 0.75,
                "accuracy/relation": 0.5,
                "accuracy/depth": 0.666667,
                "unread": 0,
            },
            abs=1e-6,
        )


def test_without_a_source_there_is_no_weighted_mean(tmp_path):
    write_rows(tmp_path, [row(0, "ADE20K"), row(1, "Omni3D")])
    rows = rows_of(task("cv-bench", "paper"), tmp_path)
    found = values(task("cv-bench", "paper"), rows, ["A", "B"])
    assert "accuracy" not in found and "accuracy/2d" not in found
    assert found["accuracy/plain"] == 0.5 and found["accuracy/ade20k"] == 1


# Replies to a question with six choices; of those that end up as None, the harness scores a letter that is no option.
@pytest.mark.parametrize(
    ("reply", "official", "paper", "lmms", "vlmevalkit"),
    [
        ("c", "C", "C", "C", None),  # T-CV-2
        ("The answer is (B).", "B", "B", None, "B"),  # T-CV-3: T
        ("The answer is: A", None, "A", None, "A"),
        ("(F)", "F", "F", "F", "F"),
        ("E.", "E", "E", "E", "E"),
        ("Answer: D", "D", "D", "A", "D"),
        ("below", "B", None, "B", None),
        ("right of the table", None, None, None, None),
        ("B because the red chair stands there today", "B", "B", "B", None),
        ("Z", None, None, None, None),
        ("", None, None, None, None),
        (" \n", None, None, None, None),
        ("no " * 3300, None, None, None, None),
    ],
)
def test_each_protocol_reads_by_its_own_rules(rows, reply, official, paper, lmms, vlmevalkit):
    assert read(task("cv-bench", "official"), rows[8], reply) == official
    assert read(task("cv-bench", "paper"), rows[8], reply) == paper
    assert read(task("cv-bench", "lmms-eval"), rows[8], reply) == lmms
    assert read(task("cv-bench", "vlmevalkit"), rows[8], reply) == vlmevalkit


@pytest.mark.parametrize(
    ("reply", "official", "lmms"),
    [
        ("B.", "direct", "direct"),
        ("The answer is B", "cue", "none"),
        ("B is red", "text", "text"),
        ("", "none", "none"),
    ],
)
def test_how_a_letter_was_found_is_said(rows, reply, official, lmms):
    for protocol, status in (("official", official), ("lmms-eval", lmms)):
        assert scored(task("cv-bench", protocol), rows[:1], [reply]).statuses == {status: 1}


def test_the_text_of_an_option_is_read_where_a_protocol_knows_the_options(rows):
    assert [read(task("cv-bench", protocol), rows[0], "right of the table") for protocol in PROTOCOLS] == [
        None,
        "B",
        None,
        "B",
    ]


def test_each_protocol_asks_in_its_own_words(rows):
    published = "Where is the lamp? Select from the following choices.\n(A) red\n(B) right of the table"
    directly = f"{published}\nAnswer with the option's letter from the given choices directly."
    note = "Note: You only need to respond with A, B without providing any additional information."
    prompts = {name: task("cv-bench", name).request(rows[0], name).content[-1] for name in PROTOCOLS}
    assert prompts == {
        "official": directly,
        "paper": directly,
        "lmms-eval": f"{note}\n\n{published}",
        "vlmevalkit": published,
    }
    assert "with A, B, C, D, E, F without" in task("cv-bench", "lmms-eval").request(rows[8], "lmms-eval").content[-1]
    assert task("cv-bench", "paper").other_protocols == ["official"]


def test_rows_made_of_one_image_are_a_group_but_do_not_share_theirs(rows):
    assert [each.groups["image"] for each in rows[:2]] == ["ADE20K Validation Set/000000000000.jpg"] * 2
    assert rows[0].images[0].getpixel((0, 0)) != rows[1].images[0].getpixel((0, 0))
    assert [each.groups["image"] for each in rows[6:8]] == [f"Omni3D Validation Set/img/3D/{i}.png" for i in (6, 7)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"answer": "(C)"}, "row 1: answer: Value error, '(C)' is the letter of none of the 2 choices"),
        ({"answer": "B"}, "row 1: answer: Value error, 'B' is the letter of none"),
        ({"source": "LVIS"}, "row 1: source: Input should be 'ADE20K', 'COCO' or 'Omni3D'"),
        ({"prompt": "Where is the lamp?"}, "row 1: prompt: Value error, it lacks choice (A) of 2"),
        ({"image": b"no image"}, "row 1: image: "),
        ({"idx": 0}, "several rows of type 2D have the idx 0"),
        ({"choices": None}, "row 1: choices: Input should be a valid list"),
    ],
)
def test_bad_rows_are_named(tmp_path, change, message):
    write_rows(tmp_path, [row(0, "ADE20K"), row(1, "COCO") | change])
    with pytest.raises(SgtError) as error:
        rows_of(task("cv-bench", "paper"), tmp_path)
    assert message in str(error.value) and str(tmp_path) in str(error.value)


@pytest.mark.parametrize("column", ["prompt", "choices", "source_filename", "image"])
def test_a_missing_column_is_named(tmp_path, column):
    write_rows(tmp_path, [{name: cell for name, cell in row(0, "COCO").items() if name != column}])
    with pytest.raises(SgtError, match=f"test_2d.parquet: no column '{column}'"):
        rows_of(task("cv-bench", "paper"), tmp_path)
