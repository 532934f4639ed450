"""Questions that share an image and do not see one another: each is answered as if it were alone."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sgt.models.attention import split_mask
from sgt.models.examples import InputImage, QAPair, Text
from sgt.models.registry import load_model
from sgt.study.load import load_study
from tests.models.calls import whole_answer_logprobs

ASKED = [("how many cubes are there", "two"), ("is there a red ball", "no"), ("which is nearer", "the ball")]


@pytest.fixture
def model(study):
    return load_model(load_study(study).models["micro"], Path("base/micro"))


@pytest.fixture
def image():
    return Image.fromarray(np.random.default_rng(0).integers(0, 255, (48, 48, 3), dtype=np.uint8))


def errors(model, example) -> torch.Tensor:
    """Cross-entropy per learned token."""
    batch = model.batch([example], [0])
    with torch.no_grad():
        return model.network(batch, batch.vae_sample_noise, 1.0).ce


def test_each_question_is_as_if_it_were_alone(model, image):
    alone = [errors(model, [InputImage(image), QAPair(*exchange)]) for exchange in ASKED]
    together = errors(model, [InputImage(image), *(QAPair(*exchange) for exchange in ASKED)])
    torch.testing.assert_close(together, torch.cat(alone), rtol=1e-5, atol=1e-5)
    backwards = errors(model, [InputImage(image), *(QAPair(*exchange) for exchange in reversed(ASKED))])
    torch.testing.assert_close(backwards, torch.cat(alone[::-1]), rtol=1e-5, atol=1e-5)


def test_an_exchange_alone_is_a_question_and_its_answer(model, image):
    question, answer = ASKED[0]
    turns = [InputImage(image), Text(question), Text(answer, supervised=True)]
    torch.testing.assert_close(errors(model, turns), errors(model, [InputImage(image), QAPair(question, answer)]))


def test_turns_of_a_conversation_do_see_one_another(model, image):
    turns = [part for q, a in ASKED for part in (Text(q), Text(a, supervised=True))]
    seeing = errors(model, [InputImage(image), *turns])
    alone = [errors(model, [InputImage(image), QAPair(*exchange)]) for exchange in ASKED]
    assert (seeing[: len(alone[0])] - alone[0]).abs().max() < 1e-5
    assert (seeing[len(alone[0]) :] - torch.cat(alone[1:])).abs().max() > 1e-4


def test_training_and_answering_see_the_same(model, image):
    """The score of an answer, from the cache, is what training would have said of it."""
    for question, answer in ASKED:
        trained = -errors(model, [InputImage(image), QAPair(question, answer)]).sum().item()
        assert whole_answer_logprobs(model, image, question, [answer])[0] == pytest.approx(trained, abs=1e-4)


def test_the_mask_hides_asides_from_what_follows():
    # A causal split of two, an aside of two, an aside of one, a causal split of one.
    mask = split_mask([6], [2, 2, 1, 1], ["causal", "aside", "aside", "causal"])[0]
    expected = [
        [1, 0, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0],
        [1, 1, 1, 0, 0, 0],
        [1, 1, 1, 1, 0, 0],
        [1, 1, 0, 0, 1, 0],
        [1, 1, 0, 0, 0, 1],
    ]
    assert mask.squeeze().int().tolist() == expected
