"""Prediction files: every row of a benchmark with the reply to it, complete in themselves for scoring.

So are files of judgements, which have what an evaluator recorded of each row in place of the reply. Replies in words,
likelihoods and judgements are lines of JSON; images are a tar, each beside the JSON of its row.
"""

import json
from collections.abc import Container, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from PIL import Image

from sgt.atomic import write_text
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
    lines = [{"row": row.record(), "reply": _plain(reply)} for row, reply in zip(rows, replies, strict=True)]
    write_text(path, "".join(json.dumps(line) + "\n" for line in lines))


def join_predictions(parts: Sequence[Path], path: Path) -> int:
    """Join files of predictions to one; returns how many predictions there are."""
    if path.suffix == ".tar":
        with ShardWriter(path) as shard:
            for part in parts:
                for sample in read_shard(part):
                    shard.add(sample.key, sample.files)
        return shard.count
    text = "".join(part.read_text(encoding="utf-8") for part in parts)
    write_text(path, text)
    return text.count("\n")


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
