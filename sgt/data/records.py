"""Records of published benchmarks, read where they were fetched: parquet, TSV, JSON, CSV, and images in
folders and zips.

Every record is checked against a schema, a pydantic model, so that a column that is missing or of another type ends in
one line. Images are decoded when they are needed. Names of images come from data, so they are looked up among the files
that are there, never joined to a path.
"""

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import IO, Any, Generic, TypeVar, overload

from PIL import Image
from pydantic import BaseModel, ConfigDict, ValidationError

from sgt.data.images import decode_image
from sgt.data.names import parts_of
from sgt.data.shards import MAX_MEMBER_BYTES
from sgt.data.sources.archives import Archive
from sgt.errors import SgtError

REMEDY = "fetch it again, or another revision"
# Of a file that is read whole. The largest known, a TSV with its images, has 0.4 GB.
MAX_TABLE_BYTES = 4 * 2**30


class Record(BaseModel):
    """One record as published; columns that a benchmark does not need are ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True, coerce_numbers_to_str=True)


AnyRecord = TypeVar("AnyRecord", bound=Record)


def checked(schema: type[AnyRecord], content: Mapping[str, Any], where: str) -> AnyRecord:
    """A record of this content.

    Raises:
        SgtError: a field is missing or not as the schema says; the line names it.
    """
    try:
        return schema.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"])) or "record"
        raise SgtError(f"{where}: {field}", first["msg"], REMEDY) from None


class ParquetTable(Sequence[AnyRecord], Generic[AnyRecord]):
    """Parquet files of one schema, or files of Arrow streams (``.arrow``), which `datasets` writes.

    Args:
        paths: in order.
        schema: of a record, without its image.
        image_column: of bytes, or of a struct with ``bytes`` as the hub writes images; None if the records have none.

    Raises:
        SgtError: there is no file; or one is no parquet, lacks a column, or has a record that is not as it must be.
    """

    def __init__(self, paths: Sequence[Path], schema: type[AnyRecord], image_column: str | None = "image") -> None:
        self.records: list[AnyRecord] = []
        self._image_column = image_column
        # (path, row in the file) of each record.
        self._places: list[tuple[Path, int]] = []
        if not paths:
            raise SgtError(f"{schema.__name__}: parquet", "no file of these records was fetched", REMEDY)
        for path in paths:
            rows = _parquet_rows(path, schema, image_column)
            self.records += [checked(schema, row, f"{path}: row {number}") for number, row in enumerate(rows)]
            self._places += [(path, number) for number in range(len(rows))]

    def __len__(self) -> int:
        return len(self.records)

    @overload
    def __getitem__(self, index: int) -> AnyRecord: ...
    @overload
    def __getitem__(self, index: slice) -> list[AnyRecord]: ...
    def __getitem__(self, index: int | slice) -> AnyRecord | list[AnyRecord]:
        return self.records[index]

    def where(self, index: int) -> str:
        """File and row, from 0."""
        path, row = self._places[index]
        return f"{path}: row {row}"

    def image_bytes(self, index: int) -> bytes:
        """The file of a record's image; the images of one file at a time are held.

        Raises:
            SgtError: there is none.
        """
        path, row = self._places[index]
        found = None if self._image_column is None else _parquet_column(path, self._image_column)[row].as_py()
        data = found.get("bytes") if isinstance(found, dict) else found
        if not isinstance(data, bytes):
            raise SgtError(f"{self.where(index)}: {self._image_column or 'image'}", "no bytes of an image", REMEDY)
        return data

    def image(self, index: int) -> Image.Image:
        """The image of a record, upright and RGB.

        Raises:
            SgtError: there is none, or it cannot be decoded.
        """
        return decode_image(self.image_bytes(index), f"{self.where(index)}: image")


def _parquet_rows(path: Path, schema: type[Record], image_column: str | None) -> list[dict]:
    import pyarrow as pa

    try:
        names = _column_names(path)
        required = [*_required(schema), *([] if image_column is None else [image_column])]
        if missing := [name for name in required if name not in names]:
            raise SgtError(path, f"no column {missing[0]!r} (there are {', '.join(names)})", REMEDY)
        return _columns(path, [name for name in schema.model_fields if name in names]).to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise SgtError(path, f"not readable as parquet ({' '.join(str(error).split())[:200]})", REMEDY) from None


@lru_cache(maxsize=1)
def _parquet_column(path: Path, column: str):
    return _columns(path, [column]).column(0)


def _column_names(path: Path) -> list[str]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    if path.suffix != ".arrow":
        return pq.read_schema(path).names
    with pa.memory_map(str(path)) as source, pa.ipc.open_stream(source) as reader:
        return reader.schema.names


def _columns(path: Path, names: list[str]):
    import pyarrow as pa
    import pyarrow.parquet as pq

    if path.suffix != ".arrow":
        return pq.read_table(path, columns=names)
    # Mapped, so that columns which are not read stay on disk.
    with pa.memory_map(str(path)) as source, pa.ipc.open_stream(source) as reader:
        return reader.read_all().select(names)


def read_rows(path: Path, required: Sequence[str], delimiter: str = ",") -> Iterator[dict[str, str]]:
    """The rows of a CSV or TSV with a header, without empty cells.

    Raises:
        SgtError: it is too large, not text, lacks a column, or a row has more or fewer cells than the header.
    """
    csv.field_size_limit(MAX_TABLE_BYTES)
    with _text(path) as file:
        try:
            rows = csv.reader(file, delimiter=delimiter)
            header = next(rows, [])
            if missing := [name for name in required if name not in header]:
                raise SgtError(path, f"no column {missing[0]!r} (there are {', '.join(header)})", REMEDY)
            for number, row in enumerate(rows):
                if len(row) != len(header):
                    raise SgtError(f"{path}: row {number}", f"{len(row)} cells, the header has {len(header)}", REMEDY)
                yield {name: cell for name, cell in zip(header, row, strict=True) if cell != ""}
        except (csv.Error, UnicodeDecodeError) as error:
            raise SgtError(path, f"not readable as a table ({error})", REMEDY) from None


def read_tsv_records(path: Path, schema: type[AnyRecord]) -> list[AnyRecord]:
    """The records of a TSV without images.

    Raises:
        SgtError: as :func:`read_rows`, or a record is not as the schema says.
    """
    rows = enumerate(read_rows(path, _required(schema), "\t"))
    return [checked(schema, row, f"{path}: row {number}") for number, row in rows]


def read_json_records(path: Path, schema: type[AnyRecord]) -> list[AnyRecord]:
    """The records of a JSON list, or of JSON lines.

    Raises:
        SgtError: it is too large, none of these, or a record is not as the schema says.
    """
    with _text(path) as file:
        try:
            text = file.read()
            lines = path.suffix == ".jsonl" or not text.lstrip().startswith("[")
            # Not `splitlines`: it also splits at characters that JSON allows within texts, such as U+2028.
            found = [json.loads(line) for line in text.split("\n") if line.strip()] if lines else json.loads(text)
        except (ValueError, RecursionError) as error:
            raise SgtError(path, f"not a list of records in JSON ({error})", REMEDY) from None
    return [checked(schema, each, f"{path}: record {number}") for number, each in enumerate(found)]


@contextmanager
def _text(path: Path) -> Iterator[IO[str]]:
    try:
        if path.stat().st_size > MAX_TABLE_BYTES:
            raise SgtError(path, f"larger than {MAX_TABLE_BYTES} bytes", "do not use this file")
        with open(path, encoding="utf-8-sig", newline="") as file:
            yield file
    except FileNotFoundError:
        raise SgtError(path, "not there", REMEDY) from None


def _required(schema: type[Record]) -> list[str]:
    return [name for name, field in schema.model_fields.items() if field.is_required()]


class ImageFiles:
    """The images in a folder and in the zips that lie in it, by the last part of their name or by their whole path.

    Args:
        folder: that was fetched; images lie at any depth of it.
        whole_names: a file is only found if its path ends with the whole name, and not in zips: for data of several
            sources that use the same names.
    """

    def __init__(self, folder: Path, whole_names: bool = False) -> None:
        self.folder = folder
        self._whole_names = whole_names
        self._files: dict[str, list[Path]] = {}
        for path in sorted(folder.rglob("*")):
            if path.is_file() and not path.is_symlink():
                self._files.setdefault(path.name, []).append(path)
        zips = [path for name, (path, *_) in self._files.items() if name.lower().endswith(".zip")]
        self._archives = [] if whole_names else [Archive(path) for path in zips]

    def image(self, name: str) -> Image.Image:
        """An image, upright and RGB.

        Args:
            name: as the data has it, with any folders; of several files with the same last part, the one whose path
                ends with the whole name.

        Raises:
            SgtError: there is no such image, several, or it cannot be decoded.
        """
        parts = parts_of(name)
        files = self._files.get(parts[-1], []) if parts else []
        if len(files) > 1 or self._whole_names:
            files = [path for path in files if path.parts[-len(parts) :] == tuple(parts)]
        if len(files) == 1:
            return decode_image(_bytes(files[0]), files[0])
        if not files:
            for archive in self._archives:
                if archive.has(name):
                    return decode_image(archive.read(name), f"{archive.path}: {name}")
        problem = f"{len(files)} files are called {name!r}" if files else f"no image {name!r}, which the data names"
        raise SgtError(self.folder, problem, REMEDY)


def _bytes(path: Path) -> bytes:
    if path.stat().st_size > MAX_MEMBER_BYTES:
        raise SgtError(path, f"larger than {MAX_MEMBER_BYTES} bytes", "do not use this file")
    return path.read_bytes()
