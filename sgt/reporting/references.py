"""BibTeX of what a study builds on, from ``templates/references.bib``."""

import re
from collections.abc import Iterable
from pathlib import Path

from sgt.study.loaded import LoadedStudy

FILE = Path(__file__).parent / "templates" / "references.bib"
# The reference of the study that this project reproduces.
ALWAYS = "sgt"
_ENTRY = re.compile(r"^@\w+\{.*?^\}$", re.M | re.S)
_KEYWORDS = re.compile(r",\s*keywords\s*=\s*\{([^}]*)\}")


def bibtex(names: Iterable[str]) -> str:
    """The entries for model families and downloads, by name, and that of the paper; those of unknown names are none."""
    wanted, chosen = {ALWAYS, *names}, []
    for entry in _ENTRY.findall(FILE.read_text(encoding="utf-8")):
        (keywords,) = _KEYWORDS.findall(entry)
        if wanted & {word.strip() for word in keywords.split(",")}:
            chosen.append(_KEYWORDS.sub("", entry))
    return "\n\n".join(chosen) + "\n"


def names_in(study: LoadedStudy) -> set[str]:
    """Names of a study's model families and of everything that it fetches."""
    names = {spec.family for spec in study.models.values()}
    for spec in study.models.values():
        names |= {Path(folder).name for folder in (spec.checkpoint, spec.overlay) if folder}
    names |= {folder.name for folder in map(study.download_of, study.used_datasets) if folder}
    names |= {folder.name for folder in study.fetched_models}
    for benchmark in study.benchmarks.values():
        names |= set(benchmark.data_downloads)
    return names
