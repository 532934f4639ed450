"""``dvc repro`` from a fresh clone to the tables, beside ``snakemake``; and no old result under a new study."""

import json
import re

import pytest

from tests.workflow.conftest import TABLE, clone

pytestmark = pytest.mark.slow
NOTHING = "Nothing to be done"


def hashes(here) -> list[str]:
    """What dvc.lock says of the results."""
    return re.findall(r"md5: \w+\.dir", (here / "dvc.lock").read_text())


def test_from_a_fresh_clone_to_the_tables_and_then_nothing_is_left_to_do(reproduced):
    assert (reproduced / TABLE).stat().st_size > 0 and (reproduced / "results/tiny/report/index.html").exists()
    assert "didn't change, skipping" in reproduced.run("dvc repro")
    assert NOTHING in reproduced.run("snakemake --cores all")
    assert "up to date" in reproduced.run("dvc status")


def test_metrics_and_plots_are_there(reproduced):
    shown = json.loads(reproduced.run("dvc metrics show --json 2>/dev/null"))
    accuracy = shown[""]["data"]["results/tiny/tables/metrics.json"]["data"]["micro"]["edge"]["toyworld-qa perception"]
    assert 0 <= accuracy <= 1
    reproduced.run("dvc plots show")
    page = (reproduced / "dvc_plots/index.html").read_text()
    assert "micro edge toyworld-qa perception" in page and "gains.png" in page


def test_snakemakes_own_report_is_complete_in_itself(reproduced):
    reproduced.run("snakemake --report results/tiny/report/workflow.html")
    page = (reproduced / "results/tiny/report/workflow.html").read_text()
    assert "without a proxy, by metric" in page and not re.search(r'(src|href)="http', page)
    (reproduced / "results/tiny/report/workflow.html").unlink()


def test_resumable_checkpoints_are_not_versioned_and_finished_ones_are(reproduced):
    versioned = reproduced.run("dvc ls --recursive --dvc-only . results/tiny/runs")
    assert "micro/edge/seed0/final/ema.safetensors" in versioned and "work" not in versioned
    assert (reproduced / "results/tiny/runs/micro/edge/seed0/work").exists()


def test_old_results_are_never_taken_for_those_of_an_edited_study(reproduced, tmp_path):
    reproduced.run("dvc push -q && git add -A && git commit -qm 'Run the study'")
    here = clone(reproduced.folder, tmp_path / "sgt")
    here.run("dvc pull")
    lock = (here / "dvc.lock").read_text()
    assert "up to date" in here.run("dvc repro")
    assert NOTHING in here.run("make dry-run")
    here.edit("config/tiny.yaml", "lr: 0.001", "lr: 0.002")
    assert re.search(r"^train +2$", here.run("make dry-run"), re.M)
    assert "recipe.optimizer.lr was 0.001 and is 0.002" in here.run("sgt adopt config/tiny.yaml", status=1)
    here.edit("config/tiny.yaml", "lr: 0.002", "lr: 0.001")
    here.run("make pull")
    assert NOTHING in here.run("snakemake --cores all")
    assert "up to date" in here.run("dvc repro") and (here / "dvc.lock").read_text() == lock


SMALL = ("scores", "analyses", "tables", "figures", "report", "evidence.json", "benchmarks")


def test_a_clone_shows_small_results_without_a_run(reproduced, tmp_path):
    reproduced.run("git add -A && git commit -qm 'Run the study' || true")
    reproduced.run(f"dvc remote add --local small {tmp_path}/remote")
    reproduced.run("dvc push --remote small " + " ".join(f"results/tiny/{name}" for name in SMALL))
    here = clone(reproduced.folder, tmp_path / "sgt")
    here.run(f"dvc remote add --local --default small {tmp_path}/remote")
    assert "are whole; what they are made from is not there" in here.run("make pull")
    assert (here / TABLE).read_bytes() == (reproduced / TABLE).read_bytes()
    assert (here / "results/tiny/report/index.html").exists() and not (here / "results/tiny/runs").exists()
    assert "didn't change, skipping" in here.run("dvc repro --allow-missing")
    assert re.search(r"^train +2$", here.run("make dry-run"), re.M)


def test_new_base_weights_make_again_what_starts_from_them_and_not_from_those_on_the_disk(reproduced, tmp_path):
    reproduced.run("dvc push -q && git add -A && git commit -qm 'Run the study' || true")
    here = clone(reproduced.folder, tmp_path / "sgt")
    here.run("git config user.email a@b.c && git config user.name a && make pull")
    old, new = (here / "data/base/micro/vit_config.json").read_text(), None
    # Files of another model change data.dvc, and nothing else.
    (here / "data/base/other").mkdir()
    (here / "data/base/other/ema.safetensors").write_bytes(b"other")
    here.run("dvc add -q data")
    assert NOTHING in here.run("make dry-run")
    new = old + "\n"
    (here / "data/base/micro/vit_config.json").write_text(new)
    here.run("dvc add -q data && dvc push -q")
    # As after `git pull`: data.dvc names the new weights, the disk has the old ones.
    (here / "data/base/micro/vit_config.json").write_text(old)
    planned = here.run("make dry-run")
    assert re.search(r"^base_run +1$", planned, re.M) and re.search(r"^train +2$", planned, re.M)
    assert not re.search(r"^(render|toyworld_\w+) ", planned, re.M)
    here.run("make study")
    assert (here / "data/base/micro/vit_config.json").read_text() == new
    assert NOTHING in here.run("make dry-run")


def test_an_experiment_changes_the_study_and_makes_again_what_depends_on_it(reproduced):
    before = hashes(reproduced)
    said = reproduced.run("dvc exp run -S config/tiny.yaml:recipe.optimizer.lr=0.002")
    assert re.search(r"^train +2$", said, re.M) and not re.search(r"^(render|toyworld_\w+) ", said, re.M)
    after = hashes(reproduced)
    assert sum(one != other for one, other in zip(before, after, strict=True)) >= 5
    assert "recipe.optimizer.lr" in reproduced.run("dvc exp show --csv")
    assert "lr" in reproduced.run("dvc params diff") and "micro.edge" in reproduced.run("dvc metrics diff --all")
    # The other way round: Snakemake first, and DVC only takes note.
    reproduced.edit("config/tiny.yaml", "lr: 0.002", "lr: 0.003")
    reproduced.run("snakemake --cores all")
    assert NOTHING in reproduced.run("dvc repro")
    assert hashes(reproduced) != after and "didn't change, skipping" in reproduced.run("dvc repro")
