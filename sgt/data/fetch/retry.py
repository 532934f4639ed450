"""When to ask a server again, and what to say when it is no use."""

import logging
import random
import threading
import time
from email.utils import parsedate_to_datetime

import httpx2

from sgt.errors import SgtError

log = logging.getLogger("sgt")

TRIES = 8
LONGEST_WAIT = 60.0
BUSY = (408, 425, 429, 500, 502, 503, 504)
_REMEDIES = {
    401: "set HF_TOKEN to a token that may read it",
    403: "accept its conditions on its page, and set HF_TOKEN to a token that may read it; or the link has expired",
    407: "let your proxy know who you are, or go past it (NO_PROXY)",
    511: "log in to the network",
    404: "check the name and revision in the table, and HF_ENDPOINT",
}


class Retry:
    """How often one thing was tried without getting anywhere.

    Args:
        where: what to name in an error.
        stop: set when nobody waits for the result any more.
    """

    def __init__(self, where: str, stop: threading.Event | None = None) -> None:
        self.where, self.tries = where, 0
        self.stop = stop or threading.Event()

    def progressed(self) -> None:
        """Something came: the count starts over."""
        self.tries = 0

    def after_status(self, response: httpx2.Response) -> None:
        """Wait after an answer that is no success, as long as the server asks.

        Raises:
            SgtError: asking again is no use, or was tried often enough.
        """
        status = response.status_code
        if status not in BUSY:
            raise SgtError(self.where, f"the server says {status}", _REMEDIES.get(status, "check the table"))
        self.after(f"the server says {status}", _asked_to_wait(response.headers.get("Retry-After")))

    def after(self, problem: object, wait: float | None = None) -> None:
        """Wait after a failure: as long as asked, or twice as long each time.

        Raises:
            SgtError: it was tried often enough.
        """
        self.tries += 1
        # A transport error's text may be empty, but it never holds a header, so no token.
        told = str(problem) or type(problem).__name__
        if self.tries >= TRIES:
            raise SgtError(self.where, f"{told}, {self.tries} times in a row", "try again later: it goes on from there")
        if wait is None:
            wait = min(2.0 ** (self.tries - 1), LONGEST_WAIT) * random.uniform(0.5, 1.0)
        log.warning("%s: %s; again in %.1f s", self.where, told, wait)
        self.stop.wait(wait)


def _asked_to_wait(value: str | None) -> float | None:
    """Seconds of a Retry-After header, which holds a number or a date; no longer than ``LONGEST_WAIT``."""
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(value).timestamp() - time.time()
        except ValueError:
            return None
    return min(max(seconds, 0.0), LONGEST_WAIT)
