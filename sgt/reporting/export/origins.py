"""What a run was made from and measured on: base weights, datasets and models, with their licences.

Licences are those that ``config/data/downloads.yaml`` states, and of pictures of one's own those of the study file.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sgt.config.data import Subset
from sgt.config.datasets import Images
from sgt.config.downloads import DOWNLOADS_FILE, Downloads, HubDownload
from sgt.config.files import read_yaml
from sgt.config.study import ARM_WITHOUT_TRAINING
from sgt.study.loaded import LoadedStudy
from sgt.study.runs import Run

# Of what this project makes itself: scenes, and weights trained on them from nothing.
OWN_LICENCE = "Apache-2.0"
OWN = "toyworld"
# The hub's names of licences that allow any use with attribution, by what downloads.yaml states in full. A licence with
# a remark ("Apache-2.0 by its card; each subset has its own") is not one of them.
HUB_LICENCES = {"Apache-2.0": "apache-2.0", "MIT": "mit", "CC-BY-4.0": "cc-by-4.0"}
BASE, TRAINED_ON, RENDERED_WITH, MEASURED_ON = "base weights", "trained on", "targets rendered with", "measured on"


@dataclass(frozen=True)
class Origin:
    """One of the things that a run was made from or measured on.

    Attributes:
        use: what for: one of the constants of this module.
        name: of the download, or of the dataset.
        about: how much of it, or what it is; empty if there is nothing to add.
        licence: as downloads.yaml, or the study file, states it.
        repository: OWNER/NAME on the hub; None if it is not there.
        kind: ``dataset`` or ``model``.
    """

    use: str
    name: str
    about: str
    licence: str
    repository: str | None
    kind: str


def origins_of(study: LoadedStudy, run: Run) -> list[Origin]:
    """Everything that a run was made from, and the benchmarks' data, each once per use."""
    found = [*_base(study, run)]
    if run.arm != ARM_WITHOUT_TRAINING:
        found.append(_dataset(study, study.questions, "questions"))
    if run.proxy:
        found.append(_dataset(study, study.image_subset(run.proxy), "images and targets"))
        folders = study.proxy(run.proxy).downloads
        found += [_fetched(RENDERED_WITH, study, Path(folder), "model") for folder in folders]
        if study.held_out:
            found.append(_dataset(study, Subset(dataset=study.held_out), "held-out images", MEASURED_ON))
    for name, benchmark in study.benchmarks.items():
        if benchmark.dataset is not None:
            found.append(_dataset(study, Subset(dataset=benchmark.dataset), name, MEASURED_ON))
        for download in benchmark.data_downloads:
            found.append(_fetched(MEASURED_ON, study, study.download_dir(download), "dataset", name))
        found += [_fetched(MEASURED_ON, study, Path(folder), "model", name) for folder in benchmark.downloads]
    return list(dict.fromkeys(found))


def licence_of(origins: list[Origin]) -> str | None:
    """The hub's name of the licence under which the weights can be passed on: that of the base weights.

    Returns:
        None if that is not one known licence, or if the run was trained on something, or its targets rendered with
        something, whose licence is not plainly a permissive one: whoever passes the weights on has to decide then.
    """
    of_base = {HUB_LICENCES.get(origin.licence) for origin in origins if origin.use == BASE}
    made_from = [origin for origin in origins if origin.use in (TRAINED_ON, RENDERED_WITH)]
    if len(of_base) != 1 or not all(origin.licence in HUB_LICENCES for origin in made_from):
        return None
    return of_base.pop()


def _base(study: LoadedStudy, run: Run) -> Iterator[Origin]:
    spec = study.models[run.model]
    if spec.pretrain:
        about = f"pretrained from nothing on {study.study.datasets[spec.pretrain.dataset].summary}"
        yield Origin(BASE, spec.name, about, OWN_LICENCE, None, "model")
        return
    for folder, about in ((spec.checkpoint, ""), (spec.overlay, "laid over them")):
        if folder:
            yield _fetched(BASE, study, Path(folder), "model", about)


def _dataset(study: LoadedStudy, subset: Subset, about: str, use: str = TRAINED_ON) -> Origin:
    spec, folder = study.study.datasets[subset.dataset], study.download_of(subset.dataset)
    amount = spec.summary if subset.limit is None else f"the first {subset.limit} of {spec.summary}"
    if isinstance(spec, Images):
        return Origin(use, subset.dataset, f"{about}: {amount}", spec.licence, None, "dataset")
    if folder is None:
        return Origin(use, OWN, f"{about}: {amount}", OWN_LICENCE, None, "dataset")
    return _fetched(use, study, folder, "dataset", f"{about}: {amount}")


def _fetched(use: str, study: LoadedStudy, folder: Path, kind: str, about: str = "") -> Origin:
    # A folder that was filled by hand needs no entry.
    table = read_yaml(DOWNLOADS_FILE, Downloads).root if DOWNLOADS_FILE.exists() else {}
    entry = table.get(folder.name) if study.is_fetched(folder) else None
    licence = entry.licence if entry else f"not stated in {DOWNLOADS_FILE}"
    repository = entry.repository if isinstance(entry, HubDownload) else None
    return Origin(use, folder.name, about, licence, repository, kind)
