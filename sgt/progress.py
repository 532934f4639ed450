"""Progress of long work: a line on stderr at most every few seconds, with rate and time left."""

import logging
import re
import time

log = logging.getLogger("sgt")
# Matches the counts in a line of progress.
AMOUNT = re.compile(r"(?P<what>[A-Za-z][\w ]*?) (?P<done>\d+)/(?P<total>\d+)  ")
_work = ""


def name_work(name: str) -> None:
    """Begin every line of progress of this process with a name, to distinguish the lines of several processes."""
    global _work
    _work = name


class Progress:
    """Count units of work and log ``done/total``, rate and ETA.

    Args:
        what: the unit, in the plural (``scenes``).
        total: how many there will be.
        done: how many were done before (a resumed run).
        every: seconds between lines.
    """

    def __init__(self, what: str, total: int, done: int = 0, every: float = 10.0) -> None:
        self.what, self.total, self.done, self.every = what, total, done, every
        self.started = self.last = time.monotonic()
        self.first = done

    def add(self, count: int = 1, note: str = "") -> None:
        """Count ``count`` more units; ``note`` is appended to the line if one is due."""
        self.done += count
        now = time.monotonic()
        if now - self.last >= self.every or self.done >= self.total:
            self.last = now
            rate = (self.done - self.first) / max(now - self.started, 1e-9)
            left = (self.total - self.done) / rate if rate else float("inf")
            name = f"{_work}: " if _work else ""
            log.info("%s%s %d/%d  %.1f/s  %.0f s left  %s", name, self.what, self.done, self.total, rate, left, note)
