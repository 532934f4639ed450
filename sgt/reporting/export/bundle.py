"""A study as a bundle for a paper: tables, figures, references, evidence, status and how to cite it."""

import logging
from pathlib import Path

import sgt
from sgt.atomic import atomic_dir, copy_file, sha256, write_text
from sgt.errors import SgtError
from sgt.reporting.contents import CAPTIONS, FIGURE_FORMATS, figures_of, table_files
from sgt.reporting.export.card import template
from sgt.reporting.export.layout import EVIDENCE, REFERENCES
from sgt.reporting.export.origins import Origin, origins_of
from sgt.reporting.export.run import require_empty, study_files
from sgt.reporting.export.status import study_status
from sgt.reporting.references import bibtex, names_in
from sgt.reporting.treatments import read_treatments
from sgt.study.loaded import LoadedStudy
from sgt.study.results import EVIDENCE_FILE, Results, require_current

log = logging.getLogger("sgt")
CITATION, SUMS = "CITATION.cff", "SHA256SUMS"
PROXIES = "proxies"


def write_bundle(study: LoadedStudy, folder: Path) -> None:
    """Write the folder, whole or not at all.

    Args:
        study: whose tables and figures are made.
        folder: absent or empty.

    Raises:
        SgtError: the folder is not empty, or tables or figures are not those of the study as it is.
    """
    require_empty(folder)
    results = Results(study)
    require_current(results.page("tables"), results.page("figures"))
    citation = Path(sgt.__file__).parents[1] / CITATION
    if not citation.exists():
        raise SgtError(citation, "no such file", "restore it from the clone or the archive")
    with atomic_dir(folder) as temporary:
        tables, figures = _copy_tables(study, temporary), _copy_figures(study, temporary)
        write_text(temporary / REFERENCES, bibtex(names_in(study)))
        copy_file(citation, temporary / CITATION)
        _copy_evidence(study, temporary / EVIDENCE)
        treatments = read_treatments(study)
        page = template("bundle.md.j2").render(
            study=study,
            status=study_status(study, treatments),
            origins=_origins(study),
            tables=tables,
            figures={name: CAPTIONS[name] for name in figures},
            formats=sorted({path.suffix for path in (temporary / "figures").iterdir()}) if figures else [],
        )
        write_text(temporary / "README.md", page)
        paths = [path for path in sorted(temporary.rglob("*")) if path.is_file()]
        write_text(temporary / SUMS, "".join(f"{sha256(path)}  {path.relative_to(temporary)}\n" for path in paths))
    log.info("study %s: bundled in %s", study.study.name, folder)


def _origins(study: LoadedStudy) -> list[Origin]:
    """What all arms were made from and measured on, each once; seeds do not differ in it."""
    first = [run for run in study.runs if run.seed == study.study.seeds[0]]
    return list(dict.fromkeys(origin for run in first for origin in origins_of(study, run)))


def _copy_tables(study: LoadedStudy, folder: Path) -> list[str]:
    """Copy the study's tables; returns their files' names."""
    names = [name for name in table_files(study) if Path(name).suffix != ".json"]
    for name in names:
        copy_file(study.results / "tables" / name, folder / "tables" / name)
    return names


def _copy_figures(study: LoadedStudy, folder: Path) -> list[str]:
    """Copy the study's figures in every format that they have; returns their names."""
    source, names = study.results / "figures", []
    for name in [*figures_of(study), PROXIES]:
        paths = [path for suffix in FIGURE_FORMATS if (path := source / f"{name}{suffix}").exists()]
        for path in paths:
            copy_file(path, folder / "figures" / path.name)
        names += [name] if paths else []
    return names


def _copy_evidence(study: LoadedStudy, folder: Path) -> None:
    """Copy the records of every run, the study's files, and its evidence if it was collected."""
    for run in study.runs:
        copy_file(study.run_dir(run) / "run.json", folder / "runs" / f"{run.id}.json")
        if run.proxy:
            copy_file(study.treatment_file(run), folder / "treatments" / f"{run.id}.json")
    for path in study_files(study, list(study.models)):
        copy_file(path, folder / "config" / path.relative_to(study.path.parent))
    if (study.results / EVIDENCE_FILE).exists():
        copy_file(study.results / EVIDENCE_FILE, folder / EVIDENCE_FILE)
