"""What is written down while a run trains: ``metrics.jsonl`` always, TensorBoard and Weights & Biases if asked for."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from sgt.atomic import write_text
from sgt.errors import SgtError
from sgt.study.watch import Watch

Numbers = dict[str, float]


class Recorder(Protocol):
    """Takes the numbers of a step."""

    def write(self, step: int, numbers: Numbers) -> None:
        """Write down the numbers of one step."""

    def close(self) -> None:
        """Nothing more will come."""


class MetricsFile:
    """``metrics.jsonl``: one line per step; lines of steps that are done again are dropped.

    Args:
        path: the file; what is in it up to ``start`` is kept.
        start: the first step that will be written.
    """

    def __init__(self, path: Path, start: int) -> None:
        kept = []
        if path.exists():
            for line in path.read_text(encoding="utf-8").splitlines():
                try:
                    if json.loads(line)["step"] < start:
                        kept.append(line)
                except ValueError:
                    break
        write_text(path, "".join(line + "\n" for line in kept))
        self._file = open(path, "a", buffering=1, encoding="utf-8")  # noqa: SIM115 (closed by close)

    def write(self, step: int, numbers: Numbers) -> None:
        """See :class:`Recorder`."""
        self._file.write(json.dumps({"step": step, **numbers}) + "\n")

    def close(self) -> None:
        """See :class:`Recorder`."""
        self._file.close()


class TensorBoard:
    """Event files for TensorBoard in a folder; steps that are done again replace those written before."""

    def __init__(self, folder: Path, start: int) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise SgtError("watch.tensorboard", "is not installed", "run `pip install tensorboard`") from None
        self._writer = SummaryWriter(str(folder), purge_step=start)

    def write(self, step: int, numbers: Numbers) -> None:
        """See :class:`Recorder`."""
        for name, value in numbers.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        """See :class:`Recorder`."""
        self._writer.close()


class WeightsAndBiases:
    """A run of a Weights & Biases project, gone on with when training is; its key is read by wandb itself."""

    def __init__(self, project: str, run: str, folder: Path) -> None:
        try:
            import wandb
        except ImportError:
            raise SgtError("watch.wandb", "is not installed", "run `pip install wandb`") from None
        name = run.replace("/", "-")
        self._run = wandb.init(project=project, id=name, name=run, dir=str(folder), resume="allow")
        # Its own process writes: waited for at the end, or what it has not written yet is lost.
        self._wait = wandb.teardown

    def write(self, step: int, numbers: Numbers) -> None:
        """See :class:`Recorder`."""
        self._run.log(numbers, step=step)

    def close(self) -> None:
        """See :class:`Recorder`."""
        self._run.finish()
        self._wait()


def recorders(watch: Watch, work: Path, run: str, start: int) -> Sequence[Recorder]:
    """Everything that a run's numbers go to.

    Args:
        watch: what was asked for.
        work: the run's work folder.
        run: its id.
        start: the first step that will be written.

    Raises:
        SgtError: a library that was asked for is not installed.
    """
    found: list[Recorder] = [MetricsFile(work / "metrics.jsonl", start)]
    if watch.tensorboard:
        found.append(TensorBoard(work / "tensorboard", start))
    if watch.wandb:
        found.append(WeightsAndBiases(watch.wandb, run, work))
    return found
