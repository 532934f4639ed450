"""Whether everything that a study starts from is there or can be fetched: downloads and base weights."""

from pathlib import Path

from sgt.config.datasets import Download, Images
from sgt.config.downloads import DOWNLOADS_FILE, load_download
from sgt.config.models import Model
from sgt.data.fetch import FETCHED
from sgt.data.manifest import MANIFEST
from sgt.errors import SgtError
from sgt.models.rules import rules_of
from sgt.study.loaded import LoadedStudy
from sgt.study.versioning import BASE_DATA, is_versioned


def check_sources(study: LoadedStudy) -> None:
    """Refuse a download that nothing describes, and folders that are not there and that nothing makes.

    Raises:
        SgtError: one line naming the file, the field and the remedy.
    """
    for name in study.used_datasets:
        spec = study.study.datasets[name]
        if isinstance(spec, Images):
            _check_pictures(study, name, Path(spec.folder))
        elif isinstance(spec, Download):
            folder = study.download_dir(spec.download)
            _require_fetchable(folder, "dataset", f"{study.path}: datasets.{name}.download")
    for name, benchmark in study.benchmarks.items():
        for download in benchmark.data_downloads:
            _require_fetchable(study.download_dir(download), "dataset", f"{study.benchmark_file(name)}: download")
    for folder, where in study.fetched_models.items():
        if study.is_fetched(folder):
            _require_fetchable(folder, "model", where)
        elif not (folder / FETCHED).exists():
            raise SgtError(where, f"`sgt fetch` has not filled {folder}", "fetch the model, or name its folder")
    for model in study.models.values():
        _check_weights(study, model)


def _check_weights(study: LoadedStudy, model: Model) -> None:
    file = study.model_file(model.name)
    for field in ("checkpoint", "overlay"):
        folder = getattr(model, field) and Path(getattr(model, field))
        if folder is None:
            continue
        where = f"{file}: {field}"
        if study.is_fetched(folder):
            _require_fetchable(folder, "model", where)
        elif field == "overlay":
            if not folder.is_dir():
                raise SgtError(where, f"there is no folder {folder}", "check its spelling, or fetch it")
        elif not model.pretrain:
            missing = [name for name in rules_of(model.family).weights if not (folder / name).exists()]
            if missing and not is_versioned(folder, missing):
                problem = f"{folder / missing[0]} is not there, and {BASE_DATA} does not have it"
                raise SgtError(where, problem, "check its spelling, or put the weights there")


def _check_pictures(study: LoadedStudy, name: str, folder: Path) -> None:
    """Refuse a folder that is not there, unless the dataset has been made from it."""
    if not folder.is_dir() and not (study.dataset_dir(name) / MANIFEST).exists():
        raise SgtError(f"{study.path}: datasets.{name}.folder", f"there is no folder {folder}", "check its spelling")


def _require_fetchable(folder: Path, kind: str, where: str) -> None:
    # `sgt fetch` decides about a folder that is there in part: it resumes, or takes over what was copied by hand.
    if folder.is_dir():
        return
    if not DOWNLOADS_FILE.exists():
        raise SgtError(where, f"{folder} is not fetched, and there is no {DOWNLOADS_FILE}", "describe it there")
    try:
        entry = load_download(folder.name)
    except SgtError as error:
        raise SgtError(where, f"{folder} is not fetched: {error.where}: {error.problem}", error.remedy) from None
    if entry.kind != kind:
        raise SgtError(where, f"{folder.name!r} is a {entry.kind} in {DOWNLOADS_FILE}, not a {kind}", "name another")
