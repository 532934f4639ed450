"""``sgt`` with something that happens at a chosen point of its work, however fast or slow the machine is.

    python tests/training/events.py '[{"at": "sgt.training.checkpoints.write_json", "do": "SIGKILL"}]' train STUDY …

Functions are wrapped in the process that this starts; the product knows nothing of it.
"""

import json
import os
import pkgutil
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any

import psutil

from sgt.commands.main import main


@dataclass(frozen=True)
class Event:
    """What happens, and when.

    Attributes:
        at: the function, by its full name where it is looked up.
        do: the signal that the process sends itself, or ``sleep``, ``raise``, ``print``, ``kill children``.
        call: at which call of it, from 1 on; 0 at every call.
        naming: only calls with this in the text of their arguments count.
        moment: ``before`` or ``after`` the call, or ``within``: after half of the file that an argument names.
        rank: only in this process of those that a launcher started; None for all.
        seconds: of sleep.
    """

    at: str
    do: str = "SIGKILL"
    call: int = 1
    naming: str = ""
    moment: str = "before"
    rank: int | None = None
    seconds: float = 0.0


def arrange(event: Event) -> None:
    """See that an event happens in this process."""
    if event.rank not in (None, int(os.environ.get("RANK", 0))):
        return
    owner, _, name = event.at.rpartition(".")
    owner = pkgutil.resolve_name(owner)
    function, calls = getattr(owner, name), 0

    @wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        due = not event.naming or event.naming in f"{args} {kwargs}"
        calls += due
        due = due and event.call in (0, calls)
        if due and event.moment == "before":
            happen(event)
        result = function(*args, **kwargs)
        if due and event.moment == "within":
            path = Path(next(value for value in reversed(args) if isinstance(value, str | Path)))
            os.truncate(path, path.stat().st_size // 2)
        if due and event.moment != "before":
            happen(event)
        return result

    setattr(owner, name, wrapped)


def happen(event: Event) -> None:
    """Let it happen."""
    match event.do:
        case "sleep":
            time.sleep(event.seconds)
        case "raise":
            raise OSError("the dashboard is gone")
        case "print":
            print("now:", event.at, file=sys.stderr, flush=True)
        case "kill children":
            for child in psutil.Process().children(recursive=True):
                child.kill()
        case _:
            os.kill(os.getpid(), signal.Signals[event.do])


def run(folder: Path, events: Sequence[Event], words: Sequence[str], said: Path, environment: dict[str, str]) -> None:
    """The command in a folder, with the events, in a forked process: what it says goes to a file."""
    os.chdir(folder)
    os.environ.update(environment)
    with open(said, "ab") as file:
        os.dup2(file.fileno(), 2)
    start(events, words)


def start(events: Sequence[Event], words: Sequence[str]) -> None:
    """The command with the events; ends the process."""
    for event in events:
        arrange(event)
    sys.exit(main(list(words)))


if __name__ == "__main__":
    start([Event(**fields) for fields in json.loads(sys.argv[1])], sys.argv[2:])
