"""Signals that ask training to stop: the step in progress is finished and saved, then the process ends."""

import signal
from collections.abc import Iterable
from types import FrameType

# What SLURM sends before it takes a node away (TERM, or USR1/USR2 if asked to), what Ctrl-C sends, and what a terminal
# or a connection sends when it closes.
STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
OF_A_TERMINAL = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT)


def heeded(numbers: Iterable[signal.Signals]) -> list[signal.Signals]:
    """Those of some signals that are listened to.

    A terminal's that the process was started to ignore stay ignored, as under ``nohup``. A scheduler's are listened to
    even so: the workflow ignores them, and its jobs inherit that, because they are meant for the job's command.
    """
    ignored = [number for number in OF_A_TERMINAL if signal.getsignal(number) is signal.SIG_IGN]
    return [number for number in numbers if number not in ignored]


class StopRequest:
    """Remembers the first stopping signal; a second one of the same kind acts as if nothing were listening.

    Used as a context manager, for the time during which stopping in an orderly way is possible.
    """

    def __init__(self) -> None:
        self.received: signal.Signals | None = None

    def __enter__(self) -> "StopRequest":
        self._before = {number: signal.signal(number, self._remember) for number in heeded(STOPPING)}
        return self

    def __exit__(self, *raised: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _remember(self, number: int, frame: FrameType | None) -> None:
        self.received = signal.Signals(number)
        signal.signal(number, self._before[number])
