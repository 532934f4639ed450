"""A copy of a study with a results folder of its own, in which one cell can be made again."""

import os
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import yaml

from sgt.atomic import write_text
from sgt.config.files import load_yaml
from sgt.study.load import load_study
from sgt.study.loaded import LoadedStudy
from sgt.study.record import FINAL
from sgt.study.runs import Run


def copy_study(study: LoadedStudy, folder: Path) -> LoadedStudy:
    """The same study with its results in a folder, where its files are copied, too: ``config/``.

    Datasets and targets are links to those of the study. Links are newer than the records that they are compared with,
    so whatever reads them hashes them first.
    """
    config = folder / "config"
    (config / "models").mkdir(parents=True, exist_ok=True)
    (config / "benchmarks").mkdir(exist_ok=True)
    # A model may take its VAE from one that the study lacks.
    owners = {spec.pretrain.vae_of for spec in study.models.values() if spec.pretrain and spec.pretrain.vae_of}
    for name in {*study.models, *owners}:
        shutil.copyfile(study.model_file(name), config / "models" / f"{name}.yaml")
    for name in study.study.benchmarks:
        shutil.copyfile(study.benchmark_file(name), config / "benchmarks" / f"{name}.yaml")
    content = {**load_yaml(study.path), "results": str(folder)}
    # Dashboards would show a run twice.
    content.pop("logging", None)
    write_text(config / study.path.name, yaml.safe_dump(content, sort_keys=False, allow_unicode=True))
    copy = load_study(config / study.path.name)
    for name in study.used_datasets:
        link_files(study.dataset_dir(name), copy.dataset_dir(name))
    for arm in study.proxy_arms:
        link_files(study.target_dir(arm), copy.target_dir(arm))
    return copy


def link_run(study: LoadedStudy, copy: LoadedStudy, run: Run) -> None:
    """Let the copy have a run's record and weights."""
    link_files(study.run_dir(run), copy.run_dir(run))
    link_files(study.run_dir(run) / FINAL, copy.run_dir(run) / FINAL)


def link_predictions(study: LoadedStudy, copy: LoadedStudy, run: Run, benchmark: str) -> None:
    """Let the copy have a run's predictions on a benchmark."""
    link_files(study.prediction_dir(run, benchmark), copy.prediction_dir(run, benchmark))


def copy_replies(study: LoadedStudy, copy: LoadedStudy) -> None:
    """Let the copy have copies of the replies of judges, so that no call is paid twice; new ones stay in the copy."""
    if study.replies_dir.exists():
        shutil.copytree(study.replies_dir, copy.replies_dir, dirs_exist_ok=True)


def link_files(source: Path, to: Path) -> None:
    """Link every file of a folder, but those in folders within it; nothing if there is no such folder."""
    for path in sorted(source.glob("*")):
        if path.is_file():
            link_file(path, to / path.name)


def link_file(source: Path, to: Path) -> None:
    """Link a file, in place of an earlier link; nothing if there is none."""
    if source.exists():
        to.parent.mkdir(parents=True, exist_ok=True)
        to.unlink(missing_ok=True)
        os.symlink(source.resolve(), to)


def narrowed(study: LoadedStudy, model: str, arms: Sequence[str], benchmarks: Sequence[str]) -> LoadedStudy:
    """A study of one model, and of these arms and benchmarks alone, for reading their scores."""
    chosen = [arm for arm in study.study.arms if arm in arms]
    changes = {"models": [model], "arms": chosen, "benchmarks": list(benchmarks), "analyses": [], "transplants": {}}
    return replace(
        study,
        study=study.study.model_copy(update=changes),
        models={model: study.models[model]},
        benchmarks={name: study.benchmarks[name] for name in benchmarks},
    )
