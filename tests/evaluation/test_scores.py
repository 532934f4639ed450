"""What is counted as right: questions, and things read off generated scenes."""

import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sgt.data.toyworld.raytrace import render_scene
from sgt.data.toyworld.sampling import sample_scene
from sgt.data.toyworld.view import observe
from sgt.errors import SgtError
from sgt.evaluation.evaluators import scene_reader
from sgt.evaluation.evaluators.scene_reader import Reading, SceneReader, match
from sgt.evaluation.predictions import StoredRows, read_predictions, write_predictions
from sgt.evaluation.score import Scored, score_predictions
from sgt.evaluation.task import Parsed, Row
from sgt.evaluation.tasks.toyworld_gen import ToyworldGen
from sgt.evaluation.tasks.toyworld_qa import ToyworldQA, normalised
from sgt.models.requests import Likelihood, RatedReply


def question(text: str, answer: str, kind="count", scene="a", options=("yes", "no")) -> Row:
    groups = {"scene": scene}
    return Row(
        f"{scene} {text}", text, "text", options=options, answer=answer, dimensions={"kind": kind}, groups=groups
    )


def task(groups=None) -> ToyworldQA:
    return ToyworldQA(ToyworldQA.Options(name="qa", task="toyworld-qa", version=1, dataset="test", groups=groups or {}))


def scored(replies: list[tuple[Row, str]], groups=None) -> Scored:
    rated = [Likelihood(-0.5, 1, -0.25)]
    return score_predictions(task(groups), [(row, RatedReply(text, 1, "stop", rated)) for row, text in replies])


def test_answers_match_whatever_their_case_blanks_and_full_stop():
    assert normalised("  Dark  Red. ") == "dark red"
    texts = ("Yes.", "yes", "yes no", "", "no")
    found = scored([(question("q", "yes", scene=str(place)), text) for place, text in enumerate(texts)])
    assert found.items["accuracy"] == [1, 1, 0, 0, 0]
    assert found.metrics["accuracy"]["value"] == 0.4
    assert found.statuses == {"direct": 3, "none": 2}


def test_accuracy_is_reported_by_kind_and_by_group():
    rows = [
        (question("a", "yes", "count", "1"), "yes"),
        (question("b", "no", "count", "2"), "yes"),
        (question("c", "yes", "distance", "3"), "yes"),
        (question("d", "yes", "parity", "4"), "yes"),
    ]
    metrics = scored(rows, {"perception": ["count", "distance"], "absent": ["size"]}).metrics
    values = {name: (metric["value"], metric["n"]) for name, metric in metrics.items()}
    names = list(values)
    assert names[5:] == [name.replace("accuracy", "logprob") for name in names[:5]]
    assert {name: values[name] for name in names[:5]} == {
        "accuracy": (0.75, 4),
        "accuracy/perception": (2 / 3, 3),
        "accuracy/count": (0.5, 2),
        "accuracy/distance": (1.0, 1),
        "accuracy/parity": (1.0, 1),
    }
    about = {name: (metric["about"]["headline"], metric["about"]["abilities"]) for name, metric in metrics.items()}
    assert about["accuracy/perception"] == (True, ["perception"])
    assert about["accuracy/count"] == (False, ["perception"]) and about["accuracy/parity"] == (False, [])
    assert not about["accuracy"][0] and scored(rows).metrics["accuracy"]["about"]["headline"]


def test_the_log_probability_of_the_right_answer_is_that_of_the_whole_answer():
    rows = [question("a", "yes", "count", "1"), question("b", "yes", "count", "2"), question("c", "yes", "size", "3")]
    rated = [Likelihood(-0.5, 1, -0.25), Likelihood(-70.0, 2, -2.0), Likelihood(0.0, 1, -0.125)]
    replies = [(row, RatedReply("yes", 1, "stop", [each])) for row, each in zip(rows, rated, strict=True)]
    found = score_predictions(task(), replies)
    assert found.items["logprob"] == [-0.75, -72.0, -0.125]
    values = {name: metric["value"] for name, metric in found.metrics.items() if name.startswith("logprob")}
    assert values == {"logprob": pytest.approx(-72.875 / 3), "logprob/count": -36.375, "logprob/size": -0.125}
    about = found.metrics["logprob/count"]["about"]
    assert (about["unit"], about["range"], about["headline"], about["chance"]) == ("nats", (None, 0.0), False, None)
    impossible = [(rows[0], RatedReply("yes", 1, "stop", [Likelihood(0.5, 1, -0.25)]))]
    with pytest.raises(SgtError, match=r"metric logprob: a value is outside \[-inf, 0.0\]"):
        score_predictions(task(), impossible)


def test_reasoning_is_also_scored_where_the_count_that_it_is_about_is_right():
    replies = []
    for scene, answers in enumerate(("yes yes no", "yes no no", "no yes yes")):
        rows = [question(f"{kind} {scene}", "yes", kind, str(scene)) for kind in ("count", "arithmetic", "parity")]
        rows[1:] = [replace(row, extra={"twin": rows[0].id}) for row in rows[1:]]
        # A twin may come after the questions that build on it.
        replies += reversed(list(zip(rows, answers.split(), strict=True)))
    found = scored(replies, {"perception": ["count"], "reasoning": ["arithmetic", "parity"]})
    assert found.items["count_is_right"] == ["yes", "yes", "none"] * 2 + ["no", "no", "none"]
    values = {name: (metric["value"], metric["n"]) for name, metric in found.metrics.items()}
    assert {name: value for name, value in values.items() if name.startswith("accuracy/")} == {
        "accuracy/perception": (2 / 3, 3),
        "accuracy/reasoning": (0.5, 6),
        "accuracy/reasoning_given_count": (0.25, 4),
        "accuracy/count": (2 / 3, 3),
        "accuracy/arithmetic": (2 / 3, 3),
        "accuracy/arithmetic_given_count": (0.5, 2),
        "accuracy/parity": (1 / 3, 3),
        "accuracy/parity_given_count": (0.0, 2),
    }
    assert values["logprob/parity_given_count"] == (-0.75, 2)
    headlines = {name for name, metric in found.metrics.items() if metric["about"]["headline"]}
    assert headlines == {"accuracy/perception", "accuracy/reasoning_given_count"}
    about = found.metrics["accuracy/reasoning_given_count"]["about"]
    assert (about["title"], about["abilities"]) == ("reasoning where the count is right", ["reasoning"])

    # No count is right: nothing to score. A twin that is not there is an error.
    wrong = [(row, "no" if row.dimensions["kind"] == "count" else answer) for row, answer in replies]
    assert not any("given_count" in name for name in scored(wrong).metrics)
    with pytest.raises(SgtError, match="task toyworld-qa: row '0 parity 0' has no row '0 count 0', its twin"):
        scored(replies[:2])


def test_chance_is_the_best_constant_answer_to_a_form_of_question():
    often = [question("is it day", "yes" if i % 4 else "no", scene=str(i)) for i in range(40)]
    assert sum(task().chance(often)) == 30
    # Rare questions of one form: the constant is a place among the options.
    rare = [
        question(f"which is nearer, {a} or {b}", a, "distance", str(i), (a, b))
        for i, (a, b) in enumerate([("cube", "ball"), ("cone", "ball"), ("ball", "cube")])
    ]
    assert task().chance(rare) == [1, 1, 1]
    assert sum(task().chance(often + rare)) == 33


def test_a_generated_scene_is_scored_by_what_is_where():
    sampling = {"num_steps": 1}
    generation = ToyworldGen(
        ToyworldGen.Options(name="gen", task="toyworld-gen", version=1, dataset="test", sampling=sampling)
    )
    named = [
        {"colour": "red", "shape": "cube", "column": "left", "row": "top"},
        {"colour": "red", "shape": "ball", "column": "right", "row": "top"},
        {"colour": "blue", "shape": "cone", "column": "middle", "row": "bottom"},
    ]
    row = Row("a", "a scene", "image", groups={"scene": "a"}, extra={"objects": named})
    read = [Reading("red", "ball", 0.1, 0.1), Reading("red", "cube", 0.9, 0.1), Reading("blue", "cone", 0.5, 0.9)]
    scores = [generation.score(row, Parsed(readings, "direct")) for readings in (read, read[:1], [])]
    columns = {name: [score[name] for score in scores] for name in scores[0]}
    for aspect in ("colour", "object", "place"):
        assert columns[aspect] == pytest.approx([1, 1 / 3, 0])
    # The red cube and ball stand in each other's places: only the cone is wholly right.
    assert columns["all"] == [0, 0, 0]
    assert columns["count"] == [1, 0, 0]
    assert np.mean(columns["score"]) == pytest.approx(4 / 9)
    right = [Reading("red", "cube", 0.1, 0.1), Reading("red", "ball", 0.9, 0.1), Reading("blue", "cone", 0.5, 0.9)]
    assert generation.score(row, Parsed(right, "direct"))["all"] == 1


@pytest.fixture(scope="module")
def reader():
    return SceneReader(48)


def test_the_reader_passes_its_check_on_rendered_scenes(reader):
    check = reader.self_check()
    assert check.things > 500
    assert check.found > 0.9 and check.place > 0.95 and check.shape > 0.9 and check.extra < 0.05


def test_the_reader_reads_scenes_of_a_split_it_was_never_shown(reader):
    found = things = shaped = 0
    for index in range(60):
        scene = sample_scene(0, "test", index, 48)
        image, labels, _ = render_scene(scene, 48)
        view = observe(scene, labels)
        pairs = match(reader.read(Image.fromarray(image)), view)
        things, found = things + len(view), found + len(pairs)
        shaped += sum(reading.shape == seen.thing.shape for reading, seen in pairs)
    assert found / things > 0.88 and shaped / found > 0.88


def test_the_reader_sees_nothing_in_noise_that_is_grey_and_in_bare_ground(reader):
    noise = np.random.default_rng(0).integers(90, 130, (48, 48, 1), dtype=np.uint8).repeat(3, 2)
    assert reader.read(Image.fromarray(noise)) == []


def test_a_reader_that_cannot_read_scores_nothing(reader, monkeypatch):
    monkeypatch.setattr(scene_reader, "MIN_SHARE", 0.2)
    with pytest.raises(SgtError, match=r"scene reader: reads found right for 0.* no image is scored"):
        reader.self_check()


def many_predictions(path, count: int) -> Path:
    """A file of questions, eight about each scene, every third answered wrong."""
    rows, replies = [], []
    for number in range(count):
        row = question(f"how many cubes are to the left of ball {number % 5}", "two", ("count", "size")[number % 2])
        options, groups = ["one", "two", "three"], {"scene": f"scene-{number // 8:07d}"}
        rows.append(replace(row, id=f"question-{number:07d}", options=options, groups=groups))
        rated = [Likelihood(-0.1 - number / count, 1, -0.1)]
        replies.append(RatedReply(options[number % 3 != 0], 1, "stop", rated))
    write_predictions(path, rows, replies)
    return path


def test_rows_that_are_read_from_their_file_are_scored_as_those_that_are_held(tmp_path):
    path = many_predictions(tmp_path / "predictions.jsonl", 200)
    held, stored = score_predictions(task(), read_predictions(path)), StoredRows(path)
    again = score_predictions(task(), read_predictions(path), stored)
    assert (again.metrics, again.items, again.statuses) == (held.metrics, held.items, held.statuses)
    assert list(stored) == held.rows and stored[3:5] == held.rows[3:5] and stored[-1] == held.rows[-1]
    with pytest.raises(IndexError):
        stored[200]


def test_a_question_takes_little_memory_to_score(tmp_path):
    """Of allocated memory, as the difference between two sizes: what all sizes need does not count."""
    peaks = []
    for count in (500, 2000):
        path = many_predictions(tmp_path / f"{count}.jsonl", count)
        tracemalloc.start()
        score_predictions(task(), read_predictions(path), StoredRows(path))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert (peaks[1] - peaks[0]) / 1500 <= 260
