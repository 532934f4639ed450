"""Signals that stop training: the step in progress is finished and saved, then the process ends."""

import os
import signal
import threading
from collections.abc import Callable, Container, Iterable
from contextlib import suppress
from types import FrameType
from typing import Any

from sgt.errors import Interrupted

# What a scheduler sends ahead of a time limit, if it is configured to.
WARNINGS = (signal.SIGUSR1, signal.SIGUSR2)
# TERM is SLURM's when a job is cancelled or preempted, INT is Ctrl-C, HUP a closed terminal.
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, *WARNINGS)
# A shell ends when its command has, which may save first. srun would kill its step, which SLURM signals itself.
NOT_FORWARDED_TO = ("bash", "sh", "srun")
TERMINAL_SIGNALS = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT)


def listen(numbers: Iterable[signal.Signals], handler: Callable[[int, FrameType | None], Any]) -> dict[int, Any]:
    """Handle signals, and unblock them; returns their handlers from before.

    Signals of a terminal stay ignored if the process was started with them ignored, as under ``nohup``. Signals of a
    scheduler are always handled: Snakemake starts jobs with them blocked, see :func:`forward_to_jobs`.
    """
    chosen = [n for n in numbers if not (n in TERMINAL_SIGNALS and signal.getsignal(n) is signal.SIG_IGN)]
    before: dict[int, Any] = {number: signal.signal(number, handler) for number in chosen}
    signal.pthread_sigmask(signal.SIG_UNBLOCK, chosen)
    return before


def forward_to_jobs() -> None:
    """Forward a scheduler's signals from this process, which is Snakemake, to all processes that it has started.

    SLURM signals the processes of a job that it has started itself, where it keeps track of the others by cgroups, and
    so only the Snakemake that runs the job's command. It also forwards TERM there, which ends it once the command has
    ended; elsewhere TERM is for Snakemake alone.

    What this process starts from now on has USR1 and USR2 blocked: they reach commands that :func:`listen`, as soon as
    these do, and end no other. It is to be called in the main thread.
    """
    numbers = {*WARNINGS, *([signal.SIGTERM] if "SLURM_JOB_ID" in os.environ else [])}
    # Python writes each signal with a handler there, whoever sets the handler: Snakemake sets that of TERM later.
    received, written = os.pipe()
    os.set_blocking(written, False)
    for warning in WARNINGS:
        signal.signal(warning, lambda number, frame: None)
    signal.set_wakeup_fd(written, warn_on_full_buffer=False)
    # This thread alone does not block them, and so receives them.
    threading.Thread(target=_forward, args=(received, numbers), daemon=True).start()
    signal.pthread_sigmask(signal.SIG_BLOCK, WARNINGS)


def _forward(received: int, numbers: Container[int]) -> None:
    import psutil  # comes with Snakemake

    while True:
        number = os.read(received, 1)[0]
        for process in psutil.Process().children(recursive=True) if number in numbers else ():
            with suppress(psutil.Error):
                if process.name() not in NOT_FORWARDED_TO:
                    process.send_signal(number)


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
        self._blocked = signal.pthread_sigmask(signal.SIG_BLOCK, [])
        self._before = listen(STOP_SIGNALS, self._remember)
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        saved = self.one_of_several and kind is not None and issubclass(kind, Interrupted)
        signal.pthread_sigmask(signal.SIG_SETMASK, self._blocked)
        for number, handler in self._before.items():
            signal.signal(number, signal.SIG_IGN if saved else handler)

    def _remember(self, number: int, frame: FrameType | None) -> None:
        self.received = signal.Signals(number)
        if self.received in TERMINAL_SIGNALS:
            signal.signal(number, self._before[self.received])
