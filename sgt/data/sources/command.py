"""``sgt shards``: a dataset of a study, from what was fetched."""

import argparse
import json
import multiprocessing
import os
import shutil
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from sgt.atomic import write_json
from sgt.data.shards import MANIFEST, shard_name, write_manifest
from sgt.data.sources import SOURCES
from sgt.data.sources.base import ShardReport, Source
from sgt.errors import SgtError
from sgt.progress import Progress
from sgt.study.downloads import FETCHED
from sgt.study.load import LoadedStudy, load_study


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``sgt shards``."""
    parser.add_argument("study", type=Path)
    parser.add_argument("dataset", help="one of the study's, other than toyworld")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="processes (%(default)s)")


def run(args: argparse.Namespace) -> None:
    """Write every shard, a report of each, and the manifest last."""
    study = load_study(args.study)
    spec = study.study.datasets.get(args.dataset)
    if spec is None or spec.source not in SOURCES:
        known = [name for name, each in study.study.datasets.items() if each.source in SOURCES]
        raise SgtError(args.study, f"no dataset {args.dataset!r} to make shards of", f"use one of {', '.join(known)}")
    if args.workers < 1:
        raise SgtError("--workers", f"must be at least 1, got {args.workers}", "see `sgt shards --help`")
    make_shards(study, args.dataset, args.workers)


def make_shards(study: LoadedStudy, name: str, workers: int) -> None:
    """Write a dataset with this many processes; the bytes do not depend on how many.

    Raises:
        SgtError: what it is made from is missing or damaged, or too many samples of a shard had to be refused.
    """
    spec, folder = study.study.datasets[name], study.dataset_dir(name)
    download = study.download_dir(spec.download)
    about = _fetched(download, spec.download)
    work = folder / ".work"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    # A manifest of an earlier dataset must not vouch for shards that are being replaced.
    (folder / MANIFEST).unlink(missing_ok=True)
    try:
        source = SOURCES[spec.source](spec, download, work)
        source.prepare()
        reports = _written(source, folder, workers, study.study.data.max_bad)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    write_json(
        folder / "report.json",
        {
            shard: {
                "images": report.count,
                "masks_per_image": round(report.masks / report.count, 3) if report.count else None,
                "refused": report.refused,
            }
            for shard, report in sorted(reports.items())
        },
    )
    counts = {shard: report.count for shard, report in reports.items()}
    write_manifest(folder, counts, source=spec.source, spec=spec.model_dump(mode="json"), **about)


def _written(source: Source, folder: Path, workers: int, max_bad: float) -> dict[str, ShardReport]:
    progress = Progress("shards", source.spec.shards)
    reports: dict[str, ShardReport] = {}
    with _pool(min(workers, source.spec.shards)) as pool:
        jobs: dict[Future, str] = {}
        for index in range(source.spec.shards):
            path = folder / shard_name(index)
            if pool is None:
                reports[path.name] = source.write(index, path)
                progress.add()
            else:
                jobs[pool.submit(source.write, index, path)] = path.name
        try:
            for job in as_completed(jobs):
                reports[jobs[job]] = job.result()
                progress.add()
        except SgtError:
            pool.shutdown(cancel_futures=True)
            raise
    for shard, report in sorted(reports.items()):
        seen = report.count + len(report.refused)
        if len(report.refused) > max_bad * seen:
            first = report.refused[0]
            problem = f"{first['reason']} ({len(report.refused)} of {seen} samples refused)"
            raise SgtError(folder / shard, problem, "mend the download, or allow more in data.max_bad")
    return reports


def _pool(workers: int) -> AbstractContextManager[ProcessPoolExecutor | None]:
    """Processes that share nothing with this one, whose libraries may have threads; None for one worker."""
    if workers == 1:
        return nullcontext()
    return ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"))


def _fetched(download: Path, name: str) -> dict:
    """Revision and licence, and a hash of all files, of what was fetched."""
    path = download / FETCHED
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        return {"revision": record["revision"], "licence": record["licence"], "files": record["files"]}
    except FileNotFoundError:
        raise SgtError(path, "was not fetched, or not to the end", f"run `sgt fetch {name}`") from None
    except (ValueError, KeyError, TypeError) as error:
        raise SgtError(path, f"damaged ({error!r})", f"run `sgt fetch {name}` again") from None
