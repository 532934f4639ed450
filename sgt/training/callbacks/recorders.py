"""Recorders write the metrics of a run: ``metrics.jsonl`` always, TensorBoard and Weights & Biases if configured."""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sgt.atomic import write_text
from sgt.config.logging import Logging
from sgt.errors import SgtError
from sgt.training.callbacks.callback import Callback, Metrics

log = logging.getLogger("sgt")


class MetricsFile(Callback):
    """``metrics.jsonl``: one line per step; lines of steps that are repeated after resuming are dropped.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def pre_train(self) -> None:
        """See :class:`Callback`."""
        kept = []
        if self._path.exists():
            for line in self._path.read_text(encoding="utf-8").splitlines():
                try:
                    if json.loads(line)["step"] < self.trainer.step:
                        kept.append(line)
                except ValueError:
                    break
        write_text(self._path, "".join(line + "\n" for line in kept))
        self._file = open(self._path, "a", buffering=1, encoding="utf-8")  # noqa: SIM115 (closed by close)

    def log_metrics(self, step: int, metrics: Metrics) -> None:
        """See :class:`Callback`."""
        self._file.write(json.dumps({"step": step, **metrics}) + "\n")

    def close(self) -> None:
        """See :class:`Callback`."""
        self._file.close()


class TensorBoard(Callback):
    """Event files for TensorBoard in a folder; steps that are repeated after resuming replace the earlier ones."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def pre_train(self) -> None:
        """See :class:`Callback`.

        Raises:
            SgtError: TensorBoard is not installed.
        """
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise SgtError("logging.tensorboard", "is not installed", "run `pip install tensorboard`") from None
        self._writer = SummaryWriter(str(self._folder), purge_step=self.trainer.step)

    def log_metrics(self, step: int, metrics: Metrics) -> None:
        """See :class:`Callback`."""
        for name, value in metrics.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        """See :class:`Callback`."""
        self._writer.close()


class WeightsAndBiases(Callback):
    """A run in a Weights & Biases project, continued when training is resumed; wandb itself finds its API key.

    Args:
        project: its name.
        run: id of the run, which another study may have too.
        fingerprint: of data and configuration: W&B drops steps that a run has already, so each has a run of its own.
        folder: where wandb keeps its files.
    """

    def __init__(self, project: str, run: str, fingerprint: str, folder: Path) -> None:
        self._project, self._name, self._folder = project, run.replace("/", "-"), folder
        self._id = f"{self._name}-{fingerprint[:12]}"

    def pre_train(self) -> None:
        """See :class:`Callback`.

        Raises:
            SgtError: wandb is not installed.
        """
        try:
            import wandb
        except ImportError:
            raise SgtError("logging.wandb", "is not installed", "run `pip install wandb`") from None
        self._run = wandb.init(
            project=self._project, id=self._id, name=self._name, dir=str(self._folder), resume="allow"
        )
        self._teardown = wandb.teardown

    def log_metrics(self, step: int, metrics: Metrics) -> None:
        """See :class:`Callback`."""
        self._run.log(metrics, step=step)

    def close(self) -> None:
        """See :class:`Callback`."""
        try:
            self._run.finish()
        finally:
            # wandb writes in a process of its own: without waiting for it, its unwritten data would be lost.
            self._teardown()


class NonFatal(Callback):
    """A recorder whose errors never end a run: the first is logged, and the recorder is switched off.

    Args:
        name: for the log.
        recorder: the recorder.
    """

    def __init__(self, name: str, recorder: Callback) -> None:
        self._name = name
        self._recorder: Callback | None = recorder

    def pre_train(self) -> None:
        """See :class:`Callback`.

        Raises:
            SgtError: the recorder's library is not installed.
        """
        if self._recorder:
            self._recorder.trainer = self.trainer
            with self._switched_off_on_error():
                self._recorder.pre_train()

    def log_metrics(self, step: int, metrics: Metrics) -> None:
        """See :class:`Callback`."""
        if self._recorder:
            with self._switched_off_on_error():
                self._recorder.log_metrics(step, metrics)

    def close(self) -> None:
        """See :class:`Callback`."""
        recorder, self._recorder = self._recorder, None
        if recorder:
            with self._switched_off_on_error():
                recorder.close()

    @contextmanager
    def _switched_off_on_error(self) -> Iterator[None]:
        try:
            yield
        except SgtError:
            raise
        except Exception as error:
            problem = f"{type(error).__name__}: {error}".replace("\n", " ")
            log.warning("%s is switched off (%s); training goes on without it", self._name, problem)
            recorder, self._recorder = self._recorder, None
            if recorder:
                # Otherwise it may fail again, with a traceback, when the process ends.
                with suppress(Exception):
                    recorder.close()


def recorders(config: Logging, work: Path, run: str, fingerprint: str) -> list[Callback]:
    """The recorders that a study configures.

    Args:
        config: of the study.
        work: the run's work folder.
        run: its id.
        fingerprint: of its data and configuration.
    """
    found: list[Callback] = [MetricsFile(work / "metrics.jsonl")]
    if config.tensorboard:
        found.append(NonFatal("TensorBoard", TensorBoard(work / "tensorboard")))
    if config.wandb:
        found.append(NonFatal("Weights & Biases", WeightsAndBiases(config.wandb, run, fingerprint, work)))
    return found
