"""Making a dataset of a study from a download or a folder of pictures, with several processes."""

import logging
import multiprocessing
import shutil
from collections import Counter
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from pathlib import Path

from sgt.atomic import write_json
from sgt.config.datasets import Images, ShardedDataset
from sgt.data.fetch.lock import read_fetched
from sgt.data.identity import dataset_identity
from sgt.data.manifest import MANIFEST, shard_name, write_manifest
from sgt.data.processes import lost_processes
from sgt.data.sources import SOURCES
from sgt.data.sources.base import ShardReport, Source
from sgt.errors import SgtError
from sgt.progress import Progress

log = logging.getLogger("sgt")
REPORT = "report.json"


def make_shards(spec: ShardedDataset, folder: Path, download: Path, workers: int, max_bad: float) -> None:
    """Write a dataset; its bytes do not depend on the number of processes.

    Args:
        spec: the dataset, as the study defines it.
        folder: of the shards.
        download: folder of the files that were fetched for it, or of the pictures.
        workers: number of processes.
        max_bad: share of a shard's samples that may be refused.

    Raises:
        SgtError: the download is missing or damaged, or too many samples of a shard were refused.
    """
    about: dict = _about_own(spec) if isinstance(spec, Images) else read_fetched(download, spec.download)
    work = folder / ".work"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    # Records of an earlier dataset must not count for shards that are being replaced.
    for record in (MANIFEST, REPORT):
        (folder / record).unlink(missing_ok=True)
    try:
        source = SOURCES[spec.source](spec, download, work, about["files"], max_bad)
        source.prepare()
        reports = _write_shards(source, folder, workers)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    _write_report(folder, reports, source.archives)
    _check_refused(folder, reports, max_bad)
    counts = {shard: report.count for shard, report in reports.items()}
    subsets = dict(sorted(sum((report.subsets for report in reports.values()), Counter()).items()))
    for subset, count in subsets.items():
        log.info("%s: %d samples", subset, count)
    about |= {"subsets": subsets, "absent_subsets": source.absent, "identity": dataset_identity(spec, download, folder)}
    write_manifest(folder, counts, source=spec.source, spec=spec.model_dump(mode="json"), **about)


def _about_own(spec: Images) -> dict:
    """What :func:`read_fetched` returns of a download, of pictures that were not fetched."""
    return {"revision": None, "licence": spec.licence, "files": {}}


def _write_shards(source: Source, folder: Path, workers: int) -> dict[str, ShardReport]:
    paths = [folder / shard_name(index) for index in range(source.spec.shards)]
    workers = min(workers, len(paths))
    progress = Progress("shards", len(paths))
    reports: dict[str, ShardReport] = {}
    if workers == 1:
        for index, path in enumerate(paths):
            reports[path.name] = source.write(index, path)
            progress.add()
        return reports
    # Spawned processes, because forking is unsafe once libraries have started threads.
    spawn = multiprocessing.get_context("spawn")
    with lost_processes(folder), ProcessPoolExecutor(workers, mp_context=spawn) as pool:
        jobs: dict[Future[ShardReport], str] = {
            pool.submit(source.write, index, path): path.name for index, path in enumerate(paths)
        }
        try:
            for job in as_completed(jobs):
                reports[jobs[job]] = job.result()
                progress.add()
        except (SgtError, OSError):
            pool.shutdown(cancel_futures=True)
            raise
    return dict(sorted(reports.items()))


def _write_report(folder: Path, reports: dict[str, ShardReport], archives: dict[str, dict]) -> None:
    """Write ``report.json``, and log what was skipped or refused."""
    shards = {
        shard: {
            "images": report.count,
            "masks_per_image": round(report.masks / report.count, 3) if report.count else None,
            "refused": report.refused,
        }
        for shard, report in reports.items()
    }
    write_json(folder / REPORT, {**shards, "archives": archives})
    for archive, about in archives.items():
        counts = {what: count for what, count in about.items() if what != "examples" and count}
        if counts:
            noted = ", ".join(f"{count} {what.replace('_', ' ')}" for what, count in counts.items())
            log.info("%s: %s", archive, ", e.g. ".join([noted, *about["examples"][:1]]))
    if refused := sum(len(report.refused) for report in reports.values()):
        log.warning("%d samples refused: see %s", refused, folder / REPORT)


def _check_refused(folder: Path, reports: dict[str, ShardReport], max_bad: float) -> None:
    """Raise an error for a shard of which more than ``max_bad`` was refused, or of which nothing is left."""
    for shard, report in reports.items():
        seen = report.count + len(report.refused)
        if report.refused and (len(report.refused) > max_bad * seen or not report.count):
            problem = f"{report.refused[0]['reason']} ({len(report.refused)} of {seen} samples refused)"
            raise SgtError(folder / shard, problem, "fix the download, or allow more in data.max_bad")
