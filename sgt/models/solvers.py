"""Steps from noise to data along a flow; t = 1 is noise, t = 0 is data (``omnigen2.md`` 4)."""

import math

from torch import Tensor

from sgt.config.inference import Solver


class Euler:
    """First order."""

    def step(self, x: Tensor, velocity: Tensor, t: float, after: float) -> Tensor:
        """From time ``t`` to ``after``; ``velocity`` is that of t, noise − data."""
        return x - (t - after) * velocity


class DPMSolver:
    """DPM-Solver++ (2M, midpoint, arXiv 2211.01095) with σ = t and α = 1 − t; remembers the last prediction of data."""

    def __init__(self) -> None:
        self._before: tuple[Tensor, float] | None = None

    def step(self, x: Tensor, velocity: Tensor, t: float, after: float) -> Tensor:
        """See :meth:`Euler.step`. The first step and the one to t = 0 are of first order."""
        data = x - t * velocity
        step = _half_log_snr(after) - _half_log_snr(t)
        factor = (1 - after) * math.expm1(-step)
        moved = (after / t) * x - factor * data
        if self._before is not None and after > 0:
            last, last_t = self._before
            # The first step starts at infinite noise, of which nothing is carried into the second.
            ratio = step / (_half_log_snr(t) - _half_log_snr(last_t))
            moved = moved - 0.5 * factor * ratio * (data - last)
        self._before = data, t
        return moved


SOLVERS: dict[Solver, type[Euler] | type[DPMSolver]] = {"euler": Euler, "dpmsolver++": DPMSolver}


def _half_log_snr(t: float) -> float:
    """λ = ln α − ln σ."""
    if t == 1:
        return -math.inf
    return math.inf if t == 0 else math.log(1 - t) - math.log(t)
