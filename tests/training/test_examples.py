"""Conversations as examples: where the image goes, and records that have none; a run on LLaVA-OneVision's shards."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from sgt.config.datasets import Toyworld
from sgt.data.images import decode_image, encode_jpeg
from sgt.data.mixture import Draw
from sgt.data.shards import Sample
from sgt.data.toyworld.dataset import make_sample
from sgt.errors import SgtError
from sgt.models.examples import InputImage, TargetImage, Text
from sgt.training.examples import SHARPEN_PROMPT, edit_example, sharpen_example, vqa_example
from tests.conftest import sgt
from tests.data.sources.releases import write_llava_onevision

IMAGE = encode_jpeg(np.zeros((8, 8, 3), np.uint8))


def example(turns: list[tuple[str, str]], image: bool = True) -> list:
    """What an example is made of, an image as ``None``."""
    conversation = [{"from": speaker, "value": value} for speaker, value in turns]
    files = {"json": json.dumps({"conversations": conversation}).encode(), **({"jpg": IMAGE} if image else {})}
    parts = vqa_example(Sample(Path("shard.tar"), "key", files))
    return [None if isinstance(part, InputImage) else part for part in parts]


ANSWER = Text("red", supervised=True)


@pytest.mark.parametrize(
    ("asked", "parts"),
    [
        ("<image>\nwhat colour?", [None, Text("what colour?")]),
        ("what colour?\n<image>", [Text("what colour?"), None]),
        ("here <image> what colour?", [Text("here"), None, Text("what colour?")]),
        ("what colour?", [None, Text("what colour?")]),
        ("<image>", [None]),
    ],
)
def test_the_image_is_where_the_mark_is(asked, parts):
    assert example([("human", asked), ("gpt", "red")]) == [*parts, ANSWER]


def test_a_later_turn_may_show_the_image():
    turns = [("human", "hello"), ("gpt", "yes?"), ("human", "<image> what colour?"), ("gpt", "red")]
    parts = [Text("hello"), Text("yes?", supervised=True), None, Text("what colour?"), ANSWER]
    assert example(turns) == parts


def test_a_record_without_an_image_is_text_alone():
    assert example([("human", "what colour?"), ("gpt", "red")], image=False) == [Text("what colour?"), ANSWER]
    with pytest.raises(SgtError, match="1 times <image> for no image"):
        example([("human", "<image>\nwhat colour?"), ("gpt", "red")], image=False)


@pytest.fixture
def scene() -> Sample:
    """A scene with an edit."""
    key, files = make_sample(Toyworld(source="toyworld", split="pretrain", scenes=1, edits=True), 0)
    return Sample(Path("shard.tar"), key, files)


def test_an_edit_shows_the_image_and_makes_the_edited_one(scene):
    shown, instruction, made = edit_example(scene)
    assert isinstance(shown, InputImage) and isinstance(made, TargetImage)
    assert instruction == Text(scene.json()["edit"]["instruction"])
    for part, name in ((shown, "jpg"), (made, "edit.jpg")):
        assert np.array_equal(np.asarray(part.image), np.asarray(decode_image(scene.files[name], "test")))
    without = replace(scene, files={**scene.files, "json": json.dumps({**scene.json(), "edit": None}).encode()})
    with pytest.raises(SgtError, match=r"shard.tar: pretrain-000000.json: .*edit.instruction"):
        edit_example(without)


def test_super_resolution_shows_a_blurred_image_and_makes_the_sharp_one(scene):
    blurs = set()
    for number in range(12):
        shown, prompt, made = sharpen_example(scene, Draw("sharpen", number, 0), seed=0)
        assert prompt == Text(SHARPEN_PROMPT) and made.image.size == shown.image.size == (48, 48)
        assert np.array_equal(np.asarray(made.image), np.asarray(decode_image(scene.files["jpg"], "test")))
        detail = [np.abs(np.diff(np.asarray(part.image, float), axis=1)).mean() for part in (shown, made)]
        assert detail[0] < 0.9 * detail[1]
        again = sharpen_example(scene, Draw("sharpen", number, 0), seed=0)[0]
        assert np.array_equal(np.asarray(again.image), np.asarray(shown.image))
        blurs.add(shown.image.tobytes())
    # By a half, a third and a quarter.
    assert len(blurs) == 3


def test_a_run_learns_from_conversations_with_and_without_images(study):
    write_llava_onevision(Path("downloads/llava-onevision"))
    record = {"revision": "0" * 40, "licence": "none", "files": {}}
    Path("downloads/llava-onevision/fetched.json").write_text(json.dumps(record))
    content = yaml.safe_load(study.read_text())
    content["datasets"]["ov"] = {"source": "llava-onevision", "samples": 30}
    content["data"]["vqa"] = "ov"
    content["recipe"]["steps"] = 4
    study.write_text(yaml.safe_dump(content))
    sgt("shards", study, "ov", "--workers", 1)
    sgt("train", study, "--model", "micro", "--arm", "sft", "--seed", 0)
    losses = [json.loads(line) for line in Path("results/runs/micro/sft/seed0/metrics.jsonl").read_text().splitlines()]
    assert len(losses) == 4 and all(line["ce"] > 0 for line in losses)
