"""Comparing what was made again with the evidence: which file differs, and where in it first."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sgt.atomic import sha256
from sgt.data.shards import read_shard
from sgt.identity import difference
from sgt.json_files import read_json
from sgt.reporting.evidence.schema import Cell
from sgt.training.finished import METRICS

# Of a line of metrics.jsonl: what is computed, not how long it took.
COMPUTED = ("loss", "ce", "mse", "grad_norm", "lr")
# Of a score file: what was computed, not by which command and when.
SCORED = ("metrics", "items", "statuses", "counts")
# Of the check of an arm.
CHECKED = ("use", "fidelity", "more", "items")


def training_difference(recorded: str, original: Path, again: Path, made: str) -> str | None:
    """How a checkpoint differs from the recorded one; None if it does not.

    Args:
        recorded, made: SHA-256 of the weights.
        original, again: folders of the runs.
    """
    if recorded == made:
        return None
    text = f"the weights have SHA-256 {made}, and had {recorded}"
    lines = [_lines(folder / METRICS) for folder in (original, again)]
    for step, (one, other) in enumerate(zip(*lines, strict=False)):
        if name := next((name for name in COMPUTED if one.get(name) != other.get(name)), None):
            return f"{text}; {name} first differs in step {step}: was {one.get(name)}, is {other.get(name)}"
    return f"{text}; no loss differs" if all(lines) else text


def predictions_difference(recorded: str, original: Path, again: Path) -> str | None:
    """How predictions differ from the recorded ones; None if they do not.

    Args:
        recorded: SHA-256 of the original.
        original, again: the files; where the original is not there any more, nothing is known about single rows.
    """
    if (made := sha256(again)) == recorded:
        return None
    text = f"they have SHA-256 {made}, and had {recorded}"
    if not original.exists():
        return text
    rows = [dict(_predicted(path)) for path in (original, again)]
    changed = [name for name, reply in rows[1].items() if rows[0].get(name) != reply]
    return f"{text}; {len(changed)} of {len(rows[1])} rows differ, first {changed[0]!r}" if changed else text


def record_difference(original: Path, again: Path, fields: tuple[str, ...]) -> str | None:
    """The first difference between the fields of two records; None if there is none, or no original to compare with."""
    if not original.exists():
        return None
    one, other = (read_json(path, "restore it") for path in (original, again))
    return difference({name: one.get(name) for name in fields}, {name: other.get(name) for name in fields})


def number_differences(cell: Cell, again: Cell) -> dict[str, tuple[Any, Any]]:
    """What differs of a cell's numbers: by name, the recorded and the new one."""
    pairs = {f"gain {name}" if part == "gain" else name: each for part, name, each in _numbers(cell, again)}
    return {name: (one, other) for name, (one, other) in pairs.items() if one != other}


def _numbers(cell: Cell, again: Cell) -> Iterator[tuple[str, str, tuple[Any, Any]]]:
    for part in ("number", "gain"):
        one, other = getattr(cell, part), getattr(again, part)
        for name in ("value", "low", "high"):
            yield part, name, (getattr(one, name, None), getattr(other, name, None))
    yield "items", "items", (cell.items, again.items)


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def _predicted(path: Path) -> Iterator[tuple[str, Any]]:
    """Id of each row, with what was predicted."""
    if path.suffix == ".tar":
        for sample in read_shard(path):
            yield sample.key, sample.get("png")
        return
    with open(path, encoding="utf-8") as lines:
        for line in map(json.loads, lines):
            yield line["row"]["id"], line.get("reply", line.get("record"))
