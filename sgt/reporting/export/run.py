"""A run as a folder in the layout of a model hub: weights, card, licences, evidence and references."""

import logging
from pathlib import Path

from sgt.atomic import atomic_dir, copy_file, sha256, write_json, write_text
from sgt.config.study import ARM_WITHOUT_TRAINING
from sgt.errors import SgtError
from sgt.evaluation.treatment import Treatment, read_treatment
from sgt.identity import read_record, write_record
from sgt.models.released import write_model_file
from sgt.reporting.export.card import card, licences_text, release_name
from sgt.reporting.export.layout import CARD, EVIDENCE, LICENCES, REFERENCES, RELEASE
from sgt.reporting.export.measured import measured
from sgt.reporting.export.origins import licence_of, origins_of
from sgt.reporting.export.status import status_of
from sgt.reporting.references import bibtex
from sgt.study.identity import is_checkpoint_file
from sgt.study.loaded import LoadedStudy
from sgt.study.record import FINAL, checkpoint_of, run_record
from sgt.study.results import EVIDENCE_FILE, Results, require_current
from sgt.study.runs import Run

log = logging.getLogger("sgt")


def export_run(study: LoadedStudy, run: Run, folder: Path, anyway: bool = False) -> None:
    """Write the folder.

    Args:
        study, run: what is exported.
        folder: absent or empty.
        anyway: export a run that did not learn its proxy, too; its card says so.

    Raises:
        SgtError: the folder is not empty, the run or what was measured of it is not that of the study as it is, the run
            did not learn its proxy, its weights are somebody else's or have changed since they were written.
    """
    require_empty(folder)
    _require_own_weights(study, run)
    results = Results(study)
    scores = [results.score(run, benchmark) for benchmark in study.benchmarks.values()]
    require_current(results.run(run), *scores, *([results.treatment(run)] if run.proxy else []))
    treatment = read_treatment(study, run) if run.proxy else None
    if treatment and not treatment.is_administered and not anyway:
        problem = f"{run.id} did not learn its proxy (use {treatment.use.value:.3f})"
        raise SgtError(study.treatment_file(run), problem, "add --anyway to export it with a card that says so")
    with atomic_dir(folder) as temporary:
        weights = _copy_weights(study, run, temporary)
        write_model_file(study.models[run.model], temporary)
        origins = origins_of(study, run)
        write_text(temporary / CARD, card(study, run, origins, measured(study, run), treatment, weights))
        if not licence_of(origins):
            write_text(temporary / LICENCES, licences_text(origins))
        names = {study.models[run.model].family, *(origin.name for origin in origins)}
        write_text(temporary / REFERENCES, bibtex(names))
        _copy_evidence(study, run, temporary / EVIDENCE)
        _write_manifest(study, run, treatment, temporary)
    log.info("%s: exported to %s", run.id, folder)


def require_empty(folder: Path) -> None:
    """See that a folder is absent or empty.

    Raises:
        SgtError: it is not.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise SgtError(folder, "is not an empty folder", "name another, or delete it")


def _require_own_weights(study: LoadedStudy, run: Run) -> None:
    spec = study.models[run.model]
    if run.arm == ARM_WITHOUT_TRAINING and not spec.pretrain:
        problem = f"{spec.checkpoint} was not trained here: its weights are those of whoever published them"
        raise SgtError(run.id, problem, "export an arm that was trained")


def _copy_weights(study: LoadedStudy, run: Run, folder: Path) -> list[tuple[str, str]]:
    """Copy the checkpoint; returns path and SHA-256 of each file of weights.

    Raises:
        SgtError: a file is not as it was when the run finished.
    """
    source, final = checkpoint_of(study, run), study.run_dir(run) / FINAL
    recorded = {path.relative_to(final): digest for path, digest in run_record(_record(study, run))[1].items()}
    weights = []
    for path in (path for path in sorted(source.rglob("*")) if is_checkpoint_file(path)):
        name = path.relative_to(source)
        copy_file(path, folder / name)
        digest = sha256(folder / name)
        if recorded.get(name, digest) != digest:
            raise SgtError(path, "changed since it was made", f"restore it, or delete {_record(study, run)}")
        if path.suffix == ".safetensors":
            weights.append((name.as_posix(), digest))
    return weights


def _record(study: LoadedStudy, run: Run) -> Path:
    return study.run_dir(run) / "run.json"


def _copy_evidence(study: LoadedStudy, run: Run, folder: Path) -> None:
    """Copy the records of a run and of what was measured of it, and the files of the study."""
    run_dir = study.run_dir(run)
    for path in (run_dir / "run.json", run_dir / "metrics.jsonl"):
        if path.exists():
            copy_file(path, folder / path.name)
    for name in study.benchmarks:
        copy_file(study.score_file(run, name), folder / "scores" / f"{name}.json")
        copy_file(study.prediction_dir(run, name) / "meta.json", folder / "predictions" / f"{name}.json")
    if run.proxy:
        path = study.treatment_file(run)
        copy_file(path, folder / path.name)
    for path in study_files(study, [run.model]):
        copy_file(path, folder / "config" / path.relative_to(study.path.parent))
    whole = study.results / EVIDENCE_FILE
    if whole.exists():
        cells = [cell for cell in read_record(whole)["cells"] if run.id in cell["runs"]]
        write_json(folder / "cells.json", cells)


def study_files(study: LoadedStudy, models: list[str]) -> list[Path]:
    """The study's own file and those of some of its models and of its benchmarks."""
    named = [study.model_file(name) for name in models] + [study.benchmark_file(name) for name in study.benchmarks]
    return [study.path, *named]


def _write_manifest(study: LoadedStudy, run: Run, treatment: Treatment | None, folder: Path) -> None:
    """Write ``release.json``: what was exported, and the SHA-256 of every file but the card, which may be edited."""
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file() and path != folder / CARD]
    record = {
        "name": release_name(run),
        "study": study.study.name,
        "run": run.id,
        "status": status_of(study, run, treatment),
        "files": {path.relative_to(folder).as_posix(): sha256(path) for path in paths},
    }
    write_record(folder / RELEASE, record)
