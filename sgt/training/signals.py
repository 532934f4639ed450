"""Signals that ask training to stop: the step in progress is finished and saved, then the process ends."""

import signal
from types import FrameType

# What SLURM sends before it takes a node away (TERM, or USR1/USR2 if asked to), what Ctrl-C sends, and what a terminal
# or a connection sends when it closes.
STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


class StopRequest:
    """Remembers the first stopping signal; a second one of the same kind acts as if nothing were listening.

    Used as a context manager, for the time during which stopping in an orderly way is possible. A signal that the
    process was started to ignore (``nohup``) stays ignored.
    """

    def __init__(self) -> None:
        self.received: signal.Signals | None = None

    def __enter__(self) -> "StopRequest":
        heard = [number for number in STOPPING if signal.getsignal(number) is not signal.SIG_IGN]
        self._before = {number: signal.signal(number, self._remember) for number in heard}
        return self

    def __exit__(self, *raised: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _remember(self, number: int, frame: FrameType | None) -> None:
        self.received = signal.Signals(number)
        signal.signal(number, self._before[number])
