"""Compiled layers compute what they did, for packs of any size, with one compilation."""

from pathlib import Path

import pytest
import torch
from torch import nn
from torch._dynamo.utils import counters

from sgt.config.recipe import Recipe
from sgt.models.examples import InputImage, QAPair, TargetImage, Text
from sgt.models.registry import load_model
from sgt.study.load import load_study
from sgt.training.trainable import make_trainable
from tests.models.bagel.test_precision import picture
from tests.models.calls import answers


def losses(model, count: int) -> list[float]:
    examples = [
        [InputImage(picture(0)), *(QAPair(f"how many of {i}", "two") for i in range(count))],
        *[[InputImage(picture(1)), Text("paint it"), TargetImage(picture(2))]] * count,
    ]
    terms = model.loss(model.batch(examples, range(len(examples))), 1.0)
    (terms.ce + terms.mse).backward()
    norm = torch.stack([p.grad.norm() for p in model.network.parameters() if p.grad is not None]).norm()
    model.network.zero_grad()
    return [terms.ce.item(), terms.mse.item(), norm.item()]


@pytest.mark.slow
def test_compiled_layers_give_the_same_losses_for_packs_of_any_size(study, monkeypatch):
    """The graphs are run as they are: code for the CPU would take a compiler and a minute, and it is torch's."""
    compile_module = nn.Module.compile
    monkeypatch.setattr(nn.Module, "compile", lambda self, **how: compile_module(self, backend="aot_eager", **how))
    model = load_model(load_study(study).models["micro"], Path("base/micro"))
    plain = [losses(model, count) for count in (1, 2, 4)]
    torch._dynamo.reset()
    counters.clear()
    make_trainable(model, Recipe(steps=1, batch=3, compile=True, activation_checkpointing=True), 0)
    graphs = []
    for count, want in zip((1, 2, 4), plain, strict=True):
        assert losses(model, count) == pytest.approx(want, rel=1e-5)
        graphs.append(counters["stats"]["unique_graphs"])
    assert graphs[0] > 0 and graphs[2] == graphs[1]
    names = dict(model.network.named_parameters())
    assert "language_model.model.layers.0.self_attn.q_proj.weight" in names
    assert answers(model, [picture(0)], [["how many"]], 3)
