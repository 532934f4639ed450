"""Printed numbers stand beside a study's own only where both are the same thing."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from sgt.config.models import Release
from sgt.config.printed import (
    FILE,
    OF_BENCHMARKS,
    paper_model,
    paper_name,
    printed_file,
    printed_pair,
    printed_release,
    printed_value,
)
from sgt.evaluation.metrics import Metric
from sgt.evaluation.tasks import TASKS
from sgt.reporting.paper.layouts import dimensions
from sgt.study.load import load_study

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def paper():
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        return load_study("config/paper.yaml")


def test_every_published_benchmark_of_the_paper_study_is_known_and_its_metric_exists(paper):
    named = {paper_name(benchmark): benchmark for benchmark in paper.benchmarks.values()}
    for name, about in printed_file().comparable.items():
        if name not in named:
            assert about.beside == "nothing", name
            continue
        task = TASKS[about.task](named[name])
        if name != "SIBench":
            assert about.metric in {metric.name for metric in task.metrics([])}, name


def test_printed_values_are_of_the_papers_models_arms_and_whole_benchmarks(paper):
    bagel, omnigen2 = paper.models["bagel-7b"], paper.models["omnigen2"]
    mmvp = paper.benchmarks["mmvp"]
    assert (paper_model(bagel), paper_model(omnigen2)) == ("BAGEL", "OmniGen2")
    assert printed_value("main", bagel, "base", mmvp, "accuracy").value == 83.0
    assert printed_value("proxy_ablation", omnigen2, "sft", mmvp, "accuracy").value == 66.0
    none = [
        printed_value("main", bagel, "sft", mmvp, "accuracy"),
        printed_value("main", bagel, "depth", mmvp, "accuracy"),
        printed_value("main", bagel, "base", mmvp, "pairs"),
        printed_value("main", bagel.model_copy(update={"architecture": {"vae": {}}}), "base", mmvp, "accuracy"),
        printed_value("main", bagel, "base", mmvp.model_copy(update={"samples": 10}), "accuracy"),
        printed_value("main", bagel, "base", mmvp.model_copy(update={"protocol": "vlmevalkit"}), "accuracy"),
        # Compared in gains alone, or not at all.
        printed_value("proxy_ablation", bagel, "sft", paper.benchmarks["cv-bench"], "accuracy"),
        printed_value("proxy_ablation", bagel, "base", paper.benchmarks["pope"], "f1"),
    ]
    assert none == [None] * len(none)
    whole = mmvp.model_copy(update={"samples": 1000})
    assert printed_value("main", bagel, "base", whole, "accuracy").value == 83.0, "it has 150 pairs"
    gain = printed_value("proxy_ablation", bagel, "segmentation", paper.benchmarks["cv-bench"], "accuracy")
    assert (gain.value, gain.is_gain, gain.digitised) == (pytest.approx(79.23 - 74.61), True, False)


def test_released_weights_have_the_printed_values_of_what_they_were_post_trained_on(paper):
    released = paper.models["bagel-7b"].model_copy(update={"released": Release(base="bagel-7b", arm="segmentation")})
    mmvp, bench = paper.benchmarks["mmvp"], paper.benchmarks["cv-bench"]
    assert printed_value("main", released, "base", mmvp, "accuracy").value == 83.33
    assert printed_value("main", released, "segmentation", mmvp, "accuracy") is None, "trained further"
    base, value, gain = printed_release(released, mmvp, "accuracy")
    assert (base.value, value.value, gain.value, gain.is_gain) == (83.0, 83.33, 0.33, True)
    base, value, gain = printed_release(released, bench, "accuracy")
    assert (base, value, gain.value) == (None, None, 6.02)
    assert printed_release(released, paper.benchmarks["pope"], "f1") is None
    assert printed_release(released, mmvp.model_copy(update={"samples": 10}), "accuracy") is None
    assert printed_release(paper.models["bagel-7b"], mmvp, "accuracy") is None


def test_vsr_is_the_papers_on_one_split_alone(paper):
    vsr = paper.benchmarks["vsr"]
    assert printed_pair(vsr) == (80.45, 81.54)
    assert printed_pair(vsr.model_copy(update={"split": "random"})) is None
    assert printed_pair(paper.benchmarks["toyworld-gen"]) is None


def test_both_tables_agree_where_they_print_the_same():
    main, ablation = (printed_file().tables[name].values for name in OF_BENCHMARKS)
    # Of GenEval and GEdit they do not, since they were measured otherwise.
    for name in ("MMVP", "VSR", "HallusionBench"):
        for model in main:
            for arm in ("base", "segmentation"):
                assert main[model][arm][name] == ablation[model][arm][name]
    assert FILE.stat().st_size < 10_000


def test_of_several_benchmarks_of_a_name_the_column_has_that_by_the_papers_protocol(paper):
    vsr, accuracy = paper.benchmarks["vsr"], [Metric("accuracy", "accuracy", "accuracy", headline=True)]
    other = vsr.model_copy(update={"name": "vsr-true-false", "protocol": "true-false"})
    study = SimpleNamespace(benchmarks={"vsr-true-false": other, "vsr": vsr})
    scores = SimpleNamespace(study=study, metrics=lambda name: accuracy, headlines=lambda name: accuracy)
    of = {measure.title: [name for name, _ in measure.of] for measure in dimensions(scores)}
    assert of["spatial"] == ["vsr"]
