"""What a study takes in all, as `sgt check` tells it."""

from pathlib import Path

import pytest

from sgt.commands.main import main
from sgt.study.costs import Costs
from sgt.study.load import load_study
from tests.conftest import STUDY

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def paper():
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        return Costs(load_study("config/paper.yaml"))


def test_the_papers_study_is_what_the_page_on_costs_says(paper):
    page = (ROOT / "docs/costs.md").read_text()
    hours = sum(map(paper.gpu_hours, paper.trained))
    assert f"{round(hours, -1):,.0f}" == "3,930" and "| 3,930 | 2.5 TB | 5.8 TB |" in page
    (time,) = [line for line in paper.lines() if line.startswith("GPU-hours of training: ")]
    assert f"{hours:,.0f} (bagel-7b " in time
    whole, peak, unknown = [line for line in paper.lines() if line.startswith("disk: ")]
    assert "finished runs 2.45 TB" in whole and "fetched 205 GB" in whole
    assert "at most 5.85 TB" in peak and "700 GB of bagel-7b" in peak and "700 GB" in page
    assert "llava-onevision" in unknown and "omnigen2" in unknown


def test_an_arm_costs_what_its_ratio_asks(paper):
    hours = {run.arm: paper.gpu_hours(run) for run in paper.trained if run.model == "bagel-7b" and run.seed == 0}
    ratios = ["sft", "segmentation-1-1", "segmentation-3-2", "segmentation", "segmentation-5-2", "segmentation-3-1"]
    costs = [hours[arm] for arm in ratios]
    assert costs == sorted(costs) and costs[0] < costs[3] / 2 and hours["edge"] == hours["segmentation"]


def test_the_second_control_costs_a_proxy_arm(written):
    changes = {"models": ["micro", "micro-omnigen2"], "arms": ["sft", "sft-compute", "edge"]}
    costs = Costs(load_study(written(**changes, recipe={**STUDY["recipe"], "batch": 48})))
    for model in changes["models"]:
        spec = costs.study.models[model]
        assert costs.sizes[model] is not None and not spec.train.gpu
        hours = {run.arm: costs.gpu_hours(run) for run in costs.trained if run.model == model}
        alone = costs.study.sft_compute_batches[model]
        assert alone > 16 and abs(hours["sft-compute"] - hours["edge"]) <= hours["sft"] / 16 / 2
        assert any(f"sft-compute has {alone} VQA samples per step, sft 16" in line for line in costs.lines())


def test_the_peak_has_the_checkpoints_of_the_largest_run_in_progress(checked, written):
    def peak(**recipe) -> int:
        costs = Costs(load_study(written(recipe={**STUDY["recipe"], **recipe})))
        return costs.in_progress("micro")

    one = peak(keep_last=1, save_every=6)
    assert one > 0 and peak(keep_last=1, save_every=2) == 2 * one and peak(keep_last=2, save_every=2) == 3 * one
    assert peak(keep_last=9, save_every=2) == 3 * one, "there are never more than are saved"
    assert peak(keep_last=1, save_every=6, ema=0.5) > one
    lines = checked.valid(written(arms=["base"], data={}))
    assert sum(line.startswith("disk: ") for line in lines) == 1 and not any("GPU-hours" in line for line in lines)
    assert not any("finished runs" in line for line in lines if line.startswith("disk: "))


def test_every_seed_adds_its_runs_and_predictions(checked, written):
    one, two = (Costs(load_study(written(seeds=seeds))).made() for seeds in ([0], [0, 1]))
    assert two["finished runs"] == 2 * one["finished runs"] and two["targets"] == one["targets"]
    assert one["predictions"] < two["predictions"] < 2 * one["predictions"], "base is predicted once"


def test_the_folder_of_results_is_told_alone(checked, written, capsys):
    path = written(results="my results")
    assert checked.valid(path)[-1].startswith("jobs: ")
    assert main(["check", "--results", str(path)]) == 0
    assert capsys.readouterr().out == "my results\n"
    assert main(["check", "--quiet", str(path)]) == 0
    assert capsys.readouterr().out == ""
