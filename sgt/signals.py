"""Signals that stop training: the step in progress is finished and saved, then the process ends."""

import signal
from collections.abc import Iterable
from types import FrameType

# TERM (or USR1, USR2 if configured) from SLURM before a job's time ends, INT from Ctrl-C, HUP from a closed terminal.
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
TERMINAL_SIGNALS = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT)


def handled(numbers: Iterable[signal.Signals]) -> list[signal.Signals]:
    """The signals among ``numbers`` that get a handler.

    Signals of a terminal stay ignored if the process was started with them ignored, as under ``nohup``. Signals of a
    scheduler are always handled: Snakemake ignores them, since they are meant for the job's command, and its jobs
    inherit that.
    """
    ignored = [number for number in TERMINAL_SIGNALS if signal.getsignal(number) is signal.SIG_IGN]
    return [number for number in numbers if number not in ignored]


class StopRequest:
    """Records the first stop signal; a second one of the same kind has its usual effect.

    A context manager, for the time during which training can be stopped and saved.
    """

    def __init__(self) -> None:
        self.received: signal.Signals | None = None

    def __enter__(self) -> "StopRequest":
        self._before = {number: signal.signal(number, self._remember) for number in handled(STOP_SIGNALS)}
        return self

    def __exit__(self, *raised: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _remember(self, number: int, frame: FrameType | None) -> None:
        self.received = signal.Signals(number)
        signal.signal(number, self._before[self.received])
