"""Asking and drawing through the common interface: neighbours, seeds, editing, what is too large, other precisions."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sgt.errors import SgtError
from sgt.models.decoding import seeded
from sgt.models.examples import InputImage, QAPair, TargetImage, Text
from sgt.models.interface import Request, Sampling
from sgt.models.omnigen2 import inference as omnigen2_inference
from sgt.models.omnigen2 import language
from sgt.models.omnigen2.model import OmniGen2
from sgt.models.omnigen2.prompts import ANSWER, ASSISTANT, END, IMAGE, USER, system
from sgt.models.omnigen2.rows import IGNORED, Chat, collate
from sgt.models.omnigen2.rules import OmniGen2Images
from tests.conftest import OMNIGEN2
from tests.models.bagel.test_inference import picture, pixels
from tests.models.calls import answers, generated, whole_answer_logprobs

IMAGES = OmniGen2Images(input_image=OMNIGEN2["input_image"], target_image=OMNIGEN2["target_image"])
SETTINGS = Sampling(num_steps=4, cfg_text_scale=3.0, cfg_image_scale=1.5, cfg_interval=(0.0, 1.0), shift="dynamic_v2")


@pytest.fixture
def model(study_omnigen2):
    model = OmniGen2.from_checkpoint(Path("base/micro-omnigen2"), IMAGES)
    # The created output projection starts at zero, and six steps of training hardly move it.
    with torch.no_grad():
        model.network.transformer.norm_out.linear_2.weight.normal_(std=0.3, generator=torch.Generator().manual_seed(0))
    return model


def test_questions_share_an_image_and_do_not_depend_on_one_another(model):
    asked = [["how many", "where is it", "is there a cube or a ball"], ["what colour"]]
    together = answers(model, [picture(0), picture(1)], asked, 5)
    alone = [[answers(model, [picture(i)], [[q]], 5)[0][0] for q in questions] for i, questions in enumerate(asked)]
    assert together == alone


@torch.no_grad()
def test_answers_read_on_from_a_cache_are_those_of_the_whole_chat(model):
    text = (*system(ANSWER), *USER, *IMAGE, "how many", END, "\n", *ASSISTANT)
    said: list[int] = []
    for _ in range(4):
        chat = Chat(model.chats.special, 512)
        chat.add(model.chats.ids(*text), [model.vit_transform(picture(0))])
        chat.add(said)
        hidden = language.hidden_states(model.network.mllm, collate([chat]))
        token = int(model.network.mllm.lm_head(hidden[0, -1]).argmax())
        if token == model.chats.special.end:
            break
        said.append(token)
    assert answers(model, [picture(0)], [["how many"]], 4) == [[model.tokenizer.decode(said).strip()]]


def test_a_score_is_the_log_probability_that_training_lowers_the_loss_of(model):
    options = ["one", "a red cube", "two of them"]
    scores = whole_answer_logprobs(model, picture(0), "how many", options)
    for option, score in zip(options, scores, strict=True):
        batch = model.batch([[InputImage(picture(0)), QAPair("how many", option)]], [0])
        assert batch.ce_tokens == len(model.chats.ids(option)) + 1
        assert score == pytest.approx(-model.loss(batch, 1.0).ce.item(), rel=1e-4)


def test_exchanges_on_one_image_are_learned_as_if_each_had_the_image_to_itself(model):
    exchanges = [QAPair("how many", "two"), QAPair("where is the red ball", "left top"), QAPair("why", "so")]
    together = model.batch([[InputImage(picture(0)), *exchanges]], [0])
    apart = model.batch([[InputImage(picture(0)), one] for one in exchanges], [0, 0, 0])
    assert together.ce_tokens == apart.ce_tokens and together.tokens < apart.tokens
    torch.testing.assert_close(model.loss(together, 1.0).ce, model.loss(apart, 1.0).ce)


def test_tokens_are_counted_without_collating(model):
    turns = [Text("what is it"), Text("a cube", supervised=True), Text("which"), Text("red", supervised=True)]
    for example in (
        [InputImage(picture(0)), Text("paint it"), TargetImage(picture(1))],
        [TargetImage(picture(1, 32))],
        [InputImage(picture(2, 40)), QAPair("how many", "two"), QAPair("where", "left")],
        [InputImage(picture(2)), *turns],
        turns,
    ):
        assert model.tokens(example) == model.batch([example], [0]).tokens


def test_answers_may_weigh_as_their_length_says(model):
    example = [InputImage(picture(0)), QAPair("how many", "two"), QAPair("why", "because it is so")]
    plain = model.batch([example], [0])
    model.length_weighted = True
    weighted = model.batch([example], [0])
    lengths = [len(model.chats.reply(answer)) for answer in ("two", "because it is so")]
    assert plain.ce_tokens == sum(lengths)
    assert weighted.ce_tokens == pytest.approx(sum(length**0.5 for length in lengths))
    errors = model.network.text_errors(weighted.answers).split(lengths)
    want = sum(error.sum() / length**0.5 for error, length in zip(errors, lengths, strict=True))
    torch.testing.assert_close(model.loss(weighted, 1.0).ce, want)


@pytest.mark.parametrize(
    ("example", "lacking"),
    [
        ([InputImage(picture(0)), QAPair("how many", "two")], ("transformer.",)),
        ([InputImage(picture(0)), TargetImage(picture(1))], ("mllm.lm_head.",)),
        ([Text("what"), Text("this", supervised=True)], ("transformer.", "mllm.model.visual.")),
    ],
)
def test_a_trained_part_that_a_batch_lacks_has_a_gradient_of_zero_and_a_frozen_one_is_not_run(example, lacking, model):
    """As in several processes and as BAGEL: otherwise the optimizer's moments would depend on the number of them."""
    unused = ("transformer.ref_image", "transformer.image_index")
    batch = model.batch([example], [0])
    losses = model.loss(batch, 1.0)
    (losses.ce + losses.mse).backward()
    for name, parameter in model.network.named_parameters():
        assert (parameter.grad is None) == name.startswith(unused), name
        assert parameter.grad is None or not name.startswith(lacking) or not parameter.grad.any(), name
        parameter.requires_grad_(not name.startswith(lacking))
        parameter.grad = None
    with_frozen_parts = model.loss(batch, 1.0)
    torch.testing.assert_close(vars(with_frozen_parts), vars(losses))
    (with_frozen_parts.ce + with_frozen_parts.mse).backward()
    ran = {name for name, parameter in model.network.named_parameters() if parameter.grad is not None}
    assert ran and not any(name.startswith(lacking) for name in ran)


def test_a_conversation_learns_every_answer_and_the_end_of_its_turn(model):
    turns = [Text("what is it"), Text("a cube", supervised=True), Text("which colour"), Text("red", supervised=True)]
    chat = model.chats.chat_of([InputImage(picture(0)), *turns])
    supervised = [token for token in chat.labels if token != IGNORED]
    text = model.tokenizer.decode(supervised, skip_special_tokens=False)
    assert text == f"a cube{END}red{END}"
    # A text alone is a chat too.
    assert IGNORED in model.chats.chat_of(turns[:2]).labels


def test_drawn_answers_depend_on_seed_and_question_alone(model):
    questions = [f"question {i}" for i in range(12)]
    drawn = answers(model, [picture(0)], [questions], 6, temperature=1.0, seed=1)[0]
    assert drawn[::-1] == answers(model, [picture(0)], [questions[::-1]], 6, temperature=1.0, seed=1)[0]
    assert drawn != answers(model, [picture(0)], [questions], 6, temperature=1.0, seed=2)[0]


@pytest.mark.parametrize("edit", [False, True])
def test_an_image_depends_on_its_prompt_and_seed_and_not_on_its_neighbours(model, edit):
    prompts, seeds, images = ["a red cube", "two balls"], [3, 4], [picture(0), picture(1)]
    both = pixels(generated(model, prompts, seeds, (48, 48), SETTINGS, images, edit))
    for place in (0, 1):
        alone = generated(model, prompts[place : place + 1], [seeds[place]], (48, 48), SETTINGS, [images[place]], edit)
        assert np.abs(pixels(alone)[0] - both[place]).max() <= 1
    other = pixels(generated(model, prompts, [5, 4], (48, 48), SETTINGS, images, edit))
    assert np.abs(other[0] - both[0]).max() > 1 and np.abs(other[1] - both[1]).max() <= 1


def test_shown_and_edited_images_both_matter_and_differently(model):
    drawn = [
        pixels(generated(model, ["a"], [0], (48, 48), SETTINGS, images, edit))
        for images, edit in ((None, False), ([picture(0)], False), ([picture(0)], True), ([picture(1)], True))
    ]
    assert all((one != other).any() for place, one in enumerate(drawn) for other in drawn[:place])


def test_several_images_to_edit_are_references_in_their_order(model, monkeypatch):
    """As in the official pipeline: latents for the transformer, each with its index, unseen by the language model."""
    sampled, given = omnigen2_inference.sample_latents, []

    def recorded(transformer, branches, noise, sampling):
        given.append(branches)
        return sampled(transformer, branches, noise, sampling)

    monkeypatch.setattr(omnigen2_inference, "sample_latents", recorded)
    images = [picture(0), picture(1, 40), picture(2, 24), picture(3), picture(4)]
    asked = [Request((*images, "a")), Request((images[1], images[0], "a")), Request(("a",))]
    made = pixels(model.generate(asked, SETTINGS, seeds=[0] * 3, size=(48, 48), edit=True))
    assert all((one != other).any() for place, one in enumerate(made) for other in made[:place])
    full, without_text, without_both = given[0]
    draws = [torch.Generator().manual_seed(seeded(0, "image to edit\na").initial_seed()) for _ in asked]
    for request, draw, latents in zip(asked, draws, full.references, strict=True):
        pixels_of = [model.vae_transform(image) for image in request.images]
        want = [
            model._encode([x], [torch.randn(model._latent_shape(*x.shape[1:]), generator=draw)])[0] for x in pixels_of
        ]
        assert len(latents) == len(want)
        for latent, wanted in zip(latents, want, strict=True):
            torch.testing.assert_close(latent, wanted)
    assert without_text.references == full.references and without_both.references == [[], [], []]
    assert torch.equal(full.features[0], full.features[2])
    with pytest.raises(SgtError, match="reference images: 6 are more than 5; give fewer"):
        model.generate([Request((*images, picture(5), "a"))], SETTINGS, seeds=[0], size=(48, 48), edit=True)


def test_a_negative_prompt_and_a_solver_change_the_image(model):
    base = pixels(generated(model, ["a"], [0], (48, 48), SETTINGS))
    for changes in ({"negative_prompt": ""}, {"negative_prompt": "blurry"}, {"solver": "dpmsolver++"}, {"shift": 1.0}):
        changed = Sampling(**{**vars(SETTINGS), **changes})
        assert (pixels(generated(model, ["a"], [0], (48, 48), changed)) != base).any(), changes


def test_a_size_it_does_not_make_is_made_smaller_and_scaled_back(model):
    (image,) = generated(model, ["a"], [0], (45, 52), SETTINGS)
    assert image.size == (52, 45)


def test_too_much_is_one_line(model):
    with pytest.raises(SgtError, match=r"prompt: \d+ positions exceed the context of 512; use a shorter text"):
        answers(model, [picture(0)], [["long " * 600]], 3)
    with pytest.raises(SgtError, match=r"prompt: \d+ positions exceed the context of 512"):
        generated(model, ["long " * 600], [0], (48, 48), SETTINGS)
    model.vae_transform.max_pixels = 64 * 64
    model.vae_transform.longest = 64
    with pytest.raises(SgtError, match="generated image: 8x8 tokens exceed the 6x6 position table"):
        generated(model, ["a"], [0], (64, 64), SETTINGS)
    with pytest.raises(SgtError, match=r"prompt: \d+ positions exceed the context of 512"):
        model.batch([[Text("long " * 600, supervised=True)]], [0])
    with pytest.raises(SgtError, match="image: 4000x2 is too narrow"):
        answers(model, [Image.new("RGB", (4000, 2))], [["what"]], 3)
    with pytest.raises(SgtError, match=r"input_image\.image_stride: 28, a token of the vision tower has 8 pixels"):
        wrong = IMAGES.input_image.model_copy(update={"image_stride": 28})
        OmniGen2.from_checkpoint(model.folder, IMAGES.model_copy(update={"input_image": wrong}))


def test_the_vision_tower_is_given_what_the_processor_of_qwen_gives(model):
    """Worked out here from its description: patches of one token together, each colour by copy, row and column."""
    folder = Path("base/micro-omnigen2/processor/preprocessor_config.json")
    about = json.loads(folder.read_text())
    shown = model.vit_transform(picture(3))
    patch, merge = about["patch_size"], about["merge_size"]
    assert shown.grid == (1, 12, 12) and shown.tokens == (6, 6)
    colours = np.asarray(picture(3), float) / 255
    colours = (colours - about["image_mean"]) / about["image_std"]
    row = 0
    for token_row in range(6):
        for token_column in range(6):
            for inner in range(merge * merge):
                top = (token_row * merge + inner // merge) * patch
                left = (token_column * merge + inner % merge) * patch
                cut = colours[top : top + patch, left : left + patch].transpose(2, 0, 1)
                want = np.repeat(cut[:, None], about["temporal_patch_size"], axis=1).ravel()
                np.testing.assert_allclose(shown.pixels[row], want, atol=1e-5)
                row += 1


@pytest.mark.parametrize(
    ("size", "bounds", "want"),
    [
        ((640, 480), (1003520, 200704), (644, 476)),
        ((100, 60), (1003520, 200704), (588, 364)),
        ((3000, 2000), (1003520, 200704), (1204, 812)),
    ],
)
def test_images_are_scaled_between_the_bounds_of_qwen(size, bounds, want, model):
    transform = type(model.vit_transform)(*bounds)
    assert transform.size(*size) == want
    assert bounds[1] <= math.prod(want) <= bounds[0] and not any(side % 28 for side in want)


def losses(model, autocast: bool = False) -> torch.Tensor:
    examples = [
        [InputImage(picture(0)), Text("paint it"), TargetImage(picture(1))],
        [InputImage(picture(2)), QAPair("how many", "two"), QAPair("where", "left")],
    ]
    model.autocast = autocast
    terms = model.loss(model.batch(examples, [0, 1]), 1.0)
    (terms.ce + terms.mse).backward()
    norm = torch.stack([p.grad.float().norm() for p in model.network.parameters() if p.grad is not None]).norm()
    return torch.stack([terms.ce, terms.mse, norm]).detach().float()


def test_bf16_weights_and_bf16_autocast_give_nearly_the_same_losses(study_omnigen2):
    folder = Path("base/micro-omnigen2")
    exact = losses(OmniGen2.from_checkpoint(folder, IMAGES))
    torch.testing.assert_close(losses(OmniGen2.from_checkpoint(folder, IMAGES), True), exact, rtol=0.03, atol=0.01)
    half = OmniGen2.from_checkpoint(folder, IMAGES, dtype=torch.bfloat16)
    assert {p.dtype for p in half.network.parameters()} == {torch.bfloat16}
    torch.testing.assert_close(losses(half), exact, rtol=0.03, atol=0.01)
    assert answers(half, [picture(0)], [["how many"]], 4) and generated(half, ["a red cube"], [0], (48, 48), SETTINGS)
