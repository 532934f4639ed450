"""Small files in the formats in which benchmarks are published, as if ``sgt fetch`` had fetched them."""

import io
import json
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from PIL import Image

from sgt.atomic import sha256
from sgt.config.benchmarks import OPTIONS, Benchmark, FetchedBenchmark
from sgt.data.fetch import FETCHED
from sgt.evaluation.score import Scored, score_predictions
from sgt.evaluation.task import Row, Task
from sgt.evaluation.tasks import TASKS, make_task
from sgt.models.requests import Reply

CONFIG = Path(__file__).parents[3] / "config/benchmarks"
# The benchmarks that are fetched and have a file of their own name.
FETCHED_BENCHMARKS = [name for name in TASKS if issubclass(OPTIONS[name], FetchedBenchmark)]


def picture(number: int, format: str = "PNG") -> bytes:
    """An image of its own for every number."""
    buffer = io.BytesIO()
    Image.new("RGB", (48, 40), (number * 37 % 256, number * 91 % 256, number * 13 % 256)).save(buffer, format)
    return buffer.getvalue()


def write_parquet(path: Path, rows: Sequence[dict]) -> None:
    """As the hub does: images, which are given as bytes, are a struct of bytes and path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    changed = [
        {name: {"bytes": cell, "path": None} if isinstance(cell, bytes) else cell for name, cell in row.items()}
        for row in rows
    ]
    pq.write_table(pa.Table.from_pylist(changed), path, row_group_size=4)


def record_fetched(folder: Path) -> None:
    """The record that ``sgt fetch`` leaves, of all files that are there."""
    files = {str(path.relative_to(folder)): {"sha256": sha256(path)} for path in folder.rglob("*") if path.is_file()}
    (folder / FETCHED).write_text(json.dumps({"files": files}))


def install(name: str, root: Path) -> None:
    """A benchmark of this repository in the folder of a study: its file, and small data as if it had been fetched.

    The data is what ``write`` of the benchmark's own tests makes, given a folder for each download.
    """
    text = (CONFIG / f"{name}.yaml").read_text()
    (root / f"config/benchmarks/{name}.yaml").write_text(text)
    folders = [root / "downloads" / each for each in OPTIONS[name](**yaml.safe_load(text)).data_downloads]
    import_module(f"tests.evaluation.tasks.test_{name.replace('-', '_')}").write(*folders)
    for folder in folders:
        record_fetched(folder)


def task(name: str, protocol: str, **options) -> Task:
    """A task under a protocol, from the benchmark's file in this repository."""
    file = yaml.safe_load((CONFIG / f"{name}.yaml").read_text())
    benchmark: Benchmark = OPTIONS[file["task"]](**{**file, "protocol": protocol, **options})
    return make_task(benchmark)


def rows_of(task: Task, *folders: Path) -> list[Row]:
    """All rows that a benchmark takes."""
    samples = task.samples(folders)
    return list(task.rows(samples[index] for index in range(len(samples))))


def scored(task: Task, rows: Sequence[Row], replies: Sequence[str]) -> Scored:
    """What a task makes of replies to rows."""
    pairs = zip(rows, replies, strict=True)
    return score_predictions(task, [(row, Reply(text, len(text.split()), "stop")) for row, text in pairs])


def values(task: Task, rows: Sequence[Row], replies: Sequence[str]) -> dict[str, float]:
    """Every metric's value."""
    return {name: metric["value"] for name, metric in scored(task, rows, replies).metrics.items()}


def read(task: Task, row: Row, reply: str) -> str | None:
    """What a task reads in a reply to a row."""
    return task.parse(row, Reply(reply, 1, "stop"), task.options.protocol).value
