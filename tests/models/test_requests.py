"""Requests of interleaved text and images, in every family: one call's results are those of separate calls."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from PIL import Image

from sgt.models.examples import InputImage, QAPair
from sgt.models.interface import Decoding, Reply, Request, Sampling
from sgt.models.prefixes import shared_prefixes
from tests.models.conftest import OF_OFFICIAL_CODE

SAMPLING = Sampling(num_steps=2, cfg_text_scale=3.0, cfg_image_scale=1.5, cfg_interval=(0.0, 1.0))


def picture(seed: int, side: int = 48) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 255, (side, side, 3), dtype=np.uint8))


def requests() -> list[Request]:
    """Requests of all shapes; some begin with the same image."""
    first, second = picture(0), picture(1, 40)
    return [
        Request((first, "how many cubes are there")),
        Request(("what is a cube",)),
        Request((first, second, "which of the two has a ball")),
        Request(("look at", first, "and say where it is")),
        Request((first, "why"), system="think first"),
        Request((second,)),
        Request((first, "is it", "left of the ball"), system=""),
        Request(("what", "colour"), system="be short"),
        Request((first, "a", second, "b")),
    ]


def test_one_call_answers_as_separate_calls_do(model):
    for decoding in (Decoding(6), Decoding(6, temperature=1.0, seed=3)):
        together = model.answer(requests(), decoding)
        assert together == [model.answer([request], decoding)[0] for request in requests()]
        assert len({reply.text for reply in together}) > 3 or decoding.temperature == 0


def test_every_part_of_a_request_and_its_order_matters(model):
    """Seen in the log-probability of one answer."""
    first, second = picture(0), picture(1)
    contents = [
        (first, "how many"),
        (second, "how many"),
        ("how many",),
        ("how many", first),
        (first, second, "how many"),
        (second, first, "how many"),
        (first, "how", second, "many"),
        (first,),
        (),
    ]
    asked = [Request(content, system) for content in contents for system in (None, "be short")]
    found = model.loglikelihood(asked, [["two cubes"]] * len(asked))
    values = sorted(each.logprob for (each,) in found)
    assert min(b - a for a, b in pairwise(values)) > 1e-6


def test_likelihoods_are_those_of_separate_calls(model):
    texts = [
        ["one", "two red cubes", "a"],
        ["it is a solid"],
        [],
        ["left", ""],
        ["so"],
        ["a", "b"],
        ["x"],
        ["y"],
        ["z"],
    ]
    together = model.loglikelihood(requests(), texts)
    assert [len(found) for found in together] == [len(some) for some in texts]
    for request, some, found in zip(requests(), texts, together, strict=True):
        for text, each in zip(some, found, strict=True):
            ((alone,),) = model.loglikelihood([request], [[text]])
            assert each.tokens == alone.tokens
            assert each.logprob == pytest.approx(alone.logprob, abs=1e-4)
            assert each.end_logprob == pytest.approx(alone.end_logprob, abs=1e-4)
    assert (together[3][1].tokens, together[3][1].logprob) == (0, 0.0)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_answers_and_likelihoods_of_requests_that_are_read_once_are_those_of_two_calls(model, temperature):
    texts = [[f"{place} cubes", "a"][: 1 + place % 2] for place in range(len(requests()))]
    decoding = Decoding(max_new_tokens=5, temperature=temperature)
    both = model.answer_and_rate(requests(), decoding, texts)
    assert [Reply(each.text, each.tokens, each.finish_reason) for each in both] == model.answer(requests(), decoding)
    assert [each.likelihoods for each in both] == model.loglikelihood(requests(), texts)
    assert model.answer_and_rate([], decoding, []) == []


def test_the_likelihood_of_an_answer_is_its_training_loss(model):
    image, options = picture(0), ["one", "two of them", "a red cube and a ball"]
    (found,) = model.loglikelihood([Request((image, "how many"))], [options])
    for option, each in zip(options, found, strict=True):
        batch = model.batch([[InputImage(image, vqa=True), QAPair("how many", option)]], [0])
        assert batch.ce_tokens == each.tokens + 1
        assert each.logprob + each.end_logprob == pytest.approx(-model.loss(batch, 1.0).ce.item(), rel=1e-4)


def test_questions_about_an_image_do_not_see_one_another(model):
    """Their loss is the same together, in any order, and each in an example of its own."""
    pairs = [QAPair("how many", "two"), QAPair("what is left of the ball", "a red cube"), QAPair("why", "so")]
    together = [[InputImage(picture(0), vqa=True), *some] for some in (pairs, pairs[::-1])]
    apart = [[InputImage(picture(0), vqa=True), pair] for pair in pairs]
    (one, other, several) = (model.batch(examples, [0] * len(examples)) for examples in (*zip(together), apart))
    assert one.ce_tokens == several.ce_tokens and one.tokens < several.tokens
    want = model.loss(several, 1.0).ce.item()
    assert model.loss(one, 1.0).ce.item() == pytest.approx(want, rel=1e-4)
    assert model.loss(other, 1.0).ce.item() == pytest.approx(want, rel=1e-4)


@OF_OFFICIAL_CODE
def test_a_reply_tells_its_tokens_and_why_it_ended(model, monkeypatch):
    request = [Request((picture(0), "how many"))]
    reply = model.answer(request, Decoding(5, temperature=1.0))[0]
    assert (reply.tokens, reply.finish_reason) == (5, "length")
    bagel = hasattr(model, "special")
    end = model.special.eos if bagel else model.chats.special.end
    context = type(model._read(request) if bagel else model._read(request)[0])
    read, calls = context.read, []

    def ends_after_two(self, ids):
        logits = read(self, ids)
        if all(len(row) == 1 for row in ids):
            calls.append(len(ids))
            logits[:, end] = torch.inf if len(calls) > 2 else -torch.inf
        return logits

    monkeypatch.setattr(context, "read", ends_after_two)
    reply = model.answer(request, Decoding(5))[0]
    assert (reply.tokens, reply.finish_reason, len(calls)) == (2, "stop", 3)
    calls.clear()
    assert model.answer(request, Decoding(2))[0].finish_reason == "length"


def test_images_depend_on_the_content_of_their_own_request(model):
    first, second = picture(0), picture(1)
    asked = [
        Request(content) for content in (("a ball",), (first, "a ball"), (first, second, "a ball"), (second, first))
    ]
    for edit in (False, True):
        together = model.generate(asked, SAMPLING, seeds=[0, 1, 2, 3], size=(48, 48), edit=edit)
        for place, request in enumerate(asked):
            (alone,) = model.generate([request], SAMPLING, seeds=[place], size=(48, 48), edit=edit)
            assert np.abs(np.asarray(alone, int) - np.asarray(together[place], int)).max() <= 1


def test_prefixes_are_shared_by_the_same_image_objects():
    shared = shared_prefixes(requests())
    assert shared.prefix_of == [0, 1, 2, 3, 4, 5, 6, 7, 8]
    first = picture(0)
    shared = shared_prefixes([Request((first, "a")), Request((first, "b", "c")), Request((picture(0), "a"))])
    assert (shared.prefix_of, shared.tails) == ([0, 0, 1], [("a",), ("b", "c"), ("a",)])
    assert shared.prefixes[0] == Request((first,))
