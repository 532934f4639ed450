"""LLaVA-OneVision-Data: parquet files in one folder per subset, rows of image and conversation, some without an
image."""

import json
import logging
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sgt.atomic import naming, write_text
from sgt.config.datasets import LlavaOneVision
from sgt.data.conversations import check_conversation
from sgt.data.images import checked_image
from sgt.data.names import is_hidden
from sgt.data.shards import MAX_JSON_BYTES, MAX_MEMBER_BYTES, ShardWriter
from sgt.data.sources.base import ShardReport, Source
from sgt.data.sources.llava_mixtures import MIXTURES, Category, scaled
from sgt.errors import SgtError

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

log = logging.getLogger("sgt")

COLUMNS = ("id", "image", "conversations")
ROWS_AT_A_TIME = 32
# Absent subsets that a message names.
MAX_NAMES = 8


class LlavaOneVisionSource(Source):
    """Rows drawn from each category's subsets without replacement, in the order of the files."""

    spec: LlavaOneVision

    def prepare(self) -> None:
        """Draw the rows: ``rows.npy`` holds (file, row, category) of each sample, ``plan.json`` their names."""
        categories = scaled(MIXTURES[self.spec.mixture], self.spec.samples)
        files = self._files([pattern for category in categories for pattern in category.subsets])
        lengths = [_open(path).metadata.num_rows for path in files]
        rng = np.random.default_rng(self.spec.seed)
        drawn = [self._draw(category, number, files, lengths, rng) for number, category in enumerate(categories)]
        rows = np.concatenate(drawn)
        with naming(self.work / "rows.npy"):
            np.save(self.work / "rows.npy", rows[np.lexsort((rows[:, 1], rows[:, 0]))])
        plan = {"files": [str(path) for path in files], "categories": [category.name for category in categories]}
        write_text(self.work / "plan.json", json.dumps(plan))

    def write(self, index: int, path: Path) -> ShardReport:
        """Write the samples of one shard, a few rows of a file at a time."""
        plan = json.loads((self.work / "plan.json").read_text(encoding="utf-8"))
        first = index * self.spec.per_shard
        rows = np.load(self.work / "rows.npy", mmap_mode="r")[first : first + self.spec.per_shard]
        report, number = ShardReport(), first
        with ShardWriter(path) as shard:
            for file in np.unique(rows[:, 0]).tolist():
                source = Path(plan["files"][file])
                category_of = {int(row): int(category) for _, row, category in rows[rows[:, 0] == file]}
                for row, record in _rows(source, sorted(category_of)):
                    category = plan["categories"][category_of[row]]
                    about = {"subset": source.parent.name, "category": category}
                    where = f"{source}: row {row}"
                    make = partial(_sample, record, about, where)
                    report.add(shard, f"ov-{number:07d}", about["subset"], make)
                    number += 1
        return report

    def _files(self, patterns: list[str]) -> list[Path]:
        """The parquet files of the wanted subsets, among those in the folder and those that were fetched."""
        present = (path.relative_to(self.download).as_posix() for path in self.download.rglob("*.parquet"))
        names = {*present, *(name for name in self.recorded if name.endswith(".parquet"))}
        wanted = [name for name in names if not is_hidden(name) and _matches(Path(name), patterns)]
        return sorted(self.fetched(name) for name in wanted)

    def _draw(
        self, category: Category, number: int, files: list[Path], lengths: list[int], rng: np.random.Generator
    ) -> np.ndarray:
        """(count, 3) int64: file, row and category of the rows drawn from a category's subsets."""
        chosen = [place for place, path in enumerate(files) if _matches(path, category.subsets)]
        absent = [each for each in category.subsets if not any(_matches(files[place], [each]) for place in chosen)]
        ends = np.cumsum([lengths[place] for place in chosen], dtype=np.int64)
        available = int(ends[-1]) if chosen else 0
        self.absent += absent
        message = f"{category.name}: {available} rows in {len(chosen)} files"
        if absent:
            message += f", no folder of {', '.join(absent[:MAX_NAMES])}{' …' if len(absent) > MAX_NAMES else ''}"
        if available < category.count:
            remedy = f"run `sgt fetch {self.spec.download}`, or request fewer samples"
            raise SgtError(self.download, f"{message}; {category.count} are wanted", remedy)
        if absent:
            log.warning("%s: %s; more rows are drawn from the other subsets", self.download, message)
        picked = np.sort(rng.choice(available, category.count, replace=False))
        file = np.searchsorted(ends, picked, side="right")
        row = picked - np.concatenate(([0], ends))[file]
        return np.stack([np.array(chosen, np.int64)[file], row, np.full(category.count, number)], axis=1)


def _matches(path: Path, patterns: Iterable[str]) -> bool:
    """Whether the folder of a file is a subset that matches one of the patterns."""
    return any(fnmatchcase(path.parent.name, pattern) for pattern in patterns)


def _open(path: Path) -> "pq.ParquetFile":
    import pyarrow as pa  # imported where it is used: every command that reads data loads this module
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path, memory_map=True)
    except (pa.ArrowException, OSError) as error:
        raise SgtError(path, f"truncated or not parquet ({_line(error)})", "fetch it again") from None
    if missing := [name for name in COLUMNS if name not in file.schema_arrow.names]:
        raise SgtError(path, f"no column {missing[0]!r}", "fetch another revision")
    return file


def _rows(path: Path, wanted: list[int]) -> Iterator[tuple[int, "dict[str, pa.Scalar]"]]:
    """Number and values of the wanted rows, which are ascending; row groups without any are not read."""
    import pyarrow as pa

    file = _open(path)
    ends = np.cumsum([file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)])
    group_of = np.searchsorted(ends, wanted, side="right")
    try:
        for group in np.unique(group_of).tolist():
            place = int(ends[group]) - file.metadata.row_group(group).num_rows
            needed = {row for row, at in zip(wanted, group_of, strict=True) if at == group}
            for batch in file.iter_batches(ROWS_AT_A_TIME, row_groups=[group], columns=list(COLUMNS)):
                for offset in range(batch.num_rows):
                    if place + offset in needed:
                        yield place + offset, {name: batch[name][offset] for name in COLUMNS}
                place += batch.num_rows
    except (pa.ArrowException, OSError) as error:
        raise SgtError(path, f"damaged ({_line(error)})", "fetch it again") from None


def _sample(row: "dict[str, pa.Scalar]", about: dict, where: str) -> tuple[dict[str, bytes], int]:
    import pyarrow as pa

    try:
        record = {name: value.as_py() for name, value in row.items()}
    except (pa.ArrowException, ValueError, OverflowError) as error:
        raise SgtError(where, f"a value cannot be read ({_line(error)})", "leave this sample out") from None
    image = record["image"]
    files = {}
    if image is not None:
        content = image.get("bytes") if isinstance(image, dict) else None
        if not isinstance(content, bytes) or len(content) > MAX_MEMBER_BYTES:
            raise SgtError(where, "the image has no bytes, or too many", "leave this sample out")
        checked_image(content, where)
        files["jpg"] = content
    conversations = check_conversation(record["conversations"], bool(files), where)
    if not isinstance(record["id"], str | int | None):
        raise SgtError(where, f"its id is {type(record['id']).__name__}, not text", "leave this sample out")
    text = json.dumps({"id": record["id"], **about, "conversations": conversations}, ensure_ascii=False).encode()
    if len(text) > MAX_JSON_BYTES:
        raise SgtError(where, f"{len(text)} bytes of text is too large", "leave this sample out")
    return {**files, "json": text}, 0


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
