"""GenEval's rules on known boxes: position, counting, colour, and what makes an image wrong."""

import pytest

from sgt.evaluation.geneval_rules import COUNTING_THRESHOLD, THRESHOLD, is_right, kept, relations, threshold_of


def thing(name: str, score: float = 0.8, box=(0, 0, 10, 10), **more) -> dict:
    return {"class": name, "score": score, "box": box, **more}


@pytest.mark.parametrize(
    ("a", "b", "holds"),
    [
        ((100, 100, 200, 200), (400, 120, 500, 220), {"left of"}),  # T-GE-1
        ((100, 100, 300, 300), (140, 130, 340, 330), set()),  # T-GE-2
        ((0, 0, 100, 100), (100, 100, 200, 200), {"left of", "above"}),  # T-GE-3
        ((100, 100, 300, 300), (150, 300, 350, 500), {"above"}),  # T-GE-4
        # The same the other way round, and a box on itself.
        ((400, 120, 500, 220), (100, 100, 200, 200), {"right of"}),
        ((100, 100, 200, 200), (0, 0, 100, 100), {"right of", "below"}),
        ((150, 300, 350, 500), (100, 100, 300, 300), {"below"}),
        ((5, 5, 25, 45), (5, 5, 25, 45), set()),
    ],
)
def test_relations_of_two_boxes(a, b, holds):
    assert relations(a, b) == holds


def test_the_distance_along_an_axis_is_a_share_of_the_whole_one():
    # Offset (-100, -75), sizes 20: r = (-96, -71), and 125 pixels between the centres: -0.768 and -0.568.
    assert relations((0, 0, 20, 20), (100, 75, 120, 95)) == {"left of", "above"}
    # Sizes 160: r = (-68, -43): -0.544 and -0.344. Divided by the distance of r they would be -0.845 and -0.534.
    assert relations((0, 0, 160, 160), (100, 75, 260, 235)) == {"left of"}


@pytest.mark.parametrize(("fourth", "right"), [(0.89, True), (0.90, True), (0.93, False)])
def test_three_buses_and_perhaps_a_fourth(fourth, right):  # T-GE-5
    wanted = {"include": [{"class": "bus", "count": 3}], "exclude": [{"class": "bus", "count": 4}]}
    found = [thing("bus", score) for score in (0.97, 0.95, 0.92, fourth)]
    assert is_right(wanted, found, threshold_of("counting")) is right
    assert not is_right(wanted, found[1:3] + found[3:], 0.94), "too few are wrong, too"


def test_thresholds():
    assert threshold_of("counting") == COUNTING_THRESHOLD == 0.9
    assert {threshold_of(tag) for tag in ("single_object", "position", "colors")} == {THRESHOLD} == {0.3}


def test_objects_that_count_score_more_and_are_the_sixteen_best():
    found = [thing("cup", 0.31 + place / 100) for place in range(20)] + [thing("cup", 0.3), thing("bowl", 0.9)]
    best = kept(found, "cup", 0.3)
    assert [round(each["score"], 2) for each in best] == [round(0.50 - place / 100, 2) for place in range(16)]


def test_the_most_confident_objects_must_have_the_colour():
    wanted = {"include": [{"class": "cup", "count": 1, "color": "red"}]}
    red, blue = thing("cup", 0.5, colour="red"), thing("cup", 0.7, colour="blue")
    assert is_right(wanted, [red], 0.3) and not is_right(wanted, [red, blue], 0.3)
    two = {"include": [{"class": "cup", "count": 2, "color": "red"}]}
    assert not is_right(two, [red, blue], 0.3)
    assert is_right(two, [red, thing("cup", 0.4, colour="red")], 0.3)


def test_an_object_is_placed_relative_to_every_target_that_was_matched():
    wanted = {
        "include": [{"class": "cake", "count": 2}, {"class": "kite", "count": 1, "position": ["above", 0]}],
    }
    kite = thing("kite", box=(100, 0, 140, 40))
    below, beside = thing("cake", box=(100, 200, 140, 240)), thing("cake", box=(300, 0, 340, 40))
    also_below = thing("cake", 0.5, box=(120, 300, 160, 340))
    assert is_right(wanted, [kite, below, also_below], 0.3)
    assert not is_right(wanted, [kite, below, beside], 0.3), "not above one of them"
    assert not is_right(wanted, [kite, below], 0.3), "the target is not matched"
    assert is_right(wanted, [kite, below, also_below, thing("cake", 0.4, box=beside["box"])], 0.3), "only the best two"


def test_a_target_of_the_wrong_colour_is_no_target():
    wanted = {
        "include": [
            {"class": "cake", "count": 1, "color": "pink"},
            {"class": "kite", "count": 1, "position": ["above", 0]},
        ]
    }
    kite, cake = thing("kite", box=(0, 0, 40, 40)), thing("cake", box=(0, 200, 40, 240), colour="pink")
    assert is_right(wanted, [kite, cake], 0.3)
    assert not is_right(wanted, [kite, {**cake, "colour": "red"}], 0.3)


def test_an_image_without_objects_is_wrong_unless_all_is_excluded():
    assert not is_right({"include": [{"class": "cup", "count": 1}]}, [], 0.3)
    assert is_right({"include": [], "exclude": [{"class": "cup", "count": 1}]}, [], 0.3)
