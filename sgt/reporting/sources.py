"""What tables, figures and report are made from: current results of the study, and nothing else."""

from collections.abc import Iterator
from contextlib import contextmanager

from sgt.identity import write_record
from sgt.study.identity import page_identity
from sgt.study.load import LoadedStudy
from sgt.study.results import SOURCES, Results, require_current


@contextmanager
def reporting(study: LoadedStudy, page: str) -> Iterator[None]:
    """Check the sources of a page (``tables``, ``figures``, ``report``) before it is made, and record them after.

    Raises:
        SgtError: a score or a drawing is missing, or not that of the study as it is.
    """
    reported = Results(study).reported
    require_current(*reported)
    yield
    identity = page_identity(study, [result.record for result in reported])
    write_record(study.results / page / SOURCES, {"identity": identity})
