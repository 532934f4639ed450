"""How time and memory grow with the size of a study: jobs, samples and questions.

Each size is measured in a process of its own, whose highest memory is its own. Samples are those of one real shard,
linked as often as it takes, and replies are made up; everything else is what a study runs. Times are those of the
processor, since other work on the machine must not count. From the repository root::

    python -m perf.scale jobs 100 1000 10000
    python -m perf.scale shards 300 3000 10000
    python -m perf.scale read 1000 10000 100000 1000000
    python -m perf.scale open 1000 10000 100000 1000000 10000000
    python -m perf.scale render 1000 10000
    python -m perf.scale questions 1000 10000 100000 1000000
"""

import argparse
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import count, islice
from math import log
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
SAMPLES_PER_SHARD = 1000


def main(words: Sequence[str] | None = None) -> None:
    """Print a line per size and stage, with the exponent of its growth since the size before."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=list(KINDS))
    parser.add_argument("sizes", type=int, nargs="+", help="how many, at least, one after another")
    parser.add_argument("--alone", action="store_true", help="measure one size in this process, and print JSON")
    args = parser.parse_args(words)
    if args.alone:
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(KINDS[args.what](args.sizes[0], Path(folder))))
        return
    before: dict[str, tuple[int, float]] = {}
    for size in args.sizes:
        command = [sys.executable, "-m", "perf.scale", args.what, str(size), "--alone"]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, check=True)
        for stage in json.loads(done.stdout.splitlines()[-1]):
            print(line(args.what, stage, before.get(stage["stage"])), flush=True)
            before[stage["stage"]] = stage["size"], stage["seconds"]


def line(what: str, stage: dict, before: tuple[int, float] | None) -> str:
    """A stage in words; the exponent is 1 where ten times as much takes ten times as long."""
    size, seconds = stage["size"], stage["seconds"]
    things = {"jobs": "jobs", "shards": "jobs", "questions": "questions"}.get(what, "samples")
    text = f"{stage['stage']}: {size} {things}, {seconds:.2f} s, {size / seconds:,.0f}/s, {stage['peak_mb']:.0f} MB"
    if "began_mb" in stage:
        text += f" (at most {(stage['peak_mb'] - stage['began_mb']) * 2**20 / size:,.0f} bytes of it for each)"
    grows = before is not None and before[0] != size
    return f"{text}, grows as n^{exponent(before, (size, seconds)):.2f}" if grows else text


def exponent(one: tuple[int, float], other: tuple[int, float]) -> float:
    """How time grows with size between two measurements (size, seconds)."""
    return log(other[1] / one[1]) / log(other[0] / one[0])


def stages(size: int, **work: Callable[[], int | None]) -> list[dict]:
    """Processor seconds of stages that follow one another, and the process's highest memory up to the end of each.

    Args:
        size: how much each works through, unless it returns another number.
        work: the stages, by name.
    """
    found, began_mb = [], _peak_mb()
    for name, run in work.items():
        began = time.process_time()
        done = run()
        seconds = time.process_time() - began
        found.append(
            {"stage": name, "size": done or size, "seconds": seconds, "peak_mb": _peak_mb(), "began_mb": began_mb}
        )
    return found


def _peak_mb() -> float:
    """The highest memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def jobs(size: int, folder: Path) -> list[dict]:
    """A dry run of the default study with as many seeds as make that many jobs: reading, planning and listing them."""
    study = default_study()
    # Nothing but a few jobs on data is done once for all seeds.
    study["seeds"] = list(range(max(1, size // 73)))
    return dry_run(study, folder)


def render_jobs(size: int, folder: Path) -> list[dict]:
    """The same with one seed and that many jobs that render, each a shard with one sample."""
    study = default_study()
    # Of three proxies.
    study["datasets"]["scenes"] |= {"scenes": max(1, size // 3), "per_shard": 1}
    return dry_run(study, folder)


def default_study() -> dict:
    """The default study's file."""
    return yaml.safe_load((ROOT / "config/tiny.yaml").read_text(encoding="utf-8"))


def dry_run(study: dict, folder: Path) -> list[dict]:
    """A dry run of a study in a folder where nothing is made yet."""
    shutil.copytree(ROOT / "config", folder / "config")
    # Base weights are fetched by it.
    shutil.copy(ROOT / "data.dvc", folder)
    study = {**study, "name": "scale", "results": "results/scale"}
    (folder / "config/scale.yaml").write_text(yaml.safe_dump(study), encoding="utf-8")
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "workflow/Snakefile"), "--cores", "1"]
    command += ["--configfile", "config/scale.yaml", "--dry-run", "--quiet", "rules"]
    # Jobs are started by the environment's own programs.
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    process = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True)
    printed = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = usage.ru_utime + usage.ru_stime
    totals = re.findall(r"^total\s+(\d+)", printed, re.M)
    if status or not totals:
        raise SystemExit(f"snakemake failed: {printed[-2000:]}")
    return [{"stage": "dry run", "size": int(totals[-1]), "seconds": seconds, "peak_mb": usage.ru_maxrss / 1024}]


def linked_shards(size: int, folder: Path) -> list[Path]:
    """As many shards as hold that many samples: one shard of small scenes under many names."""
    from sgt.config.datasets import Toyworld
    from sgt.data.toyworld.make import make_dataset

    samples = min(size, SAMPLES_PER_SHARD)
    made = folder / "made"
    make_dataset(made, Toyworld(source="toyworld", split="proxy", scenes=samples, per_shard=samples), 1)
    shards = [folder / f"shard-{index:05d}.tar" for index in range(-(-size // samples))]
    for shard in shards:
        os.link(made / "shard-00000.tar", shard)
    return shards


def read(size: int, folder: Path) -> list[dict]:
    """Streaming every sample."""
    from sgt.data.shards import read_shard

    shards = linked_shards(size, folder)

    def stream() -> None:
        for shard in shards:
            for _ in read_shard(shard):
                pass

    return stages(size, stream=stream)


def open_shards(size: int, folder: Path) -> list[dict]:
    """Opening all shards for random access, as training does, for the first time and from the index that this leaves;
    reading 1000 samples; leaving some out; and the order of two epochs."""
    import numpy as np

    from sgt.data.dataset import ShardDataset
    from sgt.data.mixture import Mixed, Source
    from sgt.data.shard_index import SETTLED

    shards = linked_shards(size, folder)
    # Of a shard that was just written, no index is kept.
    time.sleep(SETTLED)
    opened: list[ShardDataset] = []

    def first() -> None:
        len(ShardDataset(shards))

    def again() -> None:
        opened.append(ShardDataset(shards))

    def random_access() -> int:
        (dataset,) = opened
        return sum(1 for index in range(0, len(dataset), -(-len(dataset) // 1000)) if dataset[index].files)

    def leave_out() -> None:
        kept = np.ones(len(opened[0]), bool)
        kept[::1000] = False
        opened.append(opened[0].only(kept))

    def shuffle() -> None:
        count = len(opened[0])
        mixture = Mixed([Source("proxy", count, 1)], seed=0)
        mixture.step(0)
        mixture.step(count)
        opened.append(mixture)

    return stages(
        size, open_first=first, open_again=again, random_access=random_access, leave_out=leave_out, shuffle=shuffle
    )


def render(size: int, folder: Path) -> list[dict]:
    """Rendering segmentation targets, shard after shard."""
    from sgt.proxies import PROXIES
    from sgt.proxies.render import render_shard

    shards = linked_shards(size, folder)

    def every_shard() -> None:
        for shard in shards:
            render_shard(PROXIES["segmentation"], shard, folder / "targets.tar", 0.0)

    return stages(size, render=every_shard)


def questions(size: int, folder: Path) -> list[dict]:
    """Writing made-up replies in the chunks that a prediction has, joining these, scoring, and writing the scores."""
    from sgt.config.benchmarks import OPTIONS
    from sgt.config.files import read_yaml
    from sgt.data.dataset import open_dataset
    from sgt.evaluation.predict import SAMPLES_PER_CHUNK
    from sgt.evaluation.predictions import StoredRows, join_predictions, read_predictions, write_predictions
    from sgt.evaluation.score import Scored, score_predictions
    from sgt.evaluation.task import Row
    from sgt.evaluation.tasks import make_task
    from sgt.identity import write_record
    from sgt.models.requests import Likelihood, RatedReply

    linked_shards(20, folder)
    task = make_task(read_yaml(ROOT / "config/benchmarks/toyworld-qa.yaml", OPTIONS["toyworld-qa"]))
    known = [replace(row, images=()) for row in task.rows(open_dataset(folder / "made"))]
    # Whole rounds: some questions name another of their scene.
    size = -(-size // len(known)) * len(known)
    per_chunk = SAMPLES_PER_CHUNK * len(known) // 20
    parts: list[Path] = []

    def rows() -> Iterator[Row]:
        """The questions again and again, under new names."""
        for again in count():
            for row in known:
                extra = {name: f"{value}-{again}" for name, value in row.extra.items()}
                groups = {"scene": f"{row.groups['scene']}-{again}"}
                yield replace(row, id=f"{row.id}-{again}", groups=groups, extra=extra)

    def predict() -> None:
        given = islice(rows(), size)
        while chunk := list(islice(given, per_chunk)):
            # Every third answer is wrong.
            texts = [
                row.options[place % 3 == 0] if len(row.options) > 1 else row.options[0]
                for place, row in enumerate(chunk)
            ]
            replies = [RatedReply(text, 1, "stop", [Likelihood(-1.0, 1, -0.1)]) for text in texts]
            parts.append(folder / f"part-{len(parts):07d}.jsonl")
            write_predictions(parts[-1], chunk, replies)

    joined = folder / "predictions.jsonl"

    def join() -> int:
        return join_predictions(parts, joined)

    scored: list[Scored] = []

    def score() -> None:
        scored.append(score_predictions(task, read_predictions(joined), StoredRows(joined)))

    def write() -> None:
        (found,) = scored
        write_record(folder / "score.json", {"metrics": found.metrics, "items": found.items})

    return stages(size, predict=predict, join=join, score=score, write=write)


KINDS: dict[str, Callable[[int, Path], list[dict]]] = {
    "jobs": jobs,
    "shards": render_jobs,
    "read": read,
    "open": open_shards,
    "render": render,
    "questions": questions,
}

if __name__ == "__main__":
    main()
