"""WISE: its two protocols, their categories and weights, and what a reply must be, by the cases of the reference."""

import json
from pathlib import Path

import pytest
from PIL import Image

from sgt.errors import SgtError
from sgt.evaluation.score import score_predictions
from sgt.evaluation.tasks.wise import Wise, category, ratings, verdict, wiscore

FIRST = {"legacy": [1, 401, 568, 701, 801, 901], "verified": [1, 401, 521, 641, 761, 881]}
FILES = ["cultural_common_sense", "spatio-temporal_reasoning", "natural_science"]


def write(folder: Path, protocol: str = "legacy") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    numbers = FIRST[protocol]
    for name, chosen in zip(FILES, (numbers[:1], numbers[1:3], numbers[3:]), strict=True):
        entries = [
            {"Prompt": f"p{each}", "Explanation": f"e{each}", "Category": "c", "Subcategory": "s", "prompt_id": each}
            for each in chosen
        ]
        suffix = "_verified" if protocol == "verified" else ""
        (folder / f"{name}{suffix}.json").write_text(json.dumps(entries))


def task(protocol: str = "legacy", **judge) -> Wise:
    given = {"name": "wise", "task": "wise", "version": 1, "protocol": protocol, "sampling": {"num_steps": 2}}
    return Wise(Wise.Options(**given, judge={"url": "http://127.0.0.1/v1", "model": "m", **judge}))


def judged(row, *values) -> tuple:
    repeats = [{"status": "ok", "calls": [{"value": value}]} for value in values]
    return row, {"status": "ok", "repeats": repeats}


def test_the_wiscore_weighs_consistency_most():
    assert wiscore(2, 1, 1) == pytest.approx(0.85) and wiscore(0, 2, 2) == pytest.approx(0.30)


def test_categories_are_weighted_by_their_protocol_and_the_plain_mean_stands_beside(tmp_path, monkeypatch):
    write(tmp_path)
    one = task()
    assert one.options.data_downloads == ("wise-legacy",)
    rows = list(one.rows(one.open([tmp_path])))
    assert [row.dimensions["category"] for row in rows] == [
        "culture",
        "time",
        "space",
        "biology",
        "physics",
        "chemistry",
    ]
    # T-WI-3: the means of the categories are .5 .6 .6 .4 .5 .3.
    means = dict(zip((row.id for row in rows), (0.5, 0.6, 0.6, 0.4, 0.5, 0.3), strict=True))
    monkeypatch.setattr(Wise, "values", lambda self, row, read: {"score": means[row.id]})
    scored = score_predictions(one, [judged(row, [1, 1, 1]) for row in rows])
    assert scored.metrics["overall"]["value"] == pytest.approx(0.5000, abs=1e-9)
    assert scored.metrics["plain"]["value"] == pytest.approx(0.4833, abs=5e-5)


def test_verified_has_other_boundaries_and_one_rating(tmp_path):
    write(tmp_path, "verified")
    one = task("verified")
    assert one.options.data_downloads == ("wise-verified",)
    rows = list(one.rows(one.open([tmp_path])))
    assert [row.dimensions["category"] for row in rows] == [
        "culture",
        "time",
        "space",
        "biology",
        "physics",
        "chemistry",
    ]
    assert (category(550, "legacy"), category(550, "verified")) == ("time", "space")
    scored = score_predictions(one, [judged(row, int(row.id == "1")) for row in rows])
    assert scored.metrics["overall"]["value"] == pytest.approx(0.4)
    (call,) = one.calls(rows[0], Image.new("RGB", (8, 8)))
    assert "p1" in call.text and "e1" in call.text and call.max_tokens == 500 and call.system


def test_repeats_are_averaged_and_their_spread_widens_the_interval(tmp_path):
    write(tmp_path)
    one = task(repeats=2)
    rows = list(one.rows(one.open([tmp_path])))
    same = score_predictions(one, [judged(row, [1, 1, 1], [1, 1, 1]) for row in rows]).metrics["consistency"]
    apart = score_predictions(one, [judged(row, [0, 0, 0], [2, 2, 2]) for row in rows]).metrics["consistency"]
    assert same["value"] == apart["value"] == 1.0
    assert apart["high"] - apart["low"] > same["high"] - same["low"]


@pytest.mark.parametrize(
    "text, found",
    [
        ("Consistency: 2\nRealism: 1\nAesthetic Quality: 0", [2, 1, 0]),
        ("**Consistency:** 2\n**Realism:** 1\n**Aesthetic Quality**: 1", [2, 1, 1]),
        ("Consistency：1\nRealism：1\nAesthetic Quality：1", [1, 1, 1]),
        ("2 1 0", [2, 1, 0]),
        ("Consistency: 1.5\nRealism: 1\nAesthetic Quality: 1", None),
        ("Consistency: 10\nRealism: 1\nAesthetic Quality: 1", None),
        ("Consistency: 7\nRealism: 1\nAesthetic Quality: 1", None),
        ("Consistency: 2\nRealism: 1", None),
        ("It is fine.", None),
    ],
)
def test_a_legacy_reply_has_three_ratings_or_is_unreadable(text, found):
    assert ratings(text) == found


@pytest.mark.parametrize(
    "text, found", [("Score: 1", 1), ("**Score:** 0", 0), ("Score: 0.9", None), ("Score: 2", None), ("yes", None)]
)
def test_a_verified_reply_is_right_or_wrong_or_unreadable(text, found):
    assert verdict(text) == found


def test_a_prompt_that_is_there_twice_is_refused(tmp_path):
    write(tmp_path)
    (tmp_path / "natural_science.json").write_text((tmp_path / "cultural_common_sense.json").read_text())
    with pytest.raises(SgtError, match="not numbered from 1 to 1000 without repetition"):
        task().open([tmp_path])
