"""What tables, figures and report are made from: current results of the study, and nothing else."""

from collections.abc import Callable
from pathlib import Path

from sgt.atomic import sha256
from sgt.identity import write_record
from sgt.study.identity import page_identity
from sgt.study.load import load_study
from sgt.study.loaded import LoadedStudy
from sgt.study.results import SOURCES, Results, page_files, require_current


def write_page(path: Path, page: str, write: Callable[[LoadedStudy], None]) -> None:
    """Check the sources of a page, make it, and record what it was made from.

    Args:
        path: file of the study.
        page: ``tables``, ``figures`` or ``report``.
        write: makes its files.

    Raises:
        SgtError: a score or a sample of targets is missing, or not that of the study as it is.
    """
    study = load_study(path)
    reported = Results(study).reported
    require_current(*reported)
    write(study)
    identity = page_identity(study, [result.record for result in reported])
    record = study.results / page / SOURCES
    files = {path.name: sha256(path) for path in sorted(page_files(record))}
    write_record(record, {"identity": identity, "files": files})
