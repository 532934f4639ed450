"""What is written down while a run trains: ``metrics.jsonl`` always, TensorBoard and Weights & Biases if asked for."""

import json
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Protocol

from sgt.atomic import write_text
from sgt.config.logging import Logging
from sgt.errors import SgtError

log = logging.getLogger("sgt")
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
            raise SgtError("logging.tensorboard", "is not installed", "run `pip install tensorboard`") from None
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
            raise SgtError("logging.wandb", "is not installed", "run `pip install wandb`") from None
        name = run.replace("/", "-")
        self._run = wandb.init(project=project, id=name, name=run, dir=str(folder), resume="allow")
        # Its own process writes: waited for at the end, or what it has not written yet is lost.
        self._wait = wandb.teardown

    def write(self, step: int, numbers: Numbers) -> None:
        """See :class:`Recorder`."""
        self._run.log(numbers, step=step)

    def close(self) -> None:
        """See :class:`Recorder`."""
        try:
            self._run.finish()
        finally:
            self._wait()


class Dashboard:
    """A recorder that never ends a run: what goes wrong in it is logged, and it is switched off.

    Args:
        name: for the log.
        start: makes the recorder.

    Raises:
        SgtError: its library is not installed.
    """

    def __init__(self, name: str, start: Callable[[], Recorder]) -> None:
        self.name, self._recorder = name, None
        with self._switched_off_by_errors():
            self._recorder = start()

    def write(self, step: int, numbers: Numbers) -> None:
        """See :class:`Recorder`."""
        if self._recorder:
            with self._switched_off_by_errors():
                self._recorder.write(step, numbers)

    def close(self) -> None:
        """See :class:`Recorder`."""
        recorder, self._recorder = self._recorder, None
        if recorder:
            with self._switched_off_by_errors():
                recorder.close()

    @contextmanager
    def _switched_off_by_errors(self) -> Iterator[None]:
        try:
            yield
        except SgtError:
            raise
        except Exception as error:
            problem = f"{type(error).__name__}: {error}".replace("\n", " ")
            log.warning("%s is switched off (%s); training goes on without it", self.name, problem)
            recorder, self._recorder = self._recorder, None
            if recorder:
                # So that it does not fail once more, with a traceback, as the process ends.
                with suppress(Exception):
                    recorder.close()


@contextmanager
def recorders(watch: Logging, work: Path, run: str, start: int) -> Iterator[Sequence[Recorder]]:
    """Everything that a run's numbers go to, closed at the end however the run ends.

    Args:
        watch: what was asked for.
        work: the run's work folder.
        run: its id.
        start: the first step that will be written.

    Raises:
        SgtError: a library that was asked for is not installed.
        OSError: the metrics cannot be written.
    """
    asked: list[Callable[[], Recorder]] = [lambda: MetricsFile(work / "metrics.jsonl", start)]
    if watch.tensorboard:
        asked.append(lambda: Dashboard("TensorBoard", lambda: TensorBoard(work / "tensorboard", start)))
    if watch.wandb:
        asked.append(lambda: Dashboard("Weights & Biases", lambda: WeightsAndBiases(watch.wandb, run, work)))
    with ExitStack() as opened:
        found = []
        for begin in asked:
            found.append(begin())
            opened.callback(found[-1].close)
        yield found
