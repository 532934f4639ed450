"""Questions about scenes of toyworld: right, unambiguous, of every kind, and with balanced answers."""

from collections import Counter

import numpy as np
import pytest

from sgt.data.toyworld.questions import ATTRIBUTES, KINDS, Question, draw_questions
from sgt.data.toyworld.sampling import sample_visible, scene_rng
from sgt.data.toyworld.view import Seen, observe
from tests.data.toyworld.known import can_be_described, derived_answer, described, thing_of

SCENES = 500


@pytest.fixture(scope="module")
def drawn() -> list[tuple[dict[str, Seen], list[Question]]]:
    """The things by name, and the questions, of many scenes."""
    made = []
    for index in range(SCENES):
        scene, hits = sample_visible(0, "vqa", index, 48)
        view = observe(scene, hits.labels)
        made.append(({seen.name: seen for seen in view}, draw_questions(view, scene_rng(0, "vqa", index, stream=1))))
    return made


def test_every_answer_follows_from_the_geometry(samples):
    for made in samples:
        known = described(made.scene, made.labels)
        for question in made.questions:
            answer = derived_answer(question["kind"], question["question"], known)
            assert question["answer"] == answer, (made.record["image"]["file_name"], question)
            assert answer in question["options"] and len(set(question["options"])) == len(question["options"]) > 1
            if question["kind"] == "existence" and answer == "no":
                colour, shape = question["question"].split()[3:5]
                assert any(colour in name or shape in name for name in known)


def test_every_attribute_of_every_thing_that_can_be_described_is_asked_for_once(samples):
    by_place = left_out = 0
    for made in samples:
        known = described(made.scene, made.labels)
        for kind in ATTRIBUTES:
            texts = [question["question"] for question in made.questions if question["kind"] == kind]
            asked = Counter(thing_of(kind, text, known) for text in texts)
            assert asked == {name: 1 for name in known if can_be_described(kind, name, known)}
            by_place += sum(" at " in text for text in texts)
            left_out += len(known) - len(asked)
    # Things are described by their place, and some cannot be described at all.
    assert by_place > 50 and left_out > 10


def test_reasoning_names_the_question_for_the_number_that_it_is_about(samples):
    for made in samples:
        questions = {question["id"]: question for question in made.questions}
        assert len(questions) == len(made.questions)
        for question in questions.values():
            if question["kind"] not in ("arithmetic", "parity"):
                assert "twin" not in question
                continue
            twin = questions[question["twin"]]
            noun = question["question"].removeprefix("how many ").removeprefix("is the number of ")
            assert twin["kind"] == "count" and noun.startswith(twin["question"][len("how many ") : -len("are there ?")])
            number = twin["options"].index(twin["answer"])
            *_, operation, operand, _ = question["question"].split()
            if question["kind"] == "parity":
                assert (number % 2 == ("even", "odd").index(operand)) == (question["answer"] == "yes") and number
            else:
                shift = question["options"].index(operand) * (1 if operation == "plus" else -1)
                assert question["options"].index(question["answer"]) == number + shift


def test_every_kind_is_asked_for_as_often(drawn):
    counts = {kind: [] for kind in KINDS}
    for things, questions in drawn:
        assert len({question.question for question in questions}) == len(questions)
        kinds = Counter(question.kind for question in questions)
        for kind in KINDS:
            counts[kind].append(kinds[kind])
        assert kinds["size"] == len(things)
    assert len(KINDS) == 13 and set(ATTRIBUTES) == {"colour", "shape", "size"}
    for kind in set(KINDS) - set(ATTRIBUTES):
        assert set(counts[kind]) <= {0, 1} and np.mean(counts[kind]) > 0.6, kind
    assert all(np.mean(counts[kind]) == 1 for kind in ("count", "existence", "arithmetic"))
    totals = [sum(of_scene) for of_scene in zip(*counts.values(), strict=True)]
    assert 17 < np.mean(totals) < 20


def test_answers_are_balanced(drawn):
    answers = {kind: Counter() for kind in KINDS}
    for _, questions in drawn:
        for question in questions:
            answers[question.kind][question.answer] += 1
    most = {kind: counts.most_common(1)[0][1] / counts.total() for kind, counts in answers.items()}
    for kind in ("existence", "parity", "left_right", "above_below"):
        assert most[kind] < 0.58, (kind, most[kind])
    # Colours of two things, one of six colours, of four shapes, of three places, numbers; small things are more.
    limits = {"colour": 0.21, "shape": 0.29, "size": 0.66, "count": 0.32, "arithmetic": 0.25, "column": 0.44}
    limits |= {"row": 0.53, "depth_order": 0.26, "distance": 0.26}
    assert all(most[kind] < limit for kind, limit in limits.items()), most
    named_first = [
        question.answer == question.options[0]
        for _, questions in drawn
        for question in questions
        if question.kind in ("depth_order", "distance")
    ]
    assert 0.44 < np.mean(named_first) < 0.56


def test_the_row_does_not_tell_which_thing_is_closer(drawn):
    right = []
    for things, questions in drawn:
        for question in questions:
            if question.kind == "depth_order":
                words = question.question.split()
                pair = things[" ".join(words[5:7])], things[" ".join(words[9:11])]
                right.append(max(pair, key=lambda seen: seen.v).thing.colour == question.answer)
    # Not half: in some scenes the lower thing is the closer one in every pair.
    assert len(right) > SCENES / 2 and abs(np.mean(right) - 0.5) < 0.1
