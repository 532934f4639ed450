"""Edits of scenes of toyworld: what is shown afterwards is what the instruction names."""

import re
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from sgt.data.images import decode_image
from sgt.data.toyworld import render_scene
from sgt.data.toyworld.dataset import make_sample
from sgt.data.toyworld.edits import Edit, draw_edit
from sgt.data.toyworld.raytrace import trace
from sgt.data.toyworld.sampling import scene_rng
from tests.data.toyworld.conftest import SPEC, Made
from tests.data.toyworld.known import described

THING = r"(\w+ \w+)"


@pytest.fixture(scope="module")
def edits(samples) -> list[tuple[Made, Edit, np.ndarray]]:
    """Each sample with its edit, and the label map of the edited scene."""
    made = []
    for index, sample in enumerate(samples):
        edit = draw_edit(sample.scene, SPEC.size, scene_rng(SPEC.seed, SPEC.split, index, stream=2))
        assert sample.record["edit"] == {"kind": edit.kind, "instruction": edit.instruction}
        made.append((sample, edit, trace(edit.scene, SPEC.size).labels))
    return made


def of_kind(edits, kind: str, pattern: str):
    """Samples with edits of one kind, the label map afterwards, the number of the thing, and what is to be done."""
    for made, edit, labels in edits:
        if edit.kind == kind:
            name, *to = re.fullmatch(pattern, edit.instruction).groups()
            (number,) = [place for place, thing in enumerate(made.scene.things) if thing.name == name]
            assert (edit.scene.camera, edit.scene.light, edit.scene.ground) == (
                made.scene.camera, made.scene.light, made.scene.ground,
            )  # fmt: skip
            yield made, edit.scene, labels, number, to


def test_every_kind_of_edit_is_drawn(edits):
    kinds = Counter(edit.kind for _, edit, _ in edits)
    assert set(kinds) == {"recolour", "remove", "move"} and min(kinds.values()) > SPEC.scenes / 8, kinds


def test_a_recoloured_thing_has_another_colour_and_nothing_else_changes(edits):
    for made, after, labels, number, (colour,) in of_kind(edits, "recolour", rf"make the {THING} (\w+)"):
        before = made.scene.things
        assert before[number].colour != colour
        changed = replace(before[number], colour=colour)
        assert after.things == (*before[:number], changed, *before[number + 1 :])
        assert len({thing.name for thing in after.things}) == len(after.things)
        assert np.array_equal(labels, made.labels)


def test_a_removed_thing_is_gone_and_nothing_else_changes(edits):
    for made, after, labels, number, _ in of_kind(edits, "remove", rf"remove the {THING}"):
        before = made.scene.things
        assert after.things == before[:number] + before[number + 1 :]
        elsewhere = made.labels != number + 1
        # Things after it are numbered one lower.
        expected = made.labels - (made.labels > number + 1)
        assert np.array_equal(labels[elsewhere], expected[elsewhere]) and not elsewhere.all()


def test_a_moved_thing_is_where_it_is_to_go_and_everything_stays_visible(edits):
    pattern = rf"move the {THING} to (left|middle|right) (top|middle|bottom)"
    for made, after, labels, number, to in of_kind(edits, "move", pattern):
        before, moved = made.scene.things, after.things[number]
        assert replace(moved, x=0, y=0, z=0) == replace(before[number], x=0, y=0, z=0)
        assert after.things == (*before[:number], moved, *before[number + 1 :])
        old, new = (described(scene, of)[moved.name] for scene, of in ((made.scene, made.labels), (after, labels)))
        assert new["clear"] and [new["column"], new["row"]] == to != [old["column"], old["row"]]
        assert np.bincount(labels.ravel(), minlength=len(after.things) + 1)[1:].min() >= 45


def test_the_edited_image_shows_the_edited_scene(edits):
    for made, edit, _ in edits:
        shown = np.asarray(decode_image(made.files["edit.jpg"], "test"), float)
        rendered = render_scene(edit.scene, SPEC.size)[0]
        unedited = render_scene(made.scene, SPEC.size)[0]
        # JPEG loses little.
        assert np.abs(shown - rendered).mean() < 8
        differs = np.abs(rendered.astype(float) - unedited).max(axis=2) > 60
        assert differs.sum() > 15
        assert np.abs(shown - rendered)[differs].mean() < np.abs(shown - unedited)[differs].mean()


def test_a_sample_without_edits_is_the_same_otherwise(samples):
    for index, made in enumerate(samples[:5]):
        _, files = make_sample(SPEC.model_copy(update={"edits": False}), index)
        assert set(files) == set(made.files) - {"edit.jpg"}
        assert all(files[name] == made.files[name] for name in ("jpg", "depth.png"))
