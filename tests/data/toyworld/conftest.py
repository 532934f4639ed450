"""Scenes for the tests of toyworld."""

import json
from dataclasses import dataclass

import numpy as np
import pytest

from sgt.config.datasets import Toyworld
from sgt.data.toyworld import sample_scene
from sgt.data.toyworld.dataset import make_sample
from sgt.data.toyworld.raytrace import trace
from sgt.data.toyworld.scene import Scene

SPEC = Toyworld(source="toyworld", split="vqa", scenes=120, seed=3, edits=True)


@dataclass(frozen=True)
class Made:
    """One sample, and the scene and label map that it must agree with."""

    scene: Scene
    labels: np.ndarray
    record: dict
    files: dict[str, bytes]

    @property
    def questions(self) -> list[dict]:
        """Of the record."""
        return self.record["questions"]


@pytest.fixture(scope="session")
def samples() -> list[Made]:
    """The first scenes of a dataset with edits."""
    made = []
    for index in range(SPEC.scenes):
        key, files = make_sample(SPEC, index)
        assert key == f"vqa-{index:06d}"
        scene = sample_scene(SPEC.seed, SPEC.split, index, SPEC.size)
        made.append(Made(scene, trace(scene, SPEC.size).labels, json.loads(files["json"]), files))
    return made
