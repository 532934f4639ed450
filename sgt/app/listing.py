"""What there is to work with, and how far it is: runs, models, tasks, proxies, datasets."""

from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from pathlib import Path

from sgt.app.find import CONFIG, MODELS, model_names, study_content
from sgt.app.states import CURRENT, state_of_result, state_of_run
from sgt.app.weights import fetch_remedy, missing_weights
from sgt.config.benchmarks import OPTIONS, TASKS
from sgt.config.downloads import DOWNLOADS_FILE, Downloads
from sgt.config.files import read_yaml
from sgt.data.fetch import FETCHED
from sgt.errors import SgtError
from sgt.proxies import PROXIES
from sgt.study.load import load_model_spec, load_study
from sgt.study.loaded import LoadedStudy
from sgt.study.releases import release_in_words
from sgt.study.results import Results

# A line: cells, the last of which may be long.
Line = Sequence[str]


def list_runs(studies: Sequence[LoadedStudy]) -> Iterator[Line]:
    """Every run with its state and study."""
    for study in studies:
        results = Results(study)
        for run in study.evaluated_runs:
            yield run.id, str(study.path), state_of_run(results, run)


def list_models(studies: Sequence[LoadedStudy]) -> Iterator[Line]:
    """Every model of ``config/models`` with its family, and whether its weights are there."""
    for name in model_names():
        try:
            spec = load_model_spec(name, MODELS)
            missing = missing_weights(spec)
            state = "; ".join(f"no weights in {folder}: {fetch_remedy(spec, folder)}" for folder in missing)
            release = f", {release_in_words(spec.released)}" if spec.released else ""
            yield name, spec.family, (state or f"weights in {spec.overlay or spec.checkpoint}") + release
        except SgtError as error:
            yield name, "", f"not valid: {error}"


def list_tasks(studies: Sequence[LoadedStudy]) -> Iterator[Line]:
    """Every task with the benchmarks of the studies that are of it, and how many of their scores are current."""
    import_module(TASKS)
    for task in sorted(OPTIONS):
        used = [(study, name) for study in studies for name, each in study.benchmarks.items() if each.task == task]
        if not used:
            yield task, "", "in no listed study"
        for study, name in used:
            results, runs = Results(study), study.evaluated_runs
            current = sum(
                state_of_result(results, results.score(run, study.benchmark(name))) == CURRENT for run in runs
            )
            yield task, str(study.path), f"benchmark {name}: {current} of {len(runs)} scores current"


def list_proxies(studies: Sequence[LoadedStudy]) -> Iterator[Line]:
    """Every proxy with its level, and how many shards of targets the studies have rendered."""
    for name, proxy in PROXIES.items():
        rendered = []
        for study in studies:
            arms = {study.proxy_name(arm): arm for arm in study.proxy_arms if study.proxy(arm).name == name}
            results = Results(study)
            for arm in arms.values():
                states = [state_of_result(results, result) for result in results.targets(arm)]
                rendered.append(f"{study.path}: {states.count(CURRENT)} of {len(states)} shards of targets current")
        yield name, f"{proxy.level} level", "; ".join(rendered) or "in no listed study"


def list_datasets(studies: Sequence[LoadedStudy]) -> Iterator[Line]:
    """Every dataset of the studies with its state; then what ``sgt fetch`` fetches."""
    for study in studies:
        results = Results(study)
        for name, dataset in study.study.datasets.items():
            yield name, str(study.path), f"{state_of_result(results, results.dataset(name))}: {dataset.summary}"
    if DOWNLOADS_FILE.exists():
        for name, entry in read_yaml(DOWNLOADS_FILE, Downloads).root.items():
            folder = Path("downloads") / name
            fetched = (folder / FETCHED).exists()
            size = f", {entry.gigabytes:g} GB" if entry.gigabytes else ""
            state = f"fetched to {folder}" if fetched else f"not fetched: `sgt fetch {name}`"
            yield name, f"{entry.kind} to fetch", f"{state}{size}"


SECTIONS: dict[str, Callable[[Sequence[LoadedStudy]], Iterator[Line]]] = {
    "runs": list_runs,
    "models": list_models,
    "tasks": list_tasks,
    "proxies": list_proxies,
    "datasets": list_datasets,
}


def listed_studies() -> tuple[list[LoadedStudy], list[SgtError]]:
    """The studies of ``config/`` that have results; all of them if none has. And why others cannot be read."""
    found, errors = [], []
    for file in sorted(CONFIG.glob("*.yaml")):
        try:
            if study_content(file) is not None:
                found.append(load_study(file))
        except SgtError as error:
            errors.append(error)
    return [study for study in found if study.results.exists()] or found, errors
