"""ImgEdit-Bench: edits beside a tar of images, what a reply must be, and both means, by the case of the reference."""

import io
import json
import tarfile
from pathlib import Path

import pytest

from sgt.errors import SgtError
from sgt.evaluation.score import score_predictions
from sgt.evaluation.tasks.imgedit_bench import CRITERIA, ImgEditBench, criteria_of, ratings
from tests.evaluation.tasks.published import picture

TYPES = ["add", "add", "add", "style"]


def write(images: Path, edits: Path) -> None:
    images.mkdir(parents=True, exist_ok=True)
    edits.mkdir(parents=True, exist_ok=True)
    with tarfile.open(images / "Benchmark.tar", "w") as tar:
        for number in range(2):
            data = picture(number, "JPEG")
            info = tarfile.TarInfo(f"Benchmark/singleturn/animal/00{number}.jpg")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    entries = {
        str(2000 + number): {"id": f"animal/00{number % 2}.jpg", "prompt": f"edit {number}", "edit_type": kind}
        for number, kind in enumerate(TYPES)
    }
    (edits / "basic_edit.json").write_text(json.dumps(entries))


def task() -> ImgEditBench:
    given = {"name": "imgedit-bench", "task": "imgedit-bench", "version": 1, "sampling": {"num_steps": 2}}
    return ImgEditBench(ImgEditBench.Options(**given, judge={"url": "http://127.0.0.1/v1", "model": "m"}))


def reply(kind: str, *numbers: object) -> str:
    lines = [f"{name}: {number}" for name, number in zip(criteria_of(kind), numbers, strict=True)]
    return "\n".join(["Brief reasoning: as it is", *lines])


def test_the_mean_is_over_edits_and_that_over_types_stands_beside_it(tmp_path):
    write(tmp_path / "images", tmp_path / "edits")
    one = task()
    rows = list(one.rows(one.open([tmp_path / "images", tmp_path / "edits"])))
    assert [row.id for row in rows] == ["2000", "2001", "2002", "2003"] and rows[0].size == (48, 40)
    predictions = []
    for row, number in zip(rows, (5, 3, 1, 5), strict=True):
        (call,) = one.calls(row, row.images[0])
        assert row.question in call.text and len(call.pictures) == 2 and call.temperature is None
        value = one.read(row, 0, reply(row.dimensions["type"], *[number] * 3))
        predictions.append((row, {"status": "ok", "repeats": [{"status": "ok", "calls": [{"value": value}]}]}))
    scored = score_predictions(one, predictions)
    assert scored.metrics["overall"]["value"] == pytest.approx(3.5)
    assert scored.metrics["types"]["value"] == pytest.approx(4.0)
    assert one.values(rows[0], [[5, 4, 4]]) == {"score": 4.33}


@pytest.mark.parametrize(
    "text, found",
    [
        (reply("add", 5, 4, 3), [5, 4, 3]),
        (reply("add", "4/5", "4.", "**3**"), [4, 4, 3]),
        (f"The score is: 3\n{reply('add', 5, 4, 3)}", [5, 4, 3]),
        (reply("add", 7, 4, 3), None),
        (reply("add", 5, 0, 3), None),
        (reply("style", 5, 4, 3), None),
        ("\n".join(reply("add", 5, 4, 3).splitlines()[:-1]), None),
        ("I cannot rate this.", None),
    ],
)
def test_a_reply_has_a_rating_of_every_criterion_or_is_unreadable(text, found):
    assert ratings(text, CRITERIA) == found


def test_an_image_that_is_not_there_and_a_tar_that_leads_elsewhere_end_in_one_line(tmp_path):
    write(tmp_path / "images", tmp_path / "edits")
    (tmp_path / "edits/basic_edit.json").write_text('{"1": {"id": "x/9.jpg", "prompt": "p", "edit_type": "add"}}')
    one = task()
    with pytest.raises(SgtError, match=r"0 files are called 'x/9\.jpg'"):
        list(one.rows(one.open([tmp_path / "images", tmp_path / "edits"])))
    with tarfile.open(tmp_path / "images/Benchmark.tar", "w") as tar:
        tar.addfile(tarfile.TarInfo("../x.jpg"))
    with pytest.raises(SgtError, match="leads elsewhere"):
        one.open([tmp_path / "images", tmp_path / "edits"])
