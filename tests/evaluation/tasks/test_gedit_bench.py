"""GEdit-Bench: what is asked, what a reply must be, and the mean over groups, by the cases of the reference."""

import io
from pathlib import Path

import pyarrow as pa
import pytest
from PIL import Image

from sgt.evaluation.score import score_predictions
from sgt.evaluation.tasks.gedit_bench import GeditBench, ratings
from tests.evaluation.tasks.published import picture

GROUPS = ["color_alter", "color_alter", "subject-add"]


def write(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    rows = [
        {
            "task_type": group,
            "key": f"k{number}",
            "instruction": f"{language} {number}",
            "instruction_language": language,
            "input_image": {"bytes": picture(number // 2), "path": None},
            "Intersection_exist": True,
        }
        for number, group in enumerate(GROUPS)
        for language in ("en", "cn")
    ]
    table = pa.Table.from_pylist(rows)
    with (
        pa.OSFile(str(folder / "data-00000-of-00001.arrow"), "wb") as sink,
        pa.ipc.new_stream(sink, table.schema) as out,
    ):
        out.write_table(table)


def task(**chosen) -> GeditBench:
    given = {"name": "gedit-bench", "task": "gedit-bench", "version": 1, "sampling": {"num_steps": 2}, **chosen}
    return GeditBench(GeditBench.Options(**given, judge={"url": "http://127.0.0.1/v1", "model": "m"}))


def rated(rows, one: GeditBench, replies) -> list[tuple]:
    """Rows with records, of ratings (SC, PQ) as pairs."""
    found = []
    for row, pair in zip(rows, replies, strict=True):
        calls = [{"value": one.read(row, number, f'{{"score": {list(each)}}}')} for number, each in enumerate(pair)]
        found.append((row, {"status": "ok", "repeats": [{"status": "ok", "calls": calls}]}))
    return found


def test_the_score_is_the_mean_of_groups_of_the_geometric_mean_of_the_lower_ratings(tmp_path):
    write(tmp_path)
    one = task()
    rows = list(one.rows(one.open([tmp_path])))
    assert [row.dimensions["group"] for row in rows] == GROUPS and rows[0].size == (48, 40)
    assert rows[0].groups == rows[1].groups != rows[2].groups, "two edits of one image"
    # T-GD-1: SC 9 and PQ 4 make 6; SC 0 and PQ 8 make 0; SC 5 and PQ 5 make 5.
    predictions = rated(rows, one, [((9, 10), (4, 6)), ((0, 9), (8, 8)), ((5, 7), (6, 5))])
    scored = score_predictions(one, predictions)
    assert scored.metrics["overall"]["value"] == pytest.approx(4.0)
    assert scored.metrics["sc"]["value"] == pytest.approx((4.5 + 5) / 2)
    assert scored.metrics["overall/color_alter"]["value"] == pytest.approx(3.0)
    (row, _), *rest = predictions
    refused = score_predictions(one, [(row, {"status": "refused"}), *rest])
    assert refused.metrics["overall"]["value"] == pytest.approx((0 + 5) / 2) and refused.metrics["overall"]["n"] == 2
    assert refused.metrics["refused"]["value"] == pytest.approx(1 / 3) and refused.statuses == {"refused": 1, "ok": 2}
    *rest, (row, _) = predictions
    empty = score_predictions(one, [*rest, (row, {"status": "timeout"})])
    assert "overall" not in empty.metrics, "no mean over groups without one of them"


def test_sc_is_asked_with_both_images_and_pq_with_the_edited_one_at_the_size_of_the_first(tmp_path):
    write(tmp_path)
    one = task(protocol="cn")
    row = next(one.rows(one.open([tmp_path])))
    sc, pq = one.calls(row, Image.new("RGB", (64, 64), "red"))
    assert "cn 0" in sc.text and "cn 0" not in pq.text
    sizes = [Image.open(io.BytesIO(each.data)).size for each in (*sc.pictures, *pq.pictures)]
    assert sizes == [(48, 40)] * 3 and sc.pictures[1] == pq.pictures[0]
    assert {each.media_type for each in sc.pictures} == {"image/jpeg"}
    assert (sc.max_tokens, sc.temperature) == (1400, None)


@pytest.mark.parametrize(
    "text, found",
    [
        ('{"score": [7, 8.5], "reasoning": "fine"}', [7.0, 8.5]),
        ('```json\n{"score": [0, 10], "reasoning": ""}\n```', [0.0, 10.0]),
        ("[6, 5]", [6.0, 5.0]),
        ("7", None),
        ('{"score": [7], "reasoning": ""}', None),
        ('{"score": [7, 11], "reasoning": ""}', None),
        ('{"score": ["7", "8"]}', None),
        ('{"score": [true, 8]}', None),
        ('{"score": [7, 8', None),
        ("I would say seven of ten.", None),
        ("", None),
    ],
)
def test_a_reply_is_two_ratings_or_unreadable_and_never_a_guess(text, found):
    assert ratings(text) == found
