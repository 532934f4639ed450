"""What a study could see, before it is run."""

import pytest

from sgt.commands.check import describe
from sgt.study.load import load_study
from sgt.study.power import smallest_difference
from tests.conftest import write_study


def test_the_smallest_difference_is_that_of_a_paired_comparison():
    # Normal quantiles of 0.975 and 0.8: 1.960 and 0.842. Student's of 2 degrees of freedom: 4.303 and 1.061.
    assert smallest_difference(1000, seeds=1, discordance=0.1) == pytest.approx(2.802 * 0.01, rel=1e-3)
    assert smallest_difference(1000, seeds=3, discordance=0.3) == pytest.approx(5.364 * 0.01, rel=1e-3)
    assert smallest_difference(4000, seeds=1, discordance=0.1) == pytest.approx(1.401 * 0.01, rel=1e-3)


def test_a_study_says_what_it_could_see_beside_what_the_paper_prints(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "downloads/pope").mkdir(parents=True)
    write_study(tmp_path, benchmarks=["pope"], arms=["base"])
    (tmp_path / "config/benchmarks/pope.yaml").write_text("{name: pope, task: pope, version: 1, protocol: paper}")
    lines = "\n".join(describe(load_study("config/micro.yaml")))
    assert "benchmark pope v1: pope, protocol paper, on pope" in lines
    printed = "the paper prints 85.69 and 88.32 of BAGEL, +2.63"
    assert f"pope: sees differences from 0.9 points, with 9000 rows; {printed}" in lines
