"""The training loop: the same for pretraining and post-training, for every family and any number of processes."""

import logging
import math
import random
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from sgt.config.logging import Logging
from sgt.config.recipe import Optimizer
from sgt.errors import Interrupted, SgtError
from sgt.models.estimate import PEAK_FLOPS
from sgt.models.trainable import Trainable
from sgt.progress import Progress
from sgt.signals import StopRequest
from sgt.training.checkpoints import Checkpoints
from sgt.training.memory import peak_memory, told_if_out_of_memory
from sgt.training.optimizer import WeightAverage, learning_rate, make_adamw
from sgt.training.stream import Step, Stream
from sgt.training.watch import Numbers, Recorder, recorders
from sgt.training.world import World

log = logging.getLogger("sgt")


@dataclass(frozen=True)
class Plan:
    """What a run does, beside its model and data.

    Attributes:
        run: id, for messages and dashboards.
        steps: optimizer steps.
        optimizer: AdamW and schedule.
        ce_weight, mse_weight: weights of the two losses.
        timestep_shift: of the flow's training times.
        ema: decay of the weight average, 0 for none.
        save_every, keep: steps between resumable checkpoints, and how many of them stay.
        validate_every: steps between validations; 0 validates after the last step alone.
        seed: of every random draw.
        fingerprint: of data and configuration; a checkpoint with another one is set aside.
        watch: dashboards.
        flops_per_token: floating-point operations that training on a token takes, as estimated; 0 if it is not.
    """

    run: str
    steps: int
    optimizer: Optimizer
    ce_weight: float
    mse_weight: float
    timestep_shift: float
    ema: float
    save_every: int
    keep: int
    validate_every: int
    seed: int
    fingerprint: str
    watch: Logging
    flops_per_token: float = 0.0


class Training:
    """A run in progress.

    Args:
        model: its trainable parameters change.
        stream: what each step learns from.
        plan: everything else.
        work: folder for checkpoints and metrics.
        world: the processes, among which the weights are already spread.
        validate: losses on held-out data, by name.
    """

    def __init__(
        self,
        model: Trainable,
        stream: Stream,
        plan: Plan,
        work: Path,
        world: World | None = None,
        validate: Callable[[], Numbers] | None = None,
    ) -> None:
        self.model, self.stream, self.plan, self.work = model, stream, plan, work
        self.world, self.validate = world or World(), validate
        self.parameters = {name: p for name, p in model.network.named_parameters() if p.requires_grad}
        self.optimizer = make_adamw(self.parameters.values(), plan.optimizer)
        self.average = WeightAverage(plan.ema, self.parameters) if plan.ema else None
        self.checkpoints = Checkpoints(work, plan.fingerprint, plan.keep, self.world)

    def run(self) -> dict[str, Tensor] | None:
        """Train to the last step, from the newest checkpoint if there is one.

        Returns:
            The rows of the averaged weights that this process holds, by name, if the plan asks for an average.

        Raises:
            SgtError: the loss is not finite, memory or disk is full, or a sample is damaged.
            Interrupted: a signal asked to stop; everything up to here is saved.
        """
        with ExitStack() as ending:
            try:
                self.work.mkdir(parents=True, exist_ok=True)
                start = self.checkpoints.load(self.parameters, self.optimizer, self.average)
                told = recorders(self.plan.watch, self.work, self.plan.run, start)
                writers = ending.enter_context(told) if self.world.is_main else []
            except OSError as error:
                raise SgtError(self.work, f"cannot be used ({error})", "make room or mend it, and run again") from None
            ending.enter_context(told_if_out_of_memory(self.work))
            self._train(start, writers, ending.enter_context(StopRequest()))
        self.model.network.eval()
        return self.average.weights if self.average else None

    def _train(self, start: int, writers: Sequence[Recorder], stop: StopRequest) -> None:
        """Steps ``start`` to the last, each written down, and saved when it is time or a signal asks to stop."""
        plan, progress = self.plan, Progress("steps", self.plan.steps, start)
        self.model.network.train()
        began = time.perf_counter()
        for step, taken in enumerate(self.stream.steps(start, plan.steps), start):
            if step == start:
                self._dry_run(taken)
            waited = time.perf_counter() - began
            numbers = self._step(step, taken)
            done = step + 1
            if self.validate and (done == plan.steps or (plan.validate_every and done % plan.validate_every == 0)):
                numbers |= self._validated()
            numbers |= self._speed(taken, waited, time.perf_counter() - began)
            for writer in writers:
                writer.write(step, numbers)
            if self.world.is_main:
                progress.add(note="  ".join(f"{name} {numbers[name]:.3f}" for name in ("loss", "ce", "mse")))
            stopping = self.world.any(stop.received is not None)
            if stopping or done % plan.save_every == 0 or done == plan.steps:
                self.checkpoints.save(done, self.parameters, self.optimizer, self.average)
            if stopping and done < plan.steps:
                name = stop.received.name if stop.received else "a signal in another process"
                raise Interrupted(plan.run, f"stopped by {name}, saved at step {done}", "run it again to go on")
            began = time.perf_counter()

    def _step(self, step: int, taken: Step) -> Numbers:
        """One optimizer step; returns its losses, gradient norm and learning rate."""
        plan = self.plan
        _seed_everything(plan.seed, step, self.world.rank)
        rate = learning_rate(plan.optimizer, step, plan.steps)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        ce, mse = self._backward(taken)
        loss = plan.ce_weight * ce + plan.mse_weight * mse
        norm = _whole_norm(torch.nn.utils.clip_grad_norm_(self.parameters.values(), plan.optimizer.clip))
        if not (math.isfinite(loss) and math.isfinite(norm)):
            keys = ", ".join(key for batch in taken.keys for key in batch)
            problem = f"loss {loss}, gradient norm {norm} at step {step}"
            raise SgtError(self.work, problem, f"lower the learning rate or look at the samples: {keys}")
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if self.average:
            self.average.update(self.parameters)
        return {"loss": loss, "ce": ce, "mse": mse, "grad_norm": norm, "lr": rate}

    def _backward(self, taken: Step) -> tuple[float, float]:
        """Gradients of a step's loss; returns the mean of each of its two parts, over all processes.

        Each part is a mean over the tokens of the whole step, however it is cut into packs; gradients of processes
        are averaged, so each process's part is scaled by their number.
        """
        scale = self.world.size / max(taken.ce_tokens, 1), self.world.size / max(taken.mse_tokens, 1)
        sums = torch.zeros(2, dtype=torch.float64)
        for batch in taken.batches:
            losses = self.model.loss(batch, self.plan.timestep_shift)
            loss = self.plan.ce_weight * scale[0] * losses.ce + self.plan.mse_weight * scale[1] * losses.mse
            loss.backward()
            sums += torch.stack([losses.ce, losses.mse]).detach().double().cpu()
        ce, mse = self.world.summed(sums.tolist())
        return ce / max(taken.ce_tokens, 1), mse / max(taken.mse_tokens, 1)

    def _dry_run(self, taken: Step) -> None:
        """Work through the first step without learning from it, so that what cannot fit fails before anything."""
        self._backward(taken)
        self.optimizer.zero_grad(set_to_none=True)

    def _validated(self) -> Numbers:
        self.model.network.eval()
        numbers = self.validate()
        self.model.network.train()
        return numbers

    def _speed(self, taken: Step, waited: float, seconds: float) -> Numbers:
        speed = {
            "tokens": taken.tokens,
            "filled": round(taken.filled, 4),
            "data_seconds": waited,
            "seconds": seconds,
            "tokens_per_second": taken.tokens / seconds,
            "peak_memory_mb": peak_memory(self.world.device) / 2**20,
        }
        speed["flops_per_second"] = speed["tokens_per_second"] * self.plan.flops_per_token
        if self.world.device.type == "cuda":
            speed["mfu"] = speed["flops_per_second"] / (PEAK_FLOPS * self.world.size)
        return speed


def _seed_everything(seed: int, step: int, rank: int) -> None:
    """Make whatever a library may draw from the global generators a function of (seed, step, rank), too."""
    value = (seed * 1_000_003 + step) * 8191 + rank
    random.seed(value)
    np.random.seed(value % 2**32)
    torch.manual_seed(value)


def _whole_norm(norm: Tensor | nn.Parameter) -> float:
    return (norm.full_tensor() if isinstance(norm, DTensor) else norm).item()
