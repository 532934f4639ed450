"""What text reads from images: its mean is what the formula gives, and with it in place images make no difference."""

import pytest
import torch

from sgt.errors import SgtError
from sgt.models.capture import Capturer
from sgt.models.interface import Decoding, Request
from sgt.models.vision_reads import ANSWER, EMPTY, TEXT, VISION, MeanAblation, MeanReads
from tests.models.conftest import OF_OFFICIAL_CODE
from tests.models.test_capture import picture

QUESTIONS = ("how many cubes are there", "where")
CONTINUATIONS = [["two"], ["left"]]


def asked(seed: int) -> list[Request]:
    image = picture(seed)
    return [Request((image, question), system="be short") for question in QUESTIONS]


def total(likelihoods) -> torch.Tensor:
    return torch.tensor([each.logprob + each.end_logprob for (each,) in likelihoods])


def test_what_text_reads_is_what_the_formula_gives(monkeypatch):
    """Two rows, a cache of three tokens, grouped heads, and one query at a time."""
    monkeypatch.setattr("sgt.models.recorder.SCORES", 1)
    draw = torch.Generator().manual_seed(0)
    query = torch.randn(2, 4, 3, 8, generator=draw)
    key, value = (torch.randn(2, 2, 6, 8, generator=draw) for _ in range(2))
    kinds = torch.tensor(
        [[TEXT, VISION, VISION, TEXT, TEXT, ANSWER], [VISION, EMPTY, VISION, TEXT, ANSWER, EMPTY]], dtype=torch.uint8
    )
    # The first query of the first row sees no image.
    mask = (kinds > EMPTY)[:, None, None].repeat(1, 1, 3, 1)
    mask[0, 0, 0, 1:3] = False
    heads = value.repeat_interleave(2, dim=1)
    scores = query @ key.repeat_interleave(2, dim=1).transpose(2, 3) * 8**-0.5
    weights = scores.masked_fill(~mask, -torch.inf).softmax(-1)
    is_vision = (kinds == VISION)[:, None, None]
    whole, read, share = weights @ heads, (weights * is_vision) @ heads, (weights * is_vision).sum(-1, keepdim=True)
    # Attention of the same scores, over text alone.
    of_text = scores.masked_fill(~mask | is_vision, -torch.inf).softmax(-1) @ heads
    torch.testing.assert_close(read + (1 - share) * of_text, whole)
    collected = MeanReads([3])
    torch.testing.assert_close(collected.attention(3, query, key, value, mask, kinds), whole)
    assert collected.counts == [2, 2]
    readers = {TEXT: [(0, 1), (1, 0)], ANSWER: [(0, 2), (1, 1)]}
    means = {
        kind: [sum(values[row, :, place] for row, place in places) / 2 for values in (read, share)]
        for kind, places in readers.items()
    }
    torch.testing.assert_close(
        collected.means[3].float(), torch.stack([torch.cat(each, -1) for each in means.values()])
    )
    out = MeanAblation([3], collected.means).attention(3, query, key, value, mask, kinds)
    want = whole.clone()
    for kind, places in readers.items():
        of_read, of_share = means[kind]
        for row, place in places:
            want[row, :, place] = of_read + (1 - of_share) * of_text[row, :, place]
    torch.testing.assert_close(out, want)


@OF_OFFICIAL_CODE
def test_images_make_no_difference_where_all_layers_are_ablated(model):
    before = total(model.loglikelihood(asked(0), CONTINUATIONS))
    replies = model.answer(asked(0), Decoding(3))
    reads = MeanReads([0, 1])
    with model.reading_vision(reads):
        torch.testing.assert_close(total(model.loglikelihood(asked(0), CONTINUATIONS)), before, rtol=0, atol=1e-4)
        model.loglikelihood(asked(1), CONTINUATIONS)
    # Of two images: the token before each answer and its words; and everything but images after the first image.
    ids = model.ids if hasattr(model, "ids") else model.chats.ids
    texts, answers = reads.counts
    assert answers == 2 * sum(1 + len(ids(text)) for (text,) in CONTINUATIONS)
    assert texts >= 2 * sum(len(ids(question)) for question in QUESTIONS)
    ablated = {}
    for layers in ([0, 1], [0]):
        with model.reading_vision(MeanAblation(layers, reads.means)):
            ablated[len(layers)] = [total(model.loglikelihood(asked(seed), CONTINUATIONS)) for seed in (0, 1)]
    one, other = ablated[2]
    torch.testing.assert_close(one, other, rtol=0, atol=1e-4)
    one, other = ablated[1]
    assert (one - other).abs().max() > 1e-4
    assert (before - one).abs().max() > 1e-4
    # Outside of the context nothing is changed.
    torch.testing.assert_close(total(model.loglikelihood(asked(0), CONTINUATIONS)), before, rtol=0, atol=0)
    assert model.answer(asked(0), Decoding(3)) == replies


def test_a_family_without_kinds_of_tokens_refuses():
    with pytest.raises(SgtError, match="does not mark the tokens of images"):
        Capturer.reading_vision(object(), MeanReads([0]))
