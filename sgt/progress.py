"""Progress of long work: a bar on a terminal; elsewhere a line of the log at most every few seconds, with rate and time
left.
"""

import logging
import os
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from weakref import WeakSet

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

log = logging.getLogger("sgt")
# Matches the counts in a line of progress.
AMOUNT = re.compile(r"(?P<what>[A-Za-z][\w ]*?) (?P<done>\d+)/(?P<total>\d+)  ")
_work = ""
# Those of this process that may still be open.
_bars: WeakSet[tqdm] = WeakSet()


def name_work(name: str) -> None:
    """Begin every line of progress of this process with a name, to distinguish the lines of several processes."""
    global _work
    _work = name


def _shows_bars() -> bool:
    """Whether stderr is a terminal whose width is known."""
    try:
        return sys.stderr.isatty() and os.get_terminal_size(sys.stderr.fileno()).columns > 0
    except (OSError, ValueError):
        return False


@contextmanager
def log_above_bars() -> Iterator[None]:
    """Print what is logged to a terminal above bars of progress, and close those that are open at the end."""
    if not _shows_bars():
        yield
        return
    with logging_redirect_tqdm():
        try:
            yield
        finally:
            for bar in list(_bars):
                bar.close()


class Progress:
    """Count units of work and show ``done/total``, rate and time left.

    Args:
        what: the unit, in the plural (``scenes``).
        total: how many there will be.
        done: how many were done before (a resumed run).
        every: seconds between lines of a log.
    """

    def __init__(self, what: str, total: int, done: int = 0, every: float = 10.0) -> None:
        self.what, self.total, self.done, self.every = what, total, done, every
        self.started = self.last = time.monotonic()
        self.first = done
        self._bar: tqdm | None = None
        if _shows_bars():
            name = f"{_work}: {what}" if _work else what
            self._bar = tqdm(desc=name, total=total, initial=done, unit="", dynamic_ncols=True, file=sys.stderr)
            _bars.add(self._bar)

    def add(self, count: int = 1, note: str = "") -> None:
        """Count ``count`` more units; ``note`` is appended to the bar, or to the line if one is due."""
        self.done += count
        if self._bar is None:
            self._log(note)
            return
        self._bar.set_postfix_str(note, refresh=False)
        self._bar.update(count)
        if self.done >= self.total:
            self._bar.close()

    def _log(self, note: str) -> None:
        now = time.monotonic()
        if now - self.last >= self.every or self.done >= self.total:
            self.last = now
            rate = (self.done - self.first) / max(now - self.started, 1e-9)
            left = (self.total - self.done) / rate if rate else float("inf")
            name = f"{_work}: " if _work else ""
            log.info("%s%s %d/%d  %.1f/s  %.0f s left  %s", name, self.what, self.done, self.total, rate, left, note)
