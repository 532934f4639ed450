"""Signals that stop training: the step in progress is finished and saved, then the process ends."""

import signal
from collections.abc import Iterable
from types import FrameType

from sgt.errors import Interrupted

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
    """Records the first stop signal. A second one of the same kind has its usual effect if a terminal sent it.

    A scheduler's is not repeated by somebody who is impatient: it may reach a process directly and by its launcher.

    A context manager, for the time during which training can be stopped and saved.

    Args:
        one_of_several: this process trains with others. It may be stopped by a signal to another one, and get its own
            when it has saved already: then, signals are ignored until it ends.
    """

    def __init__(self, one_of_several: bool = False) -> None:
        self.received: signal.Signals | None = None
        self.one_of_several = one_of_several

    def __enter__(self) -> "StopRequest":
        self._before = {number: signal.signal(number, self._remember) for number in handled(STOP_SIGNALS)}
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        saved = self.one_of_several and kind is not None and issubclass(kind, Interrupted)
        for number, handler in self._before.items():
            signal.signal(number, signal.SIG_IGN if saved else handler)

    def _remember(self, number: int, frame: FrameType | None) -> None:
        self.received = signal.Signals(number)
        if self.received in TERMINAL_SIGNALS:
            signal.signal(number, self._before[self.received])
