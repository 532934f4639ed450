"""Runs ``sgt`` with faults injected at chosen points of its work, however fast or slow the machine is.

    python tests/training/events.py '[{"at": "sgt.training.checkpoints.write_json", "do": "SIGKILL"}]' train STUDY …

Functions of ``sgt`` are wrapped in this process; its code has no hooks for it.
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
from tests.forked import settle


@dataclass(frozen=True)
class Event:
    """An injected event, and the call at which it happens.

    Attributes:
        at: full name of the function, in the module that calls it.
        do: the signal that the process sends itself, or ``sleep``, ``raise``, ``print``, ``kill children``.
        call: at which call of it, from 1 on; 0 at every call.
        naming: count only calls whose arguments contain this text.
        moment: ``before`` or ``after`` the call, or ``within``: the file that it writes is truncated to half its size.
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


def inject(event: Event) -> None:
    """Wrap the function of an event, in this process."""
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
            trigger(event)
        result = function(*args, **kwargs)
        if due and event.moment == "within":
            path = Path(next(value for value in reversed(args) if isinstance(value, str | Path)))
            os.truncate(path, path.stat().st_size // 2)
        if due and event.moment != "before":
            trigger(event)
        return result

    setattr(owner, name, wrapped)


def trigger(event: Event) -> None:
    """Do what an event says."""
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


def run(folder: Path, events: Sequence[Event], words: Sequence[str], log: Path, environment: dict[str, str]) -> None:
    """Run the command in a folder, with the events, in a forked process whose stderr is appended to a file."""
    settle(folder, environment)
    with open(log, "ab") as file:
        os.dup2(file.fileno(), 2)
    start(events, words)


def start(events: Sequence[Event], words: Sequence[str]) -> None:
    """Run the command with the events; ends the process."""
    for event in events:
        inject(event)
    sys.exit(main(list(words)))


if __name__ == "__main__":
    start([Event(**fields) for fields in json.loads(sys.argv[1])], sys.argv[2:])
