"""The training loop: the same for pretraining and post-training, for every family and any number of processes."""

import math
import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from sgt.config.recipe import Optimizer, Part, TimeShift
from sgt.errors import Interrupted, SgtError
from sgt.models.trainable import Trainable
from sgt.signals import StopRequest
from sgt.training.batch_loader import BatchLoader, StepBatch
from sgt.training.callbacks.callback import Callback, Metrics
from sgt.training.distributed import DistributedContext
from sgt.training.memory import report_out_of_memory
from sgt.training.optimizer import WeightAverage, groups_by_scale, learning_rate, make_adamw


@dataclass(frozen=True)
class TrainerConfig:
    """Options of the training loop.

    Attributes:
        run: id, for messages.
        steps: number of optimizer steps.
        optimizer: AdamW and learning-rate schedule.
        ce_weight, mse_weight: weights of the two losses.
        timestep_shift: of the flow's training times.
        ema: decay of the weight average, 0 for none.
        seed: of every random draw.
        lr_scale: by part of the model, what its learning rate is multiplied by.
    """

    run: str
    steps: int
    optimizer: Optimizer
    ce_weight: float
    mse_weight: float
    timestep_shift: TimeShift
    ema: float
    seed: int
    lr_scale: Mapping[Part, float] = field(default_factory=dict)


class Trainer:
    """Trains a model for a number of optimizer steps. All that is not part of a step is done by callbacks.

    Args:
        model: its trainable parameters change.
        loader: loads the batch of each step.
        config: of the loop.
        work: folder for checkpoints and metrics.
        context: the processes, over which the weights are already sharded.
        callbacks: called in this order. Without :class:`Checkpointing` among them nothing is saved or resumed.

    Attributes:
        parameters: those that are trained, by name.
        average: of the parameters; None without one.
        step: how many steps are done.
        metrics: of the step in progress.
        stopping: whether a signal has asked any process to stop.
    """

    def __init__(
        self,
        model: Trainable,
        loader: BatchLoader,
        config: TrainerConfig,
        work: Path,
        context: DistributedContext | None = None,
        callbacks: Sequence[Callback] = (),
    ) -> None:
        self.model, self.loader, self.config, self.work = model, loader, config, work
        self.context, self.callbacks = context or DistributedContext(), callbacks
        self.parameters = {name: p for name, p in model.network.named_parameters() if p.requires_grad}
        scaled = groups_by_scale(self.parameters, lambda name: config.lr_scale.get(model.part(name), 1.0))
        self.optimizer = make_adamw(scaled, config.optimizer)
        self.average = WeightAverage(config.ema, self.parameters) if config.ema else None
        self.step, self.stopping = 0, False
        self.metrics: Metrics = {}
        for callback in callbacks:
            callback.trainer = self

    @property
    def is_finished(self) -> bool:
        """Whether all steps are done."""
        return self.step == self.config.steps

    def is_due(self, every: int) -> bool:
        """Whether what is done every so many steps, and after the last one, is due now; 0: after the last one alone."""
        return self.is_finished or (every > 0 and self.step % every == 0)

    def fit(self) -> dict[str, Tensor] | None:
        """Train to the last step, from the newest checkpoint if there is one.

        Returns:
            This process's rows of the averaged weights, by name; None without an average.

        Raises:
            SgtError: the loss is not finite, memory or disk is full, or a sample is damaged.
            Interrupted: a signal asked to stop; all steps so far are saved.
        """
        with ExitStack() as stack:
            try:
                self.work.mkdir(parents=True, exist_ok=True)
                for callback in self.callbacks:
                    callback.pre_train()
                    stack.callback(callback.close)
            except OSError as error:
                remedy = "free some space or correct its permissions, and run again"
                raise SgtError(self.work, f"cannot be used ({error})", remedy) from None
            stack.enter_context(report_out_of_memory(self.work))
            self._train(stack.enter_context(StopRequest(self.context.size > 1)))
        self.model.network.eval()
        return self.average.weights if self.average else None

    def _train(self, stop: StopRequest) -> None:
        """The loop over steps."""
        self.model.network.train()
        first = self.step
        for batch in self._batches():
            for callback in self.callbacks:
                callback.pre_step(batch)
            if self.step == first:
                self._dry_run(batch)
            self.metrics = self._train_batch(batch)
            self.step += 1
            for callback in self.callbacks:
                callback.post_train_batch(batch)
            for callback in self.callbacks:
                callback.log_metrics(self.step - 1, self.metrics)
            self.stopping = self.context.any_process(stop.received is not None)
            for callback in self.callbacks:
                callback.post_step()
            if self.stopping and not self.is_finished:
                name = stop.received.name if stop.received else "a signal in another process"
                problem = f"stopped by {name}, saved at step {self.step}"
                raise Interrupted(self.config.run, problem, "run it again to go on")

    def _batches(self) -> Iterator[StepBatch]:
        """The batches of the steps that are left."""
        batches = self.loader.iterate(self.step, self.config.steps)
        while not self.is_finished:
            for callback in self.callbacks:
                callback.pre_load_batch()
            yield next(batches)

    def _train_batch(self, batch: StepBatch) -> Metrics:
        """One optimizer step; returns its losses, gradient norm and learning rate."""
        config = self.config
        _seed_everything(config.seed, self.step, self.context.rank)
        rate = learning_rate(config.optimizer, self.step, config.steps)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["scale"]
        ce, mse = self._backward(batch)
        loss = config.ce_weight * ce + config.mse_weight * mse
        norm = _full_norm(torch.nn.utils.clip_grad_norm_(self.parameters.values(), config.optimizer.clip))
        if not (math.isfinite(loss) and math.isfinite(norm)):
            keys = ", ".join(key for keys in batch.keys for key in keys)
            problem = f"loss {loss}, gradient norm {norm} at step {self.step}"
            raise SgtError(self.work, problem, f"lower the learning rate or look at the samples: {keys}")
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if self.average:
            self.average.update(self.parameters)
        return {"loss": loss, "ce": ce, "mse": mse, "grad_norm": norm, "lr": rate}

    def _backward(self, batch: StepBatch) -> tuple[float, float]:
        """Accumulate the gradients of a step's loss; returns its two parts, each a mean over all processes.

        Each part is a mean over the tokens of the whole step, however it is divided into packs. FSDP averages gradients
        over processes, so each process's share of the sum is multiplied by the number of processes.
        """
        scale = self.context.size / max(batch.ce_tokens, 1), self.context.size / max(batch.mse_tokens, 1)
        sums = torch.zeros(2, dtype=torch.float64)
        for micro_batch in batch.micro_batches:
            losses = self.model.loss(micro_batch, self.config.timestep_shift)
            loss = self.config.ce_weight * scale[0] * losses.ce + self.config.mse_weight * scale[1] * losses.mse
            loss.backward()
            sums += torch.stack([losses.ce, losses.mse]).detach().double().cpu()
        ce, mse = self.context.all_reduce_sum_on_device(sums.tolist())
        return ce / max(batch.ce_tokens, 1), mse / max(batch.mse_tokens, 1)

    def _dry_run(self, batch: StepBatch) -> None:
        """Compute the first step's gradients without an update: if memory is too small, fail before the first step."""
        self._backward(batch)
        self.optimizer.zero_grad(set_to_none=True)
        for callback in self.callbacks:
            callback.dry_run()


def _seed_everything(seed: int, step: int, rank: int) -> None:
    """Make whatever a library may draw from the global generators a function of (seed, step, rank), too."""
    value = (seed * 1_000_003 + step) * 8191 + rank
    random.seed(value)
    np.random.seed(value % 2**32)
    torch.manual_seed(value)


def _full_norm(norm: Tensor | nn.Parameter) -> float:
    return (norm.full_tensor() if isinstance(norm, DTensor) else norm).item()
