"""What models draw for a proxy's prompt, against its targets: perfect, empty and swapped drawings, and a real run."""

import base64
import io
import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from sgt.config.benchmarks import OPTIONS
from sgt.config.datasets import Toyworld
from sgt.data.shards import read_shard
from sgt.data.toyworld.dataset import write_shard
from sgt.evaluation.score import score_predictions
from sgt.evaluation.statistics import linearised
from sgt.evaluation.tasks import make_task
from sgt.proxies import PROXIES
from tests.conftest import sgt, write_study

RUN = ["config/micro.yaml", "--model", "micro", "--arm", "base", "--seed", "0"]


def benchmark(**proxy: object) -> dict:
    sampling = {"num_steps": 2, "cfg_text_scale": 1.0}
    return {
        "name": "drawn",
        "task": "proxy-fidelity",
        "version": 1,
        "dataset": "test",
        "samples": 6,
        "proxy": proxy,
        "sampling": sampling,
    }


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    path = tmp_path_factory.mktemp("scenes") / "shard-00000.tar"
    write_shard(path, Toyworld(source="toyworld", split="test", scenes=6), 0)
    return list(read_shard(path))


def task(**proxy: object):
    return make_task(OPTIONS["proxy-fidelity"](**benchmark(**proxy)))


def target(row) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(row.extra["target"]))).convert("RGB")


def values(task, rows, images) -> dict[str, float]:
    scored = score_predictions(task, zip(rows, images, strict=True))
    return {name.removeprefix("fidelity/"): metric["value"] for name, metric in scored.metrics.items()}


@pytest.mark.parametrize("name", PROXIES)
def test_true_targets_are_as_good_as_can_be_and_those_of_others_are_not(name, scenes):
    drawn = task(task=name)
    rows = list(drawn.rows(scenes))
    assert [row.groups["image"] for row in rows] == [scene.key for scene in scenes]
    assert all(row.question == PROXIES[name].prompts[0] and len(row.images) == 1 for row in rows)
    metrics = drawn.metrics(rows)
    assert sum(metric.headline for metric in metrics) == 1
    true = values(drawn, rows, [target(row) for row in rows])
    other = values(drawn, rows, [target(rows[place - 1]) for place in range(len(rows))])
    for metric in metrics:
        better = true[metric.title] - other[metric.title]
        assert (better if metric.higher_is_better else -better) > 0, metric.title


def test_panoptic_quality_and_depth_of_true_targets(scenes):
    rows = list((drawn := task(task="segmentation")).rows(scenes))
    true = values(drawn, rows, [target(row) for row in rows])
    assert true["PQ"] == pytest.approx(1) and true["matched IoU"] == pytest.approx(1)
    rows = list((drawn := task(task="depth")).rows(scenes))
    true = values(drawn, rows, [target(row) for row in rows])
    assert true["δ < 1.25"] > 0.9 and true["AbsRel of depth"] < 0.1


def test_an_image_without_a_measure_is_left_out_of_its_mean(scenes):
    drawn = task(task="segmentation")
    rows = list(drawn.rows(scenes))
    blank = io.BytesIO()
    Image.new("RGB", target(rows[0]).size).save(blank, "PNG")
    rows[0].extra["target"] = base64.b64encode(blank.getvalue()).decode()
    assert values(drawn, rows, [target(row) for row in rows])["matched IoU"] == pytest.approx(1)
    nothing = [Image.new("RGB", (48, 48))] * len(rows)
    assert values(drawn, rows, nothing) == {"PQ": 0, "SQ": 0, "RQ": 0, "matched IoU": 0}


def test_a_proxy_that_needs_a_model_for_its_targets_is_refused():
    with pytest.raises(ValueError, match="a benchmark needs annotations"):
        task(task="depth", estimator="depth-anything-v2", model="downloads/d")


def test_linearised_values_have_the_mean_and_the_spread_of_the_statistic():
    draw = np.random.default_rng(0)
    above, below = draw.uniform(0, 1, 400), draw.uniform(1, 2, 400)
    found = linearised({"above": above, "below": below}, lambda sums: sums["above"] / sums["below"])
    ratio = above.sum() / below.sum()
    assert found.mean() == pytest.approx(ratio)
    assert found - ratio == pytest.approx((above - ratio * below) / below.mean(), abs=1e-6)


def test_a_run_is_predicted_and_scored(study):
    Path("config/benchmarks/drawn.yaml").write_text(yaml.safe_dump(benchmark(task="inpainting")))
    write_study(Path(), arms=["base"], benchmarks=["drawn"])
    sgt("train", *RUN)
    for command in ("predict", "score"):
        sgt(command, *RUN, "--benchmark", "drawn")
    score = json.loads(Path("results/scores/micro/base/seed0/drawn.json").read_text())
    assert score["counts"] == {"predicted": 6, "scored": 6}
    assert {"fidelity/PSNR", "fidelity/SSIM"} <= set(score["metrics"])
    assert score["evaluator"]["proxy"]["task"] == "inpainting"
