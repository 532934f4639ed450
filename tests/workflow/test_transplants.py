"""The workflow plans transplants and analyses, and nothing of either in a study that names none."""

import shutil

from tests.conftest import write_study
from tests.workflow.test_workflow import planned


def test_transplants_and_analyses_are_jobs(prepared, tmp_path):
    transplants = {
        "eyes": {"into": "sft", "parts_from": "edge", "parts": ["vision"]},
        "eyes-from-base": {"into": "sft", "parts_from": "base", "parts": ["vision"]},
    }
    analyses = [
        {"analysis": "ablate", "dataset": "questions", "samples": 2, "benchmark": "toyworld-qa"},
        {"analysis": "attend", "dataset": "test", "samples": 4},
    ]
    write_study(
        tmp_path, arms=["base", "sft", "edge"], benchmarks=["toyworld-qa"], seeds=[0, 1],
        transplants=transplants, analyses=analyses,
    )  # fmt: skip
    shutil.copytree(prepared / "base", tmp_path / "base")
    jobs = planned(tmp_path)
    # Attention of every run, and ablations of every one but the base.
    assert (jobs["base_run"], jobs["train"], jobs["transplant"], jobs["analyse"]) == (1, 4, 4, 5 + 4)
    assert jobs["predict"] == jobs["score"] == 9 and jobs["treatment"] == 2
