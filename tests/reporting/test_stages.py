"""How long stages took, from what Snakemake measured."""

import pytest

from sgt.reporting.stages import job_seconds, stage_times


@pytest.mark.parametrize("left", ["", "s\th:m:s\tmax"])
def test_a_file_that_a_kill_cut_off_is_left_out(left, tmp_path):
    whole, cut = tmp_path / "train/a.tsv", tmp_path / "train/b.tsv"
    whole.parent.mkdir()
    whole.write_text("s\th:m:s\tmax_rss\n2.5\t0:00:02\t100\n")
    before = stage_times(tmp_path)
    cut.write_text(left)
    assert job_seconds(cut) is None
    assert stage_times(tmp_path).equals(before)
