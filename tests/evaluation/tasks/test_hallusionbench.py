"""HallusionBench: hand-worked cases of its groups, its constant answers at the real counts, and its protocols."""

from itertools import product
from pathlib import Path

import pytest

from sgt.errors import SgtError
from tests.evaluation.tasks.published import picture, read, rows_of, scored, task, values, write_parquet

# Figures of VD illusion 0 with their answers, and VS chart 0 without and with a figure.
CASE = {
    ("VD", "illusion", "0", "0", "0"): "1",
    ("VD", "illusion", "0", "0", "1"): "0",
    ("VD", "illusion", "0", "1", "0"): "0",
    ("VD", "illusion", "0", "1", "1"): "1",
    ("VS", "chart", "0", "0", "0"): "1",
    ("VS", "chart", "0", "1", "0"): "0",
}


def record(category: str, subcategory: str, set_id: str, figure: str, question: str, answer: str) -> dict:
    """A row as published. Only those of VS have a figure 0 that is none."""
    shown = category == "VD" or figure != "0"
    place = f"{category}/{subcategory}/{set_id}_{figure}.png"
    return {
        "category": category,
        "subcategory": subcategory,
        "visual_input": ("1" if figure in "01" else "2") if shown else "0",
        "set_id": set_id,
        "figure_id": figure,
        "sample_note": "made up",
        "question_id": question,
        "question": f"Is line {question} of set {set_id} longer than the other?",
        "gt_answer_details": "It is." if answer == "1" else "It is not.",
        "gt_answer": answer,
        "filename": f"./{place}" if shown else None,
    }


def write(folder: Path, **changed: object) -> None:
    """The hand-worked case, of whose first row some cells may be changed."""
    rows = [record(*key, answer) for key, answer in CASE.items()]
    shown = [{**row, "image": picture(int(row["figure_id"]))} for row in rows if row["filename"]]
    shown[0] |= changed
    write_parquet(folder / "data/image-00000-of-00001.parquet", shown)
    write_parquet(folder / "data/non_image-00000-of-00001.parquet", [row for row in rows if not row["filename"]])


@pytest.fixture
def rows(tmp_path):
    """Those with an image, then the one without."""
    write(tmp_path)
    return rows_of(task("hallusionbench", "official", without_image=True), tmp_path)


def replies(rows, wrong: str, without_image: str) -> list[str]:
    """The right answers, but to one question, and the reply to the question without an image."""
    said = []
    for row in rows:
        other = "no" if row.answer == "yes" else "yes"
        of_image = other if row.id == wrong else row.answer
        said.append(of_image if row.images else without_image)
    return said


@pytest.mark.parametrize("protocol", ["official", "paper", "lmms-eval", "vlmevalkit", "vlmevalkit-instructed"])
def test_the_three_accuracies_of_questions_with_an_image(tmp_path, protocol):
    write(tmp_path)
    asked = task("hallusionbench", protocol)
    rows = rows_of(asked, tmp_path)
    found = values(asked, rows, replies(rows, "VD_illusion_0_1_0", ""))
    assert len(rows) == 5
    assert [found[name] for name in ("aacc", "facc", "qacc", "mean")] == pytest.approx([4 / 5, 2 / 3, 2 / 3, 0.7111111])
    assert found["aacc/VD"] == 3 / 4 and found["facc/VD"] == found["qacc/VD"] == 1 / 2 and found["aacc/VS-chart"] == 1
    assert "aacc/all" not in found and "aacc/VD-ocr" not in found


@pytest.mark.parametrize(
    ("reply", "aacc", "qacc"), [("I cannot tell without the chart.", 5 / 6, 2 / 3), ("No", 4 / 6, 1 / 3)]
)
def test_not_to_know_is_officially_right_without_an_image(rows, reply, aacc, qacc):
    found = values(task("hallusionbench", "official"), rows, replies(rows, "VD_illusion_0_1_0", reply))
    assert found["aacc/all"] == pytest.approx(aacc) and found["qacc/all"] == pytest.approx(qacc)
    assert found["facc"] == pytest.approx(2 / 3) and found["aacc"] == pytest.approx(4 / 5)
    assert found["unread"] == pytest.approx(1 / 6 if "cannot" in reply else 0)


def test_not_to_know_is_wrong_elsewhere(rows):
    unknown = ["I cannot tell." for row in rows]
    assert values(task("hallusionbench", "official"), rows, unknown)["aacc/all"] == pytest.approx(1 / 6)
    assert values(task("hallusionbench", "vlmevalkit"), rows, unknown)["aacc/all"] == 0


# Sets that together have the counts of the published ones: how many there are, and a word per question with its answer
# for each figure.
SETS = [
    (4, "y n"),
    (17, "y"),
    (8, "yn yn"),
    (34, "yn nn"),
    (53, "yn ny nn"),
    (23, "yn ny yn"),
    (13, "yn ny yn ny"),
    (12, "yyn nyy yny"),
    (6, "ynn nyn nny"),
    (1, "yyn nny ynn nyn"),
    (2, "ynn nyn nny ynn"),
]
KINDS = [("VD", each) for each in ("illusion", "figure", "ocr", "math", "video")] + [
    ("VS", each) for each in ("chart", "table", "map", "ocr")
]


def as_many_as_published() -> list[dict]:
    """Rows of 951 questions in 455 groups about 346 figures, with set ids that are used again in every subcategory."""
    patterns = [pattern.split() for count, pattern in SETS for _ in range(count)]
    return [
        record(*KINDS[number % 9], str(number // 9), str(figure + 1), str(question), {"y": "1", "n": "0"}[answer])
        for number, pattern in enumerate(patterns)
        for question, answers in enumerate(pattern)
        for figure, answer in enumerate(answers)
    ]


@pytest.mark.parametrize(
    ("reply", "right", "percent"),
    [("No", (550, 42, 91), (57.83, 12.14, 20.0)), ("Yes", (401, 25, 21), (42.17, 7.23, 4.62))],
)
def test_constant_answers_at_the_published_counts(tmp_path, reply, right, percent):
    made = [{**row, "image": picture(0)} for row in as_many_as_published()]
    write_parquet(tmp_path / "image-00000-of-00001.parquet", made)
    asked = task("hallusionbench", "paper")
    rows = rows_of(asked, tmp_path)
    sizes = [
        len([row for row in rows if row.groups["question"] == group]) for group in {r.groups["question"] for r in rows}
    ]
    assert [sizes.count(size) for size in (1, 2, 3)] == [25, 364, 66]
    metrics = scored(asked, rows, [reply] * len(rows)).metrics
    three = [metrics[name] for name in ("aacc", "facc", "qacc")]
    assert [each["n"] for each in three] == [951, 346, 455]
    assert [round(each["value"] * each["n"]) for each in three] == list(right)
    assert [round(100 * each["value"], 2) for each in three] == list(percent)
    assert metrics["mean"]["value"] == pytest.approx(sum(each["value"] for each in three) / 3)
    assert metrics["aacc"]["low"] < metrics["aacc"]["value"] < metrics["aacc"]["high"]


def test_the_mean_varies_as_the_three_do_together(tmp_path):
    """Left out one by one, sets change the mean of the three as their items' values say (the jackknife)."""
    made = [{**row, "image": picture(0)} for row in as_many_as_published()]
    write_parquet(tmp_path / "image-00000-of-00001.parquet", made)
    asked = task("hallusionbench", "paper")
    rows = rows_of(asked, tmp_path)
    said = ["yes" if len(row.id) % 3 else str(row.answer) for row in rows]
    whole = scored(asked, rows, said)
    of_three = whole.items["of_three"]
    left_out = rows[100].groups["set"]
    kept = [place for place, row in enumerate(rows) if row.groups["set"] != left_out]
    without = values(asked, [rows[place] for place in kept], [said[place] for place in kept])["mean"]
    value = whole.metrics["mean"]["value"]
    influence = sum(of_three[place] - value for place, row in enumerate(rows) if row.groups["set"] == left_out)
    assert value - without == pytest.approx(influence / len(rows), rel=0.05) and influence != 0


@pytest.mark.parametrize(
    ("reply", "official", "lmms", "vlmevalkit"),
    [
        ("Yes", "yes", "yes", "yes"),
        ("No, it is shorter.", "no", "no", "no"),
        ("**Yes**", "yes", "yes", None),
        ("Answer:no", "no", "no", None),
        ("His eyes say so.", None, "yes", None),
        ("It is longer.", None, "no", None),
        ("Yes or no?", "yes", "yes", None),
        ("", None, "no", None),
        ("no " * 3000, "no", "no", "no"),
    ],
)
def test_each_protocol_reads_by_its_own_rules(rows, reply, official, lmms, vlmevalkit):
    assert read(task("hallusionbench", "official"), rows[0], reply) == official
    assert read(task("hallusionbench", "lmms-eval"), rows[0], reply) == lmms
    for name in ("paper", "vlmevalkit", "vlmevalkit-instructed"):
        assert read(task("hallusionbench", name), rows[0], reply) == vlmevalkit


def test_prompts(rows):
    question = "Is line 0 of set 0 longer than the other?"
    for name in ("official", "paper", "lmms-eval", "vlmevalkit"):
        asked = task("hallusionbench", name)
        assert asked.request(rows[0], name).content == [rows[0].images[0], question]
        assert len(asked.other_protocols) == 3
    instructed = task("hallusionbench", "vlmevalkit-instructed")
    assert instructed.request(rows[0], "vlmevalkit-instructed").text == f"{question} Please answer yes or no."
    assert task("hallusionbench", "official").request(rows[-1], "official").content == [question]


def test_questions_about_a_figure_share_it(rows):
    of_figure = [row for row in rows if row.groups["figure"] == "VD_illusion_0_0"]
    assert len(of_figure) == 2 and of_figure[0].images[0] is of_figure[1].images[0]
    assert [row.dimensions["figure_kind"] for row in rows] == ["original"] * 5 + ["none"] and rows[-1].images == []


def test_sets_of_one_number_in_two_subcategories_are_two(tmp_path):
    keys = product(("VD", "VS"), ("ocr",), ("3",), ("1",), "0")
    write_parquet(tmp_path / "image-0.parquet", [{**record(*key, "1"), "image": picture(0)} for key in keys])
    rows = rows_of(task("hallusionbench", "paper"), tmp_path)
    assert len({row.groups["question"] for row in rows}) == len({row.groups["set"] for row in rows}) == 2


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"gt_answer": "2"}, "image-00000-of-00001.parquet: row 0: gt_answer"),
        ({"category": "VX"}, "row 0: category"),
        ({"question": None}, "row 0: question"),
        ({"question_id": "1"}, "row 1: question_id: VD_illusion_0_0_1 is there twice"),
        ({"image": b"not an image"}, "row 0: image"),
    ],
)
def test_bad_rows_are_named(tmp_path, changed, problem):
    write(tmp_path, **changed)
    with pytest.raises(SgtError, match=problem):
        rows_of(task("hallusionbench", "paper"), tmp_path)


def test_a_missing_column_is_named(tmp_path):
    write_parquet(tmp_path / "image-0.parquet", [{"question": "Is it?", "image": picture(0)}])
    with pytest.raises(SgtError, match=r"image-0.parquet: no column 'category'"):
        rows_of(task("hallusionbench", "paper"), tmp_path)
