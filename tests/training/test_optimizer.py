"""The optimizer's step and the weight average, computed by hand."""

import math

import pytest
import torch
from torch import nn

from sgt.config.recipe import Optimizer
from sgt.training.optimizer import WeightAverage, learning_rate, make_adamw


@pytest.mark.parametrize(("eps", "decay"), [(1e-15, 0.0), (1e-8, 0.1)])
def test_steps_are_those_of_adamw(eps, decay):
    """Also where gradients are so small (1e-12) that the usual 1e-8 would swallow them and 1e-15 does not."""
    recipe = Optimizer(lr=1e-3, eps=eps, weight_decay=decay)
    start = torch.tensor([0.5, -2.0, 1e-3])
    gradients = [torch.tensor([0.1, -3.0, 1e-12]), torch.tensor([-0.2, 1.0, 2e-12]), torch.tensor([0.4, 0.0, -1e-12])]
    parameter = nn.Parameter(start.clone())
    optimizer = make_adamw([parameter], recipe)
    for gradient in gradients:
        parameter.grad = gradient.clone()
        optimizer.step()
    for place in range(3):
        w, m, v = float(start[place]), 0.0, 0.0
        for step, gradient in enumerate(gradients, 1):
            g = float(gradient[place])
            m, v = 0.9 * m + 0.1 * g, 0.95 * v + 0.05 * g * g
            w -= 1e-3 * decay * w
            w -= 1e-3 * (m / (1 - 0.9**step)) / (math.sqrt(v / (1 - 0.95**step)) + eps)
        assert parameter[place].item() == pytest.approx(w, rel=1e-5)
    moved = abs(parameter[2].item() - 1e-3)
    assert (moved > 1e-4) == (eps < 1e-12)


def test_defaults_are_the_official_ones():
    recipe = Optimizer()
    assert (recipe.lr, recipe.betas, recipe.eps, recipe.weight_decay, recipe.clip) == (1e-4, (0.9, 0.95), 1e-15, 0, 1)
    assert recipe.schedule == "constant"
    assert [learning_rate(Optimizer(warmup=4), step, 10) / 1e-4 for step in (0, 1, 3, 9)] == [0.25, 0.5, 1.0, 1.0]


def test_the_average_moves_by_one_minus_its_decay_and_stays_in_fp32():
    parameter = nn.Parameter(torch.tensor([1.0, -2.0]).bfloat16())
    average = WeightAverage(0.75, {"w": parameter})
    with torch.no_grad():
        for value in ([5.0, 2.0], [1.0, 0.0]):
            parameter.copy_(torch.tensor(value))
            average.update({"w": parameter})
    assert average.weights["w"].dtype == torch.float32
    # 1 → 1.75·… : 0.75·1 + 0.25·5 = 2, then 0.75·2 + 0.25·1; −2 → −1 → −0.75.
    torch.testing.assert_close(average.weights["w"], torch.tensor([1.75, -0.75]))
