"""``sgt adopt``: results that DVC pulled become results that Snakemake knows.

Snakemake compares a study with its own record of how each result was made. Results without a record (those that
``dvc pull`` or ``dvc checkout`` put there) it takes for up to date whatever the study says, so that a study edited
after a pull would be reported, and versioned, with another one's numbers. The Snakefile therefore refuses to start over
such results, and this command, which makes the records, refuses unless DVC says that the results are the study's.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import yaml
from snakemake.persistence.file import FilePersistence

from sgt.data.shards import MANIFEST
from sgt.errors import SgtError
from sgt.study.load import LoadedStudy, load_study

LOCK = Path("dvc.lock")
# Tells the Snakefile who starts it: a `snakemake --touch` by hand would record whatever is there.
ADOPTING = "SGT_ADOPTING"
# A record holds the time its file was last written. File systems may round it.
SLACK_SECONDS = 0.01


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``sgt adopt``."""
    parser.add_argument("study", type=Path)


def run(args: argparse.Namespace) -> None:
    """Let Snakemake record every result as made by the study as it is now.

    Raises:
        SgtError: DVC does not say that the results are this study's.
    """
    study = load_study(args.study)
    _require_vouched(study)
    command = ["--touch", "--forceall", "--cores", "1", "--quiet", "all", "--configfile", str(study.path)]
    done = subprocess.run([sys.executable, "-m", "snakemake", *command], env={**os.environ, ADOPTING: "1"}, check=False)
    if done.returncode:
        raise SgtError(study.results, "snakemake could not record the results", "see what it says above")


def require_recorded(study: LoadedStudy) -> None:
    """Refuse to go on over results that Snakemake has no record of.

    Raises:
        SgtError: there are some, and this is not ``sgt adopt`` recording them.
    """
    if ADOPTING in os.environ:
        return
    strangers = unrecorded(study)
    if strangers:
        problem = f"not as the workflow recorded it (results that are not: {len(strangers)})"
        remedy = f"undo edits made since `dvc pull` and run `sgt adopt {study.path}`, or delete it to make it again"
        raise SgtError(strangers[0], problem, remedy)


def unrecorded(study: LoadedStudy) -> list[Path]:
    """Results that something else than Snakemake put there, or changed since.

    A job that was cut off has no record either, but a mark of being unfinished: Snakemake makes it again.
    """
    here = [path for path in _results(study) if path.exists()]
    if not here:
        return []
    records = FilePersistence(path=Path(".snakemake"))
    unfinished = records._filter_incomplete_keys([str(path) for path in here])
    return [path for path in here if str(path) not in unfinished and not _is_recorded(records, path)]


def _is_recorded(records: FilePersistence, path: Path) -> bool:
    record = records._read_record(str(path))
    return record is not None and abs((record.endtime or 0) - path.lstat().st_mtime) < SLACK_SECONDS


def _results(study: LoadedStudy) -> Iterator[Path]:
    """A file of each result that decides the numbers."""
    for name in study.study.datasets:
        yield study.dataset_dir(name) / MANIFEST
    for run in study.runs:
        yield study.run_dir(run) / "run.json"
        for benchmark in study.benchmarks:
            yield study.prediction_dir(run, benchmark) / "meta.json"
            yield study.score_file(run, benchmark)


def _require_vouched(study: LoadedStudy) -> None:
    try:
        known = yaml.safe_load(LOCK.read_text())["stages"]["study"]["params"]
    except FileNotFoundError:
        raise SgtError(LOCK, "there is none, so DVC knows no results", "run the study: `dvc repro`") from None
    if str(study.path) not in known:
        raise SgtError(study.path, f"{LOCK} is about another study", "name that study in dvc.yaml")
    asked = subprocess.run([sys.executable, "-m", "dvc", "status", "--json"], capture_output=True, text=True)
    if asked.returncode:
        raise SgtError(LOCK, f"`dvc status` failed: {asked.stderr.strip()}", "mend what it names")
    changed = json.loads(asked.stdout or "{}")
    if changed:
        raise SgtError(
            LOCK,
            f"study, results or base weights are not those it records ({json.dumps(changed)})",
            "undo the edits, or `dvc pull` what is missing",
        )
