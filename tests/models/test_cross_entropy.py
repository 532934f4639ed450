"""The cross-entropy in parts of the vocabulary is that of all logits, and never holds them."""

from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from sgt.config.recipe import Recipe
from sgt.models import cross_entropy as module
from sgt.models import estimate
from sgt.models.bagel.sizes import bagel_sizes
from sgt.models.cross_entropy import cross_entropy
from sgt.models.examples import InputImage, QAPair, TargetImage, Text
from sgt.models.registry import load_model
from sgt.models.sizes import Tokens
from sgt.study.load import load_study
from tests.models.bagel.test_precision import picture

WORDS, WIDTH, TOKENS = 1000, 32, 150
ANSWERS = [
    [InputImage(picture(0)), Text("how many"), Text("two of them", supervised=True)],
    [InputImage(picture(1)), QAPair("which colour", "red"), QAPair("is there a star", "no, there is not a star")],
    [InputImage(picture(2)), Text("paint it"), TargetImage(picture(3))],
]


@pytest.fixture
def in_parts(monkeypatch):
    """Parts of 46 words, which do not divide the vocabulary, for as many tokens as the tests have."""
    monkeypatch.setattr(module, "LOGITS_AT_ONCE", 46 * TOKENS)


def problem(dtype=torch.float32):
    draw = torch.Generator().manual_seed(0)
    hidden = (torch.randn(TOKENS, WIDTH, generator=draw) * 3).to(dtype).requires_grad_()
    head = nn.Linear(WIDTH, WORDS, bias=False, dtype=dtype)
    with torch.no_grad():
        head.weight.copy_(torch.randn(WORDS, WIDTH, generator=draw))
    labels = torch.randint(WORDS, (TOKENS,), generator=draw)
    # The first and the last word of the vocabulary, and words at the borders of parts.
    labels[:6] = torch.tensor([0, WORDS - 1, 45, 46, 91, 92])
    return hidden, head, labels, torch.rand(TOKENS, generator=draw)


def gradients(errors, weights, *of):
    return torch.autograd.grad((errors * weights).sum(), of)


def whole(hidden, head, labels):
    return F.cross_entropy(head(hidden).float(), labels, reduction="none")


def close(found, wanted, tolerance):
    assert found.dtype == wanted.dtype and found.shape == wanted.shape
    assert (found - wanted).abs().max() <= tolerance * wanted.abs().max()


def test_values_and_gradients_are_those_of_all_logits(in_parts):
    hidden, head, labels, weights = problem()
    found, wanted = cross_entropy(hidden, head, labels), whole(hidden, head, labels)
    close(found, wanted, 1e-6)
    for got, want in zip(*(gradients(e, weights, hidden, head.weight) for e in (found, wanted)), strict=True):
        close(got, want, 1e-6)


def test_a_frozen_head_takes_no_gradient(in_parts):
    hidden, head, labels, weights = problem()
    head.requires_grad_(False)
    (found,) = gradients(cross_entropy(hidden, head, labels), weights, hidden)
    close(found, gradients(whole(hidden, head, labels), weights, hidden)[0], 1e-6)


@pytest.mark.parametrize("autocast", [False, True], ids=["bf16", "bf16-autocast"])
def test_half_precision_rounds_where_all_logits_do(autocast, in_parts):
    hidden, head, labels, weights = problem(torch.float32 if autocast else torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        found, wanted = cross_entropy(hidden, head, labels), whole(hidden, head, labels)
    assert found.dtype == torch.float32
    close(found, wanted, 1e-6)
    for got, want in zip(*(gradients(e, weights, hidden, head.weight) for e in (found, wanted)), strict=True):
        close(got, want, 2**-7)


def test_no_more_logits_exist_than_a_part_has(in_parts, monkeypatch):
    made = []

    def linear(*given):
        made.append(F.linear(*given))
        return made[-1]

    monkeypatch.setattr(module, "F", SimpleNamespace(linear=linear))
    hidden, head, labels, weights = problem()
    gradients(cross_entropy(hidden, head, labels), weights, hidden, head.weight)
    # 22 parts, once for the values and once for the gradients.
    assert [logits.shape for logits in made] == 2 * [*21 * [(TOKENS, 46)], (TOKENS, WORDS - 21 * 46)]


def test_few_logits_are_computed_at_once_bit_for_bit():
    hidden, head, labels, _ = problem()
    assert torch.equal(cross_entropy(hidden, head, labels), whole(hidden, head, labels))


@pytest.mark.parametrize("family", ["bagel", "omnigen2"])
def test_losses_of_both_families_do_not_depend_on_the_parts(family, prepared_for, monkeypatch):
    root = prepared_for(family)
    monkeypatch.chdir(root)
    spec = next(iter(load_study(root / "config/micro.yaml").models.values()))
    model = load_model(spec, root / spec.checkpoint)
    parameters = {name: p for name, p in model.network.named_parameters() if p.requires_grad}

    def step(examples):
        """Losses and gradients; with several examples their answers differ in length, and OmniGen2 pads them."""
        model.length_weighted = True
        losses = model.loss(model.batch(examples, range(len(examples))), 1.0)
        found = torch.autograd.grad(losses.ce + losses.mse, parameters.values(), allow_unused=True)
        return losses.ce.detach(), found

    # The last is a batch without any supervised token.
    for examples in (ANSWERS, ANSWERS[2:]):
        monkeypatch.setattr(module, "LOGITS_AT_ONCE", 2**26)
        ce, wanted = step(examples)
        monkeypatch.setattr(module, "LOGITS_AT_ONCE", 500)
        ce_in_parts, found = step(examples)
        torch.testing.assert_close(ce_in_parts, ce, rtol=1e-6, atol=0)
        largest = max(gradient.abs().max() for gradient in wanted if gradient is not None)
        for name, got, want in zip(parameters, found, wanted, strict=True):
            assert (got is None) == (want is None), name
            assert got is None or (got - want).abs().max() <= 1e-6 * largest, name


def test_the_estimate_counts_what_is_held_at_once():
    sizes, recipe = bagel_sizes({}), Recipe(steps=1, batch=3, precision="bf16")

    def logits(supervised):
        return estimate.memory(sizes, recipe, Tokens(16384, 0, 0, supervised, 1, 1), 0).logits

    assert logits(400) == 12 * 400 * sizes.vocabulary
    # All logits of 12,000 tokens would take 21.9 GB.
    assert 6 * 2**26 * 0.99 < logits(12_000) < 0.6e9
