"""Checking every hash of every record of a study, down to the last byte.

The workflow compares what decided each result, and reads only files that are newer than their records. This reads all
of them.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from sgt.atomic import sha256
from sgt.data.fetch import FETCHED
from sgt.data.identity import fetched_files
from sgt.errors import SgtError
from sgt.identity import difference, read_record
from sgt.progress import Progress
from sgt.study.base_weights import DATA, md5_of, model_files
from sgt.study.identity import EVIDENCE_SCHEMA, base_files, is_checkpoint_file
from sgt.study.loaded import LoadedStudy
from sgt.study.results import EVIDENCE_FILE, Result, Results, StaleInput


@dataclass
class Verified:
    """What was found.

    Attributes:
        sound: files that are as recorded.
        missing: files that a record names, or records of the study, that are not there.
        changed: files that are not as recorded, or results that do not follow from the study, and why.
    """

    sound: set[Path] = field(default_factory=set)
    missing: list[Path] = field(default_factory=list)
    changed: dict[Path, str] = field(default_factory=dict)
    _digests: dict[Path, str] = field(default_factory=dict)

    def check(self, path: Path, digest: str, by: Path) -> None:
        """Compare a file with the SHA-256 that a record has of it; the first record that does not fit is kept."""
        if path in self.changed or path in self.missing:
            return
        if not path.exists():
            self.missing.append(path)
            return
        if path not in self._digests:
            self._digests[path] = sha256(path)
        if (found := self._digests[path]) == digest:
            self.sound.add(path)
        else:
            self.fault(path, f"its SHA-256 is {found}, and {by} has {digest}")

    def fault(self, path: Path, problem: str) -> None:
        """List a file as changed."""
        self.sound.discard(path)
        self.changed[path] = problem


def verify(study: LoadedStudy) -> Verified:
    """Check every file of every result, of the base weights, and of what was fetched.

    Raises:
        SgtError: ``data.dvc`` names base weights, and DVC's list of them is not here.
    """
    verified, results = Verified(), Results(study)
    # First, since it fails where DVC is not set up, and the rest may take an hour.
    versioned = {path: md5 for spec in study.models.values() for path, md5 in model_files(spec.checkpoint).items()}
    # Of datasets that nothing uses, such as that of the base models, the workflow makes none.
    unused = {results.dataset(name).record for name in set(study.study.datasets) - set(study.used_datasets)}
    every = [result for stage in results.stages() for result in stage]
    every = [result for result in every if result.record not in unused or result.record.exists()]
    progress = Progress("results", len(every))
    for result in every:
        _check_files(verified, result)
        progress.add()
    for path, digest, by in (*_fetched(study), *_evidenced(study)):
        verified.check(path, digest, by)
    for path, md5 in versioned.items():
        if is_checkpoint_file(path) and path.exists() and path not in verified.changed and md5_of(path) != md5:
            verified.fault(path, f"its MD5 is not {md5}, which {DATA} has")
    changed_bases = {
        name for name, spec in study.models.items() if not verified.changed.keys().isdisjoint(base_files(spec))
    }
    by_record = {result.record: result for stage in Results(study, changed_bases).stages() for result in stage}
    for result in every:
        _check_identity(verified, by_record[result.record])
    return verified


def _check_files(verified: Verified, result: Result) -> None:
    """Whether a record is whole, and its files are as it has them."""
    if not result.record.exists():
        verified.missing.append(result.record)
        return
    try:
        _, files = result.recorded()
    except SgtError as error:
        verified.fault(result.record, error.problem)
        return
    for path, digest in files.items():
        verified.check(path, digest, result.record)
    verified.sound.add(result.record)


def _check_identity(verified: Verified, result: Result) -> None:
    """Whether a result follows from the study as it is; what follows from a changed file is not listed once more."""
    if result.record not in verified.sound:
        return
    try:
        changed = difference(result.recorded()[0], result.wanted())
    except StaleInput:
        # Made from a result that is not current, which is listed itself.
        return
    except SgtError as error:
        changed = None if Path(error.where) in verified.changed else str(error)
    if changed:
        verified.fault(result.record, f"not of the study as it is: {changed}")


def _fetched(study: LoadedStudy) -> Iterator[tuple[Path, str, Path]]:
    """Files that were fetched, their SHA-256, and the record that has it."""
    bases = [Path(folder) for each in study.models.values() for folder in (each.checkpoint, each.overlay) if folder]
    for folder in dict.fromkeys([*study.read_downloads, *bases]):
        for name, digest in (fetched_files(folder) or {}).items():
            yield folder / name, digest, folder / FETCHED


def _evidenced(study: LoadedStudy) -> Iterator[tuple[Path, str, Path]]:
    """What ``evidence.json`` has hashes of besides: records, which have none of their own bytes, and base weights."""
    path = study.results / EVIDENCE_FILE
    try:
        evidence = read_record(path)
    except (FileNotFoundError, SgtError):
        return  # listed as a result
    if evidence.get("evidence_schema") != EVIDENCE_SCHEMA:
        return
    for name, digest in evidence["identity"]["records"].items():
        yield study.results / name, digest, path
    files = [{each["record"]["path"]: each["record"]["sha256"]} for each in evidence["datasets"].values()]
    files += [each["records"] for each in evidence["targets"].values()]
    files += [each["files"] for each in evidence["bases"].values()]
    for name, digest in (pair for each in files for pair in each.items()):
        yield Path(name), digest, path
