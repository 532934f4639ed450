"""When to repeat a request, and the error message when that is no use."""

import logging
import math
import random
import re
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
    404: "check the name and revision in the table, and HF_ENDPOINT",
    407: "log in to your proxy, or bypass it (NO_PROXY)",
    511: "log in to the network",
}


class Retry:
    """Counts failures in a row, and waits after each.

    Args:
        where: to name in an error.
        stop: set to end the waiting.
    """

    def __init__(self, where: str, stop: threading.Event | None = None) -> None:
        self.where, self.failures = where, 0
        self._farthest = 0
        self.stop = stop or threading.Event()

    def progressed(self, place: int) -> None:
        """Start counting again if more of the file has arrived than ever before.

        Bytes that arrive again do not count: from a server that cannot resume, and always breaks off, they would do so
        without end.

        Args:
            place: how many bytes of the file are here.
        """
        if place > self._farthest:
            self._farthest, self.failures = place, 0

    def after_status(self, response: httpx2.Response) -> None:
        """Wait after an unsuccessful response, for as long as its Retry-After header demands.

        Raises:
            SgtError: the status is final, or there were too many failures in a row.
        """
        status = response.status_code
        if status not in BUSY:
            raise SgtError(self.where, f"the server answered {status}", _REMEDIES.get(status, "check the table"))
        demanded = retry_after(response.headers.get("Retry-After"))
        self.after(f"the server answered {status}", None if demanded is None else min(demanded, LONGEST_WAIT))

    def after(self, problem: object, wait: float | None = None) -> None:
        """Wait after a failure.

        Args:
            problem: an exception or a message.
            wait: seconds; without it, twice as long after each failure.

        Raises:
            SgtError: there were too many failures in a row.
        """
        self.failures += 1
        # Transport errors contain no headers, hence no token; queries of signed addresses are removed.
        message = re.sub(r"\?\S+", "", " ".join(str(problem).split())) or type(problem).__name__
        if self.failures >= TRIES:
            problem = f"{message}, {self.failures} times in a row"
            raise SgtError(self.where, problem, "run the command again later: it continues from there")
        if wait is None:
            wait = min(2.0 ** (self.failures - 1), LONGEST_WAIT) * random.uniform(0.5, 1.0)
        log.warning("%s: %s; trying again in %.1f s", self.where, message, wait)
        self.stop.wait(wait)


def retry_after(value: str | None) -> float | None:
    """Seconds of a Retry-After header, which holds a number or a date; None if it holds neither."""
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(value).timestamp() - time.time()
        except ValueError:
            return None
    return None if math.isnan(seconds) else max(seconds, 0.0)
