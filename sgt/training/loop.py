"""The training loop: the same for pretraining and post-training, for every family."""

import json
import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from sgt.errors import SgtError
from sgt.models.base import Example, UnifiedModel
from sgt.progress import Progress
from sgt.study.recipe import Optimizer
from sgt.training.checkpoints import load_progress, save_progress
from sgt.training.optimizer import WeightAverage, learning_rate, make_adamw

log = logging.getLogger("sgt")


@dataclass(frozen=True)
class Plan:
    """What a run does, beside its model and data.

    Attributes:
        steps: optimizer steps.
        optimizer: AdamW and schedule.
        ce_weight, mse_weight: weights of the two losses.
        timestep_shift: of the flow's training times.
        ema: decay of the weight average, 0 for none.
        save_every: steps between resumable checkpoints.
        seed: of every random draw.
        fingerprint: of data and configuration; a checkpoint with another one is not resumed.
    """

    steps: int
    optimizer: Optimizer
    ce_weight: float
    mse_weight: float
    timestep_shift: float
    ema: float
    save_every: int
    seed: int
    fingerprint: str


def train(
    model: UnifiedModel, examples_at: Callable[[int], Sequence[Example]], plan: Plan, work: Path
) -> dict[str, torch.Tensor] | None:
    """Train ``model`` in place, resuming from ``work`` if a checkpoint lies there.

    Args:
        model: its trainable parameters change.
        examples_at: the examples of a step, a pure function of the step.
        plan: everything else.
        work: folder for checkpoints and ``metrics.jsonl`` (one line per step).

    Returns:
        The averaged weights by name, if the plan asks for an average.

    Raises:
        SgtError: the loss is not finite.
    """
    parameters = {name: p for name, p in model.network.named_parameters() if p.requires_grad}
    optimizer = make_adamw(parameters.values(), plan.optimizer)
    average = WeightAverage(plan.ema, parameters) if plan.ema else None
    work.mkdir(parents=True, exist_ok=True)
    start = load_progress(work, plan.fingerprint, parameters, optimizer, average)
    metrics = _Metrics(work / "metrics.jsonl", start)
    progress = Progress("steps", plan.steps, start)
    model.network.train()
    for step in range(start, plan.steps):
        began = time.perf_counter()
        generator = torch.Generator().manual_seed(plan.seed * 1_000_003 + step)
        batch = model.batch(examples_at(step), generator)
        loaded = time.perf_counter()
        rate = learning_rate(plan.optimizer, step, plan.steps)
        for group in optimizer.param_groups:
            group["lr"] = rate
        terms = model.loss(batch, plan.timestep_shift)
        loss = plan.ce_weight * terms.ce + plan.mse_weight * terms.mse
        if not math.isfinite(loss.item()):
            raise SgtError(work, f"loss is {loss.item()} at step {step}", "lower the learning rate or look at the data")
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(parameters.values(), plan.optimizer.clip)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if average:
            average.update(parameters)
        metrics.write(
            step=step,
            loss=loss.item(),
            ce=terms.ce.item(),
            mse=terms.mse.item(),
            grad_norm=norm.item(),
            lr=rate,
            tokens=terms.ce_tokens + terms.mse_tokens,
            data_seconds=loaded - began,
            seconds=time.perf_counter() - began,
        )
        progress.add(note=f"loss {loss.item():.3f}  ce {terms.ce.item():.3f}  mse {terms.mse.item():.3f}")
        if (step + 1) % plan.save_every == 0 or step + 1 == plan.steps:
            save_progress(work, step + 1, plan.fingerprint, parameters, optimizer, average)
    model.network.eval()
    return average.weights if average else None


class _Metrics:
    """``metrics.jsonl``: one line per step; lines after the step resumed from are dropped."""

    def __init__(self, path: Path, start: int) -> None:
        kept = []
        if path.exists():
            for line in path.read_text().splitlines():
                try:
                    if json.loads(line)["step"] < start:
                        kept.append(line)
                except ValueError:
                    break
        path.write_text("".join(line + "\n" for line in kept))
        self._file = open(path, "a", buffering=1)  # noqa: SIM115 (lives as long as the run)

    def write(self, **values: float) -> None:
        self._file.write(json.dumps(values) + "\n")
