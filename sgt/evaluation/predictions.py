"""Prediction files: every row of a benchmark with the reply to it, complete in themselves for scoring.

So are files of judgements, which have what an evaluator recorded of each row in place of the reply. Replies in words,
likelihoods and judgements are lines of JSON; images are a tar, each beside the JSON of its row.
"""

import json
from array import array
from collections.abc import Container, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from sgt.atomic import atomic_path, write_text
from sgt.config.benchmarks import Benchmark, ImageBenchmark
from sgt.data.images import decode_image, encode_png
from sgt.data.shards import ShardWriter, read_shard
from sgt.evaluation.task import AnyReply, Judgement, Row
from sgt.models.requests import Likelihood, RatedReply, Reply


@dataclass(frozen=True)
class Shard:
    """A share of the chunks: every ``of``-th, from the ``number``-th on, counted from 1."""

    number: int
    of: int


def prediction_file(benchmark: Benchmark) -> str:
    """Name of the file that a benchmark's predictions are in."""
    return "images.tar" if isinstance(benchmark, ImageBenchmark) else "predictions.jsonl"


def write_predictions(path: Path, rows: Sequence[Row], replies: Sequence[AnyReply]) -> None:
    """Write rows with their replies, whole or not at all.

    Raises:
        SgtError: the id of a row cannot name an image.
    """
    if path.suffix == ".tar":
        with ShardWriter(path) as shard:
            for row, reply in zip(rows, replies, strict=True):
                shard.add(row.id, {"png": _png(reply), "json": json.dumps(row.record()).encode()})
        return
    lines = ({"row": row.record(), "reply": _plain(reply)} for row, reply in zip(rows, replies, strict=True))
    write_text(path, (json.dumps(line) + "\n" for line in lines))


def join_predictions(parts: Sequence[Path], path: Path) -> int:
    """Join files of predictions to one; returns how many predictions there are."""
    if path.suffix == ".tar":
        with ShardWriter(path) as shard:
            for part in parts:
                for sample in read_shard(part):
                    shard.add(sample.key, sample.files)
        return shard.count
    count = 0
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        for part in parts:
            lines = part.read_bytes()
            file.write(lines)
            count += lines.count(b"\n")
    return count


def read_predictions(path: Path, places: Container[int] | None = None) -> Iterator[tuple[Row, AnyReply]]:
    """Rows with their replies, one at a time.

    Args:
        path: the file.
        places: of the rows to read, from 0; all if left out. The others' images are not decoded.

    Raises:
        SgtError: an image is damaged.
    """
    if path.suffix == ".tar":
        for place, sample in enumerate(read_shard(path)):
            if places is None or place in places:
                yield Row(**sample.json()), decode_image(sample.get("png"), f"{path}: {sample.key}.png")
        return
    with open(path, encoding="utf-8") as lines:
        for place, text in enumerate(lines):
            if places is None or place in places:
                line = json.loads(text)
                yield Row(**line["row"]), _reply(line["reply"])


class StoredRows(Sequence[Row]):
    """The rows of a file of predictions or judgements in lines, each read when it is needed.

    Only the places of the lines are in memory, 8 bytes for a row of about 1.5 kB.

    Args:
        path: of the file, which must not change.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._ends = path, array("Q")
        end = 0
        with open(path, "rb") as lines:
            for line in lines:
                end += len(line)
                self._ends.append(end)

    def __len__(self) -> int:
        return len(self._ends)

    def __getitem__(self, place: Any) -> Any:
        if isinstance(place, slice):
            return [self[each] for each in range(len(self))[place]]
        number = range(len(self))[place]
        start = self._ends[number - 1] if number else 0
        with open(self._path, "rb") as lines:
            lines.seek(start)
            return _row(lines.read(self._ends[number] - start))

    def __iter__(self) -> Iterator[Row]:
        with open(self._path, "rb") as lines:
            yield from map(_row, lines)


def _row(line: bytes) -> Row:
    return Row(**json.loads(line)["row"])


def write_judgements(path: Path, rows: Sequence[Row], records: Sequence[Judgement]) -> None:
    """Write rows with what an evaluator recorded of each, whole or not at all."""
    lines = [{"row": row.record(), "record": record} for row, record in zip(rows, records, strict=True)]
    write_text(path, "".join(json.dumps(line) + "\n" for line in lines))


def read_judgements(path: Path) -> Iterator[tuple[Row, Judgement]]:
    """Rows with what an evaluator recorded of each, one at a time."""
    with open(path, encoding="utf-8") as lines:
        for line in map(json.loads, lines):
            yield Row(**line["row"]), line["record"]


def _reply(content: dict | list[dict]) -> AnyReply:
    if isinstance(content, list):
        return [Likelihood(**each) for each in content]
    if "likelihoods" not in content:
        return Reply(**content)
    return RatedReply(**{**content, "likelihoods": [Likelihood(**each) for each in content["likelihoods"]]})


def _png(reply: AnyReply) -> bytes:
    if not isinstance(reply, Image.Image):
        raise TypeError(f"a task of images has a {type(reply).__name__} as reply")
    return encode_png(reply)


def _plain(reply: AnyReply) -> dict | list[dict]:
    if isinstance(reply, Image.Image):
        raise TypeError("a task in words has an image as reply")
    return asdict(reply) if isinstance(reply, Reply) else [asdict(each) for each in reply]
