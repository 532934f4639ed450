"""Batch sizes: found by trying, remembered, and without effect on the results."""

import pytest
import torch

from sgt.models import batching
from sgt.models.batching import BatchSizes
from sgt.models.capture import NoisyTarget
from sgt.models.interface import Decoding, Request
from tests.models.test_requests import SAMPLING, picture, requests


def test_batches_that_do_not_fit_are_halved_and_the_size_is_remembered():
    sizes, tried = BatchSizes(torch.device("cuda")), []

    def work(items: list[int]) -> list[int]:
        tried.append(len(items))
        if len(items) * 10 > 35:
            raise torch.OutOfMemoryError("too much")
        return [item * 2 for item in items]

    items = list(range(10))
    assert sizes.run("double", work, items, [10] * 10) == [item * 2 for item in items]
    assert tried == [10, 5, 2, 2, 2, 2, 2]
    tried.clear()
    assert sizes.run("double", work, items[:5], [10, 5, 5, 30, 5]) == [0, 2, 4, 6, 8]
    # Padded to the longest item of a batch.
    assert tried == [2, 1, 1, 1]
    assert sizes.limits == {"double": 25}


def test_what_does_not_fit_alone_fails_with_the_error_of_torch():
    def work(items: list) -> list:
        raise torch.OutOfMemoryError("too much")

    with pytest.raises(torch.OutOfMemoryError, match="too much"):
        BatchSizes(torch.device("cuda")).run("nothing", work, [1, 2, 3], [1, 1, 1])


def test_results_do_not_depend_on_the_batch_size(model, monkeypatch):
    asked, texts = requests(), [["one", "two red cubes"]] * 9
    prompts = [Request(("a ball",)), Request((picture(0), "a cube")), Request(("two cones and a ball",))]
    target = NoisyTarget([picture(3)] * 3, 0.5, [0, 1, 2])

    def everything() -> tuple:
        found = model.loglikelihood(asked, texts)
        return (
            model.answer(asked, Decoding(5, temperature=1.0, seed=1)),
            torch.tensor([[each.logprob for each in some] for some in found]),
            model.generate(prompts, SAMPLING, seeds=[0, 1, 2], size=(48, 48)),
            torch.stack([each.attention[0] for each in model.capture(prompts, [0], ["text"], target=target)]),
        )

    runs, calls = [], []
    run = model._answer
    monkeypatch.setattr(model, "_answer", lambda some, decoding: calls.append(len(some)) or run(some, decoding))
    for limit in (2**16, 300, 1):
        monkeypatch.setitem(batching.FIRST_TRY, "cpu", limit)
        runs.append(everything())
    assert calls[0] == 9 and 1 < calls[1] < 9 and calls[-9:] == [1] * 9
    for replies, logprobs, images, attention in runs[1:]:
        assert replies == runs[0][0]
        torch.testing.assert_close(logprobs, runs[0][1], rtol=0, atol=1e-4)
        torch.testing.assert_close(attention, runs[0][3], rtol=0, atol=1e-5)
        for one, other in zip(images, runs[0][2], strict=True):
            difference = torch.tensor([*one.tobytes()]).float() - torch.tensor([*other.tobytes()]).float()
            assert difference.abs().max() <= 1
