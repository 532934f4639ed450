"""Runs the speed scripts and holds their ratios against ``bounds.yaml``.

Run from the repository root as ``python -m perf.guard [NAME …]``; it ends with status 1 if a ratio is out of bounds. A
ratio that is out of bounds is measured once more, and the better of both counts: other work may have disturbed it.
"""

import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, RootModel, model_validator

from sgt.config.files import read_yaml

ROOT = Path(__file__).parents[1]
BOUNDS = Path(__file__).with_name("bounds.yaml")


class Bound(BaseModel):
    """A ratio and what it must hold.

    Attributes:
        command: a module of ``perf`` with its arguments.
        find: a regular expression whose group is the ratio, in a line of the output.
        at_least, at_most: one of them.
        why: what the ratio shows.
    """

    model_config = ConfigDict(extra="forbid")

    command: Annotated[str, Field(pattern=r"^perf\.\w+( |$)")]
    find: str
    at_least: float | None = None
    at_most: float | None = None
    why: str

    @model_validator(mode="after")
    def _one_bound(self) -> "Bound":
        if (self.at_least is None) == (self.at_most is None):
            raise ValueError("give at_least or at_most")
        return self

    @property
    def bound(self) -> str:
        """In words."""
        return f"at least {self.at_least:g}" if self.at_least is not None else f"at most {self.at_most:g}"

    def holds(self, ratio: float) -> bool:
        """Whether a ratio is within the bound."""
        return ratio >= self.at_least if self.at_least is not None else ratio <= self.at_most

    def better(self, one: float, other: float) -> float:
        """The ratio of two that is nearer to holding."""
        return max(one, other) if self.at_least is not None else min(one, other)

    def ratio_in(self, output: str) -> float | None:
        """The last ratio in the output of the command; None if there is none."""
        found = re.findall(self.find, output, re.M)
        return float(found[-1]) if found else None


class Bounds(RootModel[dict[str, Bound]]):
    """``bounds.yaml``: bounds by name."""


def main(words: Sequence[str] | None = None) -> None:
    """Print one line per ratio, as Markdown, and exit with status 1 if one is out of bounds or missing."""
    bounds = read_yaml(BOUNDS, Bounds).root
    names = (sys.argv[1:] if words is None else words) or list(bounds)
    if unknown := [name for name in names if name not in bounds]:
        sys.exit(f"guard: no bound {unknown[0]}: use some of {', '.join(bounds)}")
    print("| ratio | measured | bound | |\n|---|---|---|---|", flush=True)
    outputs: dict[str, str] = {}
    failed = False
    for name in names:
        bound = bounds[name]
        # Several ratios may be those of one command.
        if bound.command not in outputs:
            outputs[bound.command] = run(bound.command)
        ratio = bound.ratio_in(outputs[bound.command])
        if ratio is not None and not bound.holds(ratio):
            again = bound.ratio_in(run(bound.command))
            ratio = ratio if again is None else bound.better(ratio, again)
        holds = ratio is not None and bound.holds(ratio)
        failed |= not holds
        print(f"| {name}: {bound.why} | {ratio} | {bound.bound} | {'holds' if holds else 'FAILS'} |", flush=True)
        if ratio is None:
            print(outputs[bound.command][-2000:], file=sys.stderr)
    sys.exit(failed)


def run(command: str) -> str:
    """What a script prints on both streams; it is stopped with this process."""
    words = [sys.executable, "-m", *command.split()]
    return subprocess.run(words, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT).stdout


if __name__ == "__main__":
    main()
