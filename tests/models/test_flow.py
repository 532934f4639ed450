"""Times, shifts and solvers of the flow, against closed forms."""

import math
from itertools import pairwise

import pytest
import torch

from sgt.models import flow
from sgt.models.solvers import DPMSolver, Euler


def test_shifts_of_times_by_the_number_of_tokens():
    assert flow.shift_factor("dynamic_v1", 256) == pytest.approx(math.exp(0.5))
    assert flow.shift_factor("dynamic_v1", 4096) == flow.shift_factor("static_v1", 256) == pytest.approx(math.exp(1.15))
    assert flow.shift_factor("dynamic_v2", 4096) == pytest.approx(3.2)
    assert flow.shift_factor("dynamic_v2", 400) == 1.0
    assert flow.shift_factor(2.5, 1) == 2.5
    # OmniGen2's own form of the shift, for times from noise to data.
    tau, m = torch.linspace(0, 1, 11), 3.2
    torch.testing.assert_close(1 - flow.shift_time(1 - tau, m), tau / (m - m * tau + tau))


def test_stratified_times_lie_in_their_strata():
    generator, count = torch.Generator().manual_seed(0), 15
    times = [flow.draw_time("stratified_uniform", generator, (place, count)) for place in range(count)]
    assert [int(time * count) for time in times] == list(range(count))
    assert len({round(time * count % 1, 6) for time in times}) == count


def test_lognormal_times_are_sigmoids_of_normals():
    time = flow.draw_time("lognormal", torch.Generator().manual_seed(1), (0, 1))
    assert time == pytest.approx(torch.sigmoid(torch.randn((), generator=torch.Generator().manual_seed(1))).item())


def integrate(solver, steps: int, spread: float, start: float) -> float:
    """From noise along the exact velocity of data with mean 2 and standard deviation ``spread``."""
    x, times = torch.tensor([start], dtype=torch.float64), flow.sampling_times(steps, 1.0).tolist()
    for t, after in pairwise(times):
        variance = (1 - t) ** 2 * spread**2 + t**2
        slope = (t - (1 - t) * spread**2) / variance
        x = solver.step(x, slope * (x - (1 - t) * 2.0) - 2.0, t, after)
    return x.item()


@pytest.mark.parametrize("start", [-1.3, 0.4])
def test_solvers_converge_to_the_exact_flow_and_the_second_order_one_faster(start):
    exact = 2.0 + 0.5 * start
    errors = {
        name: [abs(integrate(solver(), steps, 0.5, start) - exact) for steps in (10, 20, 40)]
        for name, solver in (("euler", Euler), ("dpmsolver++", DPMSolver))
    }
    assert errors["euler"][2] < errors["euler"][1] < errors["euler"][0]
    assert errors["dpmsolver++"][2] < errors["euler"][2] / 4


def test_the_second_order_step_is_the_published_one():
    solver, x, v = DPMSolver(), torch.tensor([0.3, -1.0]), torch.tensor([0.2, 0.7])
    first = solver.step(x, v, 1.0, 0.8)
    # From pure noise: σ'·x + α'·data.
    torch.testing.assert_close(first, 0.8 * x + 0.2 * (x - v))
    second = solver.step(first, v, 0.8, 0.5)
    # Nothing of the first prediction is carried: λ was −∞.
    data = first - 0.8 * v
    h = math.log(0.5 / 0.5) - math.log(0.2 / 0.8)
    torch.testing.assert_close(second, 0.5 / 0.8 * first - 0.5 * (math.exp(-h) - 1) * data)
    third = solver.step(second, 2 * v, 0.5, 0.25)
    now = second - 0.5 * 2 * v
    h_now = math.log(0.75 / 0.25) - math.log(0.5 / 0.5)
    factor = 0.75 * (math.exp(-h_now) - 1)
    want = 0.5 * second - factor * now - 0.5 * factor * (now - data) / (h / h_now)
    torch.testing.assert_close(third, want)
    # The last step is of first order and gives the prediction itself.
    torch.testing.assert_close(solver.step(third, v, 0.25, 0.0), third - 0.25 * v)
