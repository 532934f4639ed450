"""The paper's study: it is planned in one go, and its data stages run on small files in the released formats."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml

from sgt.config.downloads import DOWNLOADS_FILE
from sgt.data.dataset import open_dataset, open_targets
from sgt.data.manifest import dataset_shards
from sgt.proxies.render import read_target
from sgt.study.load import load_study
from tests import forked
from tests.data.fetch.hub import Hub
from tests.data.sources import releases
from tests.workflow.test_workflow import arguments, environment

ROOT = Path(__file__).parents[2]
STUDY = Path("config/paper.yaml")
SMALL = {
    "sam": {"tars": 2}, "coco-2k": {"images": 4}, "coco-8k": {"images": 6}, "coco-32k": {"images": 8},
    "coco-100k": {"images": 10}, "conversations": {"samples": 40, "per_shard": 20}, "test": {"scenes": 100, "size": 48},
}  # fmt: skip


def snakemake(folder: Path, *words: str, **more: str) -> str:
    status, output = forked.snakemake(arguments(*words, study=str(STUDY)), folder, {**environment(), **more})
    assert status == 0, output
    return output


@pytest.mark.slow
def test_the_whole_study_is_planned(tmp_path):
    shutil.copytree(ROOT / "config", tmp_path / "config")
    jobs = {name: int(count) for name, count in re.findall(r"^(\w+) +(\d+)$", snakemake(tmp_path, "-n"), re.M)}
    study = load_study(ROOT / STUDY)
    models, arms, seeds = len(study.study.models), len(study.study.arms), len(study.study.seeds)
    assert jobs["train"] == models * (arms - 1) * seeds and jobs["base_run"] == models
    # Five proxies of 27 tars; the panoptic maps of 142 thousands of images, and four more proxies of two of them.
    assert jobs["render"] == 5 * 27 + 142 + 4 * 2
    assert jobs["predict"] == jobs["score"] == len(study.benchmarks) * models * ((arms - 1) * seeds + 1)
    # A judge may drift, so that one job judges all runs on a benchmark; GenEval's detector judges each on its own.
    assert jobs["judge_together"] == 5 and jobs["judge"] == 2 * jobs["score"] / len(study.benchmarks)
    # Three datasets, a model per family, the depth estimator, eleven benchmarks with two models that read images, and
    # six downloads of those with a judge.
    fetched = 4 + models + 12 + 2 + 6
    assert jobs["fetch"] == fetched and sum(jobs[name] for name in jobs if name.startswith("shards_")) == 7
    assert jobs["treatment"] == models * len(study.proxy_arms) * seeds


def test_ratios_leave_the_questions_as_they_are():
    study = load_study(ROOT / STUDY)
    for model in study.models:
        ratios = set()
        for arm in study.study.arms:
            recipe = study.recipe(model, arm)
            unit = recipe.batch // sum(recipe.ratio)
            assert unit * recipe.ratio[1] == 16
            ratios.add(recipe.ratio[0] / recipe.ratio[1])
        assert ratios == {1, 1.5, 2, 2.5, 3}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder where the workflow has fetched, made and rendered everything that the study trains on."""
    folder, served = tmp_path_factory.mktemp("paper"), tmp_path_factory.mktemp("served")
    shutil.copytree(ROOT / "config", folder / "config")
    study = yaml.safe_load((ROOT / STUDY).read_text())
    for name, changes in SMALL.items():
        study["datasets"][name].update(changes)
    (folder / STUDY).write_text(yaml.safe_dump(study))
    table = yaml.safe_load((ROOT / DOWNLOADS_FILE).read_text())
    for name in table.keys() & releases.WRITERS.keys():
        releases.WRITERS[name](served / name)
    files = {
        name: {
            str(path.relative_to(served / name)): path.read_bytes()
            for path in (served / name).rglob("*")
            if path.is_file()
        }
        for name in table.keys() & releases.WRITERS.keys()
    }
    hub = Hub(files["coco-2017"], {table[name]["repository"]: files[name] for name in files if name != "coco-2017"})
    # The files are not the released ones, so neither are their hashes; val2017.zip is not among them.
    names = [Path(file["url"]).name for file in table["coco-2017"]["files"]]
    names = [name for name in names if name in files["coco-2017"]]
    table["coco-2017"]["files"] = [{"url": f"{hub.url}/web/{name}"} for name in names]
    (folder / DOWNLOADS_FILE).write_text(yaml.safe_dump(table))
    hub.faults["train2017.zip"] = ["drop:2000", 503]
    loaded = load_study(folder / STUDY)
    targets = {
        str(loaded.target_dir(arm) / f"shard-{index:05d}.tar")
        for arm in loaded.proxy_arms
        for index in range(loaded.study.datasets[loaded.images(arm)].shards)
    }
    wanted = [*sorted(targets), "results/paper/shards/conversations/manifest.json", "results/paper/figures/proxies.png"]
    snakemake(folder, "--", *wanted, HF_ENDPOINT=hub.url, HF_TOKEN="hf_secret0123456789")
    hub.close()
    return folder, wanted


@pytest.mark.slow
def test_every_target_is_there_beside_its_image(made, monkeypatch):
    folder, wanted = made
    monkeypatch.chdir(folder)
    assert all(Path(path).stat().st_size > 0 for path in wanted)
    study = load_study(STUDY)
    counts = {}
    for arm in study.proxy_arms:
        images = study.dataset_dir(study.images(arm))
        names = [path.name for path in dataset_shards(images)]
        kept, targets = open_targets(study.target_dir(arm), open_dataset(images), names)
        counts[arm] = len(kept)
        colours = {read_target(targets[place]).convert("RGB").tobytes() for place in range(len(targets))}
        assert len(colours) > len(kept) // 2
    assert counts["segmentation"] == counts["inpainting"] == 11
    assert [counts[f"panoptic-{size}"] for size in ("2k", "8k", "32k", "100k")] == [4, 6, 8, 10]
    assert np.array_equal(
        open_dataset(study.dataset_dir("coco-100k")).keys[:4], open_dataset(study.dataset_dir("coco-2k")).keys
    )


@pytest.mark.slow
def test_no_log_holds_the_token_and_nothing_is_left_to_do(made):
    folder, wanted = made
    logs = [path.read_text() for path in (folder / "results/paper/logs").rglob("*.log")]
    assert logs and not any("hf_secret" in log for log in logs)
    assert any("sgt render depth" in log and "depth-anything-v2-large" in log for log in logs)
    assert "Nothing to be done" in snakemake(folder, "--", *wanted)
