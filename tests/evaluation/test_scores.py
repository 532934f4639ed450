"""What is counted as right: questions, and things read off generated scenes."""

import numpy as np
import pytest
from PIL import Image

from sgt.data.toyworld.raytrace import render_scene
from sgt.data.toyworld.sampling import sample_scene
from sgt.data.toyworld.view import observe
from sgt.errors import SgtError
from sgt.evaluation import scene_reader
from sgt.evaluation.generation import score_scenes
from sgt.evaluation.questions import constant_answers, normalised, score_questions
from sgt.evaluation.scene_reader import Reading, SceneReader, match


def question(text: str, answer: str, prediction: str, kind="count", key="a", options=("yes", "no")) -> dict:
    made = {"id": f"{key} {text}", "key": key, "kind": kind, "question": text, "options": list(options)}
    return made | {"answer": answer, "prediction": prediction}


def test_answers_match_whatever_their_case_blanks_and_full_stop():
    assert normalised("  Dark  Red. ") == "dark red"
    lines = [question("q", "yes", said) for said in ("Yes.", "yes", "yes no", "", "no")]
    metrics, items = score_questions(lines, {})
    assert items["accuracy"] == [1, 1, 0, 0, 0]
    assert metrics["accuracy"]["value"] == 0.4


def test_accuracy_is_told_by_kind_and_by_group():
    lines = [
        question("a", "yes", "yes", "count", "1"),
        question("b", "no", "yes", "count", "2"),
        question("c", "yes", "yes", "distance", "3"),
        question("d", "yes", "yes", "parity", "4"),
    ]
    metrics, _ = score_questions(lines, {"perception": ["count", "distance"], "absent": ["colour"]})
    values = {name: (metric["value"], metric["n"]) for name, metric in metrics.items()}
    assert values == {
        "accuracy": (0.75, 4),
        "accuracy/perception": (2 / 3, 3),
        "accuracy/count": (0.5, 2),
        "accuracy/distance": (1.0, 1),
        "accuracy/parity": (1.0, 1),
    }


def test_chance_is_the_best_constant_answer_to_a_form_of_question():
    often = [question("is it day", "yes" if i % 4 else "no", "", key=str(i)) for i in range(40)]
    assert sum(constant_answers(often)) == 30
    # Rare questions of one form: the constant is a place among the options.
    rare = [
        question(f"which is nearer, {a} or {b}", a, "", "distance", str(i), (a, b))
        for i, (a, b) in enumerate([("cube", "ball"), ("cone", "ball"), ("ball", "cube")])
    ]
    assert constant_answers(rare) == [1, 1, 1]
    assert sum(constant_answers(often + rare)) == 33


def test_a_generated_scene_is_scored_by_what_is_where():
    named = [
        {"colour": "red", "shape": "cube", "column": "left", "row": "top"},
        {"colour": "red", "shape": "ball", "column": "right", "row": "top"},
        {"colour": "blue", "shape": "cone", "column": "middle", "row": "bottom"},
    ]
    read = [Reading("red", "ball", 0.1, 0.1), Reading("red", "cube", 0.9, 0.1), Reading("blue", "cone", 0.5, 0.9)]
    metrics, items = score_scenes(["a", "b", "c"], [named] * 3, [read, read[:1], []])
    assert items["generation/colour"] == pytest.approx([1, 1 / 3, 0])
    assert items["generation/object"] == pytest.approx([1, 1 / 3, 0])
    assert items["generation/place"] == pytest.approx([1, 1 / 3, 0])
    # The red cube and ball stand in each other's places: only the cone is wholly right.
    assert items["generation/all"] == [0, 0, 0]
    assert items["generation/count"] == [1, 0, 0]
    assert metrics["generation/score"]["value"] == pytest.approx(4 / 9)
    right = [Reading("red", "cube", 0.1, 0.1), Reading("red", "ball", 0.9, 0.1), Reading("blue", "cone", 0.5, 0.9)]
    _, items = score_scenes(["a"], [named], [right])
    assert items["generation/all"] == [1]


@pytest.fixture(scope="module")
def reader():
    return SceneReader(48)


def test_the_reader_proves_itself_on_rendered_scenes(reader):
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
