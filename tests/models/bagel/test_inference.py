"""Asking and drawing through the common interface: chance and seeds, what is too large, other precisions."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sgt.config.models import Model
from sgt.errors import SgtError
from sgt.models.bagel.context import Context
from sgt.models.bagel.model import Bagel
from sgt.models.decoding import Continuation, generate_tokens, seeded
from sgt.models.examples import InputImage, Text
from sgt.models.interface import Decoding, Sampling
from sgt.models.registry import load_model
from sgt.study.load import load_study
from tests.conftest import MODEL
from tests.models.calls import answers, generated, whole_answer_logprobs

SIZES = (MODEL["vit_image"], MODEL["vae_image"])
SETTINGS = Sampling(num_steps=4, cfg_text_scale=3.0, cfg_image_scale=1.5, cfg_interval=(0.0, 1.0), renorm="channel")


@pytest.fixture
def model(study):
    return Bagel.from_checkpoint(Path("base/micro"), *SIZES)


def picture(seed: int, side: int = 48) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 255, (side, side, 3), dtype=np.uint8))


def pixels(images) -> np.ndarray:
    return np.stack([np.asarray(image, int) for image in images])


def test_questions_share_an_image_and_do_not_depend_on_one_another(model):
    asked = [["how many", "where is it", "is there a cube or a ball"], ["what colour"]]
    together = answers(model, [picture(0), picture(1)], asked, 5)
    alone = [[answers(model, [picture(i)], [[q]], 5)[0][0] for q in questions] for i, questions in enumerate(asked)]
    assert together == alone


def test_drawn_answers_depend_on_seed_and_question_alone(model):
    questions = [f"question {i}" for i in range(12)]
    drawn = answers(model, [picture(0)], [questions], 6, temperature=1.0, seed=1)[0]
    assert drawn == answers(model, [picture(0)], [questions], 6, temperature=1.0, seed=1)[0]
    assert drawn[::-1] == answers(model, [picture(0)], [questions[::-1]], 6, temperature=1.0, seed=1)[0]
    assert drawn != answers(model, [picture(0)], [questions], 6, temperature=1.0, seed=2)[0]
    greedy = answers(model, [picture(0)], [questions], 6)[0]
    assert drawn != greedy
    assert answers(model, [picture(0)], [questions], 6, temperature=1e-6, seed=1)[0] == greedy


@torch.no_grad()
def test_draws_follow_the_softmax(model):
    rows, temperature = 4000, 0.7
    context = Context(model.network, model.special, 1)
    context.add_vit([model.vit_transform(picture(0))])
    logits = context.select([0]).read([[model.special.bos]])[0]
    probabilities = (logits / temperature).softmax(-1)
    draws = [seeded(seed, "q") for seed in range(rows)]
    decoding, markers = Decoding(1, temperature), (model.special.bos, model.special.eos)
    drawn = [row.ids for row in generate_tokens(context.select([0] * rows), *markers, decoding, draws)]
    first = torch.tensor([ids[0] if ids else model.special.eos for ids in drawn])
    counts = torch.bincount(first, minlength=len(logits))
    common = probabilities > 5 / rows
    error = (counts - rows * probabilities)[common] / (rows * probabilities * (1 - probabilities))[common].sqrt()
    assert common.sum() > 20
    assert error.abs().max() < 4.5 and 0.7 < error.square().mean() < 1.4


@pytest.mark.parametrize("edit", [False, True])
def test_an_image_depends_on_its_prompt_and_seed_and_not_on_its_neighbours(model, edit):
    prompts, seeds, images = ["a red cube", "two balls"], [3, 4], [picture(0), picture(1)]
    both = pixels(generated(model, prompts, seeds, (48, 48), SETTINGS, images, edit))
    for place in (0, 1):
        alone = generated(model, prompts[place : place + 1], [seeds[place]], (48, 48), SETTINGS, [images[place]], edit)
        assert np.abs(pixels(alone)[0] - both[place]).max() <= 1
    other = pixels(generated(model, prompts, [5, 4], (48, 48), SETTINGS, images, edit))
    assert np.abs(other[0] - both[0]).max() > 1 and np.abs(other[1] - both[1]).max() <= 1


def test_an_image_to_edit_is_seen_through_the_vae_too(model):
    shown, edited = (
        pixels(generated(model, ["a"], [0], (48, 48), SETTINGS, [picture(0)], edit)) for edit in (False, True)
    )
    assert (shown != edited).any()


def test_too_much_is_one_line(model):
    with pytest.raises(SgtError, match=r"prompt: \d+ positions exceed the context of 512; use a shorter text"):
        answers(model, [picture(0)], [["long " * 600]], 3)
    with pytest.raises(SgtError, match=r"prompt: \d+ positions exceed the context of 512"):
        generated(model, ["long " * 600], [0], (48, 48), SETTINGS)
    with pytest.raises(SgtError, match="generated image: 8x8 tokens exceed the 6x6 position table"):
        generated(model, ["a"], [0], (64, 64), SETTINGS)
    with pytest.raises(SgtError, match=r"prompt: \d+ positions exceed the context of 512"):
        model.batch([[Text("long " * 600, supervised=True)]], [0])
    model.vit_transform.longest = model.vit_transform.shortest = 96
    with pytest.raises(SgtError, match="ViT image: 12x12 tokens exceed the 6x6 position table"):
        answers(model, [picture(0, 96)], [["what"]], 3)


def test_a_system_text_comes_first_and_a_thought_before_the_image(model, monkeypatch):
    read = []
    add_texts = Context.add_texts

    def recorded(context, texts):
        read.append([model.tokenizer.decode(text) for row in texts for text in row])
        return add_texts(context, texts)

    def think(context, first, last, decoding, reserve):
        assert decoding == Decoding(7)
        return [Continuation(model.ids(text), True) for text in ("red", "a blue ball")]

    monkeypatch.setattr(Context, "add_texts", recorded)
    monkeypatch.setattr("sgt.models.bagel.inference.generate_tokens", think)
    prompts, system = ["a red cube", "two balls"], "think first"
    thinking, shown = replace(SETTINGS, think_tokens=7), [picture(0), picture(1)]
    thought = pixels(generated(model, prompts, [0, 1], (48, 48), thinking, shown, system=system))
    assert read == [[system] * 2, [system] * 2, prompts, prompts, ["red", "a blue ball"]]
    assert (thought != pixels(generated(model, prompts, [0, 1], (48, 48), SETTINGS, [picture(0), picture(1)]))).any()
    monkeypatch.undo()
    monkeypatch.setattr(Context, "add_texts", recorded)
    read.clear()
    answers(model, [picture(0)], [["how many", "where"]], 2, system=system)
    assert read == [[system], ["how many", "where"]]


def test_an_image_of_part_of_a_token_is_refused(model):
    with pytest.raises(SgtError, match="generated image: 48x44 pixels are not multiples of 8; choose another size"):
        generated(model, ["a"], [0], (48, 44), SETTINGS)


def test_images_that_are_asked_about_may_be_seen_finer(study):
    """SGT-BAGEL shows proxies' images at 224 pixels and the VQA images at 980."""
    spec = load_study(study).models["micro"].model_copy(update={"vit_image": (24, 24, 8), "vqa_image": (48, 48, 8)})
    model = load_model(spec, Path("base/micro"))
    image, coarse = picture(0), load_model(spec.model_copy(update={"vqa_image": None}), Path("base/micro"))
    asked, painted = [InputImage(image, asked=True), Text("a")], [InputImage(image), Text("a")]
    assert [len(model.batch([example], [0]).packed_vit_tokens) for example in (asked, painted)] == [36, 9]
    assert [model.tokens(example) for example in (asked, painted)] == [
        model.batch([example], [0]).tokens for example in (asked, painted)
    ]
    assert whole_answer_logprobs(model, image, "what", ["a"]) != whole_answer_logprobs(coarse, image, "what", ["a"])
    made = [generated(one, ["a"], [0], (48, 48), SETTINGS, [image])[0].tobytes() for one in (model, coarse)]
    assert made[0] == made[1]
    with pytest.raises(ValueError, match="omnigen2 sees all images at vit_image"):
        Model(**{**spec.model_dump(), "family": "omnigen2"})
