"""Every fetched benchmark, from small files in its real format through the commands to a score file."""

import json
from importlib import import_module
from pathlib import Path

import pytest
import yaml

from sgt.commands.main import main
from sgt.config.benchmarks import OPTIONS, FetchedBenchmark
from sgt.evaluation.tasks import TASKS
from tests.conftest import sgt, write_study
from tests.evaluation.tasks.published import record_fetched

RUN = ["config/micro.yaml", "--model", "micro", "--arm", "base", "--seed", "0"]
NAMES = [name for name in TASKS if issubclass(OPTIONS[name], FetchedBenchmark)]


def written(name: str, downloads: Path, content: dict) -> None:
    """The benchmark's small files, which its own tests write, as if they had been fetched: a folder per download."""
    folders = [downloads / each for each in OPTIONS[name](**content).data_downloads]
    import_module(f"tests.evaluation.tasks.test_{name.replace('-', '_')}").write(*folders)
    for folder in folders:
        record_fetched(folder)


@pytest.mark.parametrize("name", NAMES)
def test_it_is_predicted_and_scored(name, prepared, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_study(tmp_path, benchmarks=[name], arms=["base"])
    Path("base").symlink_to(prepared / "base")
    text = Path(__file__).parents[3].joinpath(f"config/benchmarks/{name}.yaml").read_text()
    (tmp_path / f"config/benchmarks/{name}.yaml").write_text(text)
    written(name, tmp_path / "downloads", yaml.safe_load(text))
    sgt("train", *RUN)
    sgt("predict", *RUN, "--benchmark", name)
    sgt("score", *RUN, "--benchmark", name)
    score = json.loads((tmp_path / f"results/scores/micro/base/seed0/{name}.json").read_text())
    assert score["counts"]["scored"] == score["counts"]["predicted"] > 0
    assert sum(score["statuses"].values()) == score["counts"]["scored"]
    assert score["metrics"] and score["other_protocols"].keys() <= set(TASKS[name].protocols)
    assert all(0 <= metric["value"] <= 1 for metric in score["metrics"].values())
    assert main(["predict", *RUN, "--benchmark", name]) == 0
