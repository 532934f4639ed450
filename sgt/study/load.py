"""Reading a study and the files that it names."""

import json
from importlib import import_module
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from sgt.config.analyses import ANALYSES, ANALYSIS_OPTIONS, AnalysisEntry, AnalysisOptions
from sgt.config.benchmarks import OPTIONS, TASKS, Benchmark, TaskName
from sgt.config.files import first_fault, read_yaml
from sgt.config.judges import JudgedImageBenchmark
from sgt.config.models import Model
from sgt.errors import SgtError
from sgt.models.rules import rules_of
from sgt.study.compatibility import check_compatibility
from sgt.study.loaded import LoadedStudy
from sgt.study.ownership import require_own_results
from sgt.study.schema import StudyFile
from sgt.study.sources import check_sources
from sgt.study.versioning import require_versionable

Named = TypeVar("Named", bound=Model | Benchmark)


def load_study(path: Path | str) -> LoadedStudy:
    """Read a study and every file it names, and check that it can be run to its end.

    Every command and the workflow use this one check.

    Raises:
        SgtError: one line naming the file, the field and the remedy.
    """
    path = Path(path)
    study = read_yaml(path, StudyFile)
    models = {name: load_model_spec(name, path.parent / "models") for name in study.models}
    named = {name: _load_benchmark(path.parent / "benchmarks", name, study) for name in study.benchmarks}
    not_run = {name: reason for name, each in named.items() if (reason := each.not_run)}
    benchmarks = {name: each for name, each in named.items() if name not in not_run}
    if not benchmarks:
        name, reason = next(iter(not_run.items()))
        raise SgtError(f"{path}: benchmarks", f"none can be run ({name}: {reason})", "configure one, or add another")
    loaded = LoadedStudy(path, study, models, benchmarks, _load_analyses(path, study.analyses), not_run)
    require_own_results(loaded)
    require_versionable(loaded)
    check_compatibility(loaded)
    check_sources(loaded)
    return loaded


def load_model_spec(name: str, folder: Path = Path("config/models")) -> Model:
    """One model's file.

    Raises:
        SgtError: there is none, or it is not valid.
    """
    spec = _load_named(folder, name, Model)
    try:
        rules_of(spec.family).images(spec)
    except SgtError as error:
        raise SgtError(f"{folder / name}.yaml: {error.where}", error.problem, error.remedy) from None
    return spec


def _load_benchmark(folder: Path, name: str, study: StudyFile) -> Benchmark:
    file = folder / f"{name}.yaml"
    task = read_yaml(file, TaskName).task
    import_module(TASKS)
    if task not in OPTIONS:
        raise SgtError(f"{file}: task", f"no task {task!r}", f"use one of {', '.join(OPTIONS)}")
    benchmark = _load_named(folder, name, OPTIONS[task])
    limits = [each for each in (benchmark.samples, study.limit) if each is not None]
    of_study: dict[str, object] = {"samples": min(limits, default=None)}
    if isinstance(benchmark, JudgedImageBenchmark):
        of_study["judge"] = benchmark.judge or study.judge
    return benchmark.model_copy(update=of_study)


def _load_analyses(path: Path, entries: list[AnalysisEntry]) -> dict[str, AnalysisOptions]:
    if entries:
        import_module(ANALYSES)
    loaded = {}
    for place, entry in enumerate(entries):
        where = f"{path}: analyses.{place}"
        kind = ANALYSIS_OPTIONS.get(entry.analysis)
        if kind is None:
            remedy = f"use one of {', '.join(ANALYSIS_OPTIONS)}"
            raise SgtError(f"{where}.analysis", f"no analysis {entry.analysis!r}", remedy)
        try:
            # As `read_yaml` does it.
            options = kind.model_validate_json(json.dumps(entry.model_dump(exclude_unset=True)), strict=True)
        except ValidationError as error:
            part, problem, remedy = first_fault(kind, error)
            raise SgtError(f"{where}.{part}" if part else where, problem, remedy) from None
        loaded[entry.file_name] = options
    return loaded


def _load_named(folder: Path, name: str, kind: type[Named]) -> Named:
    spec = read_yaml(folder / f"{name}.yaml", kind)
    if spec.name != name:
        raise SgtError(folder / f"{name}.yaml", f"name is {spec.name!r}", f"make it {name!r}, as the file")
    return spec
