"""Throughput, memory, and progress on the console."""

import time

from sgt.models.estimate import PEAK_FLOPS
from sgt.progress import Progress
from sgt.training.batch_loader import StepBatch
from sgt.training.callbacks.callback import Callback, Metrics
from sgt.training.memory import peak_memory


class SpeedMonitor(Callback):
    """Adds tokens per second, time spent waiting for data, peak memory and FLOP/s to the metrics; MFU on CUDA.

    Args:
        flops_per_token: estimated floating-point operations that training on one token takes; 0 if not known.
    """

    def __init__(self, flops_per_token: float = 0.0) -> None:
        self._flops_per_token = flops_per_token

    def pre_load_batch(self) -> None:
        """See :class:`Callback`."""
        self._began = time.perf_counter()

    def pre_step(self, batch: StepBatch) -> None:
        """See :class:`Callback`."""
        self._waited = time.perf_counter() - self._began

    def post_train_batch(self, batch: StepBatch) -> None:
        """See :class:`Callback`."""
        seconds, context = time.perf_counter() - self._began, self.trainer.context
        flops_per_second = batch.tokens / seconds * self._flops_per_token
        self.trainer.metrics |= {
            "tokens": batch.tokens,
            "filled": round(batch.filled, 4),
            "data_seconds": self._waited,
            "seconds": seconds,
            "tokens_per_second": batch.tokens / seconds,
            "peak_memory_mb": peak_memory(context.device) / 2**20,
            "flops_per_second": flops_per_second,
        }
        if context.device.type == "cuda":
            self.trainer.metrics["mfu"] = flops_per_second / (PEAK_FLOPS * context.size)


class ConsoleProgress(Callback):
    """Logs the number of steps done, the time left and the losses, every few seconds."""

    def pre_train(self) -> None:
        """See :class:`Callback`."""
        self._progress = Progress("steps", self.trainer.config.steps, self.trainer.step)

    def log_metrics(self, step: int, metrics: Metrics) -> None:
        """See :class:`Callback`."""
        self._progress.add(note="  ".join(f"{name} {metrics[name]:.3f}" for name in ("loss", "ce", "mse")))
