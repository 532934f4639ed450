"""The commands that make a study's datasets and targets, as the workflow runs them.

Runs, predictions and scores record the command that made them. Datasets and targets, which can be made without a study,
do not.
"""

import shlex

from sgt.config.datasets import Images, Toyworld
from sgt.study.loaded import LoadedStudy


def dataset_commands(study: LoadedStudy, name: str) -> list[str]:
    """The commands that make a dataset: of one that is made from a download, the download first."""
    spec = study.study.datasets[name]
    if isinstance(spec, Toyworld):
        words = ["sgt", "toyworld", str(study.dataset_dir(name)), "--split", spec.split, "--scenes", str(spec.scenes)]
        words += ["--per-shard", str(spec.per_shard), "--size", str(spec.size), "--seed", str(spec.seed)]
        return [shlex.join([*words, *(["--edits"] if spec.edits else [])])]
    shards = shlex.join(["sgt", "shards", str(study.path), name])
    return [shards] if isinstance(spec, Images) else [fetch_command(study, spec.download), shards]


def fetch_command(study: LoadedStudy, download: str) -> str:
    """The command that fetches an entry of the table of downloads."""
    return shlex.join(["sgt", "fetch", download, "--into", study.study.downloads])


def render_commands(study: LoadedStudy, arm: str) -> list[str]:
    """The commands that render an arm's targets, one per shard."""
    source, targets = study.dataset_dir(study.images(arm)), study.target_dir(arm)
    task, choices = study.proxy(arm).name, render_choices(study, arm)
    return [
        f"{shlex.join(['sgt', 'render', task, str(source / shard), str(targets / shard)])}{choices}"
        for shard in study.target_shards(arm)
    ]


def render_choices(study: LoadedStudy, arm: str) -> str:
    """The arguments of ``sgt render`` for what the study chose about a proxy; none where it chose nothing.

    Args:
        study: the study.
        arm: or the name of its proxy, under which its targets are filed.
    """
    options = study.proxy(arm).options.model_dump_json(exclude={"task"}, exclude_unset=True)
    arguments = "" if options == "{}" else f" --options {shlex.quote(options)}"
    return arguments + (f" --max-bad {study.study.data.max_bad}" if study.study.data.max_bad else "")
