"""Making the built-in scenes and questions as shards, with several processes."""

from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from sgt.config.datasets import Toyworld
from sgt.data.manifest import MANIFEST, shard_name
from sgt.data.processes import lost_processes
from sgt.data.toyworld.dataset import write_shard, write_toyworld_manifest
from sgt.errors import SgtError
from sgt.progress import Progress


def make_dataset(folder: Path, spec: Toyworld, workers: int) -> None:
    """Write a dataset; its bytes do not depend on the number of processes.

    Raises:
        SgtError: the folder cannot be created, a scene's things cannot be placed, or a process was killed.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SgtError(folder, f"cannot be made ({error.strerror})", "name a folder that can be written") from None
    # The manifest of an earlier dataset must not count for shards that are being replaced.
    (folder / MANIFEST).unlink(missing_ok=True)
    progress = Progress("scenes", spec.scenes)
    counts: dict[str, int] = {}
    with lost_processes(folder), ProcessPoolExecutor(min(workers, spec.shards)) as pool:
        names = {
            pool.submit(write_shard, folder / shard_name(index), spec, index): shard_name(index)
            for index in range(spec.shards)
        }
        try:
            for future in as_completed(names):
                counts[names[future]] = future.result()
                progress.add(future.result())
        except (OSError, SgtError):
            pool.shutdown(cancel_futures=True)
            raise
    write_toyworld_manifest(folder, spec, counts)
