"""A folder of results: what it may be called, whose it is, and what DVC takes."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from sgt.study.load import load_study
from sgt.study.ownership import OWNER, claim_results
from tests.conftest import MODEL

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    "name",
    ["my results", "a;b", "it's", 'a "b"', "a*b?[c]", "(a) & b | c > d < e", "a`id`", "#a!", "größe", "../up", "a/../b",
     "/tmp/x y", ".", "%d", "a=b,c:d", "@x", "+"],
)  # fmt: skip
def test_any_name_that_can_be_quoted_is_a_folder(name, checked, written):
    assert f"results in {Path(name)}/" in checked.valid(written(results=name))[0]


@pytest.mark.parametrize(
    "name",
    ["", " ", " a", "a ", "a\nb", "a\tb", "\u2028", "\x00", "\ud800", "-a", "-", "./-a", "~", "~/a", "$HOME/a", "$(id)",
     "{model}", "a}", "a\\b", "s3://bucket/a", "\u200b"],
)  # fmt: skip
@pytest.mark.parametrize("field", ["results", "downloads", "checkpoint", "overlay", "model"])
def test_a_name_that_means_something_else_is_refused(name, field, checked, written):
    path = written()
    where = f"config/micro.yaml: {field}"
    if field in ("checkpoint", "overlay"):
        where = f"config/models/micro.yaml: {field}"
        Path("config/models/micro.yaml").write_text(yaml.safe_dump({**MODEL, field: name}))
    elif field == "model":
        where = "config/micro.yaml: proxies.depth.depth.model"
        path = written(proxies={"depth": {"task": "depth", "estimator": "depth-anything-v2", "model": name}})
    else:
        path = written(**{field: name})
    if name == "\ud800":
        assert len(checked.lines(path, 1)) == 1
    else:
        checked.refused(path, where, "")


def test_results_belong_to_the_study_that_used_them_first(checked, written):
    first = written(name="first")
    study = load_study(first)
    assert not study.results.exists(), "reading a study writes nothing"
    claim_results(study)
    claim_results(load_study(first))
    assert yaml.safe_load((study.results / OWNER).read_text()) == {"name": "first"}
    assert [path.name for path in study.results.iterdir()] == [OWNER]
    checked.valid(first)
    checked.refused(
        written(name="second"),
        "config/micro.yaml: results",
        "results holds study 'first', not 'second'; give this study a folder of its own (results: results/second)",
    )
    checked.valid(written(name="second", results="results/second"))
    (study.results / OWNER).write_text("{")
    checked.refused(written(name="first"), "results/study.json", "does not say whose results these are")


def test_of_studies_that_claim_a_folder_at_once_one_gets_it(written):
    claim = "import sys; from sgt.study import load, ownership; study = load.load_study(sys.argv[1]); input();"
    claim += "ownership.claim_results(study)"
    names = [f"study{number}" for number in range(4)]
    for name in names:
        written(name=name).rename(f"config/{name}.yaml")
    running = [
        subprocess.Popen(
            [sys.executable, "-c", claim, f"config/{name}.yaml"],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        for name in names
    ]
    for process in running:
        process.stdin.write("\n")
        process.stdin.flush()
    said = [process.communicate()[1] for process in running]
    winners = [name for name, process in zip(names, running, strict=True) if process.returncode == 0]
    assert winners == [yaml.safe_load(Path("results", OWNER).read_text())["name"]], said
    assert all("holds study" in each for each, process in zip(said, running, strict=True) if process.returncode)


@pytest.fixture(scope="module")
def dvc_folder(tmp_path_factory):
    """The folder ``.dvc`` as DVC makes it."""
    root = tmp_path_factory.mktemp("dvc")
    subprocess.run([Path(sys.executable).with_name("dvc"), "init", "-q", "--no-scm"], cwd=root, check=True)
    return root / ".dvc"


@pytest.fixture
def in_dvc(dvc_folder, checked, written):
    """The command of a stage that has this repository's dvc.yaml, run by DVC itself; returns status and output."""
    pipeline = yaml.safe_load((ROOT / "dvc.yaml").read_text())
    stage = pipeline["stages"]["study"]
    assert stage["cmd"] == "make study STUDY=config/${study}.yaml"
    stage["cmd"] = "sgt check --quiet config/${study}.yaml && touch made"
    stage |= {"deps": ["config/models"], "params": [{"config/${study}.yaml": None}]}
    Path("dvc.yaml").write_text(yaml.safe_dump({"vars": pipeline["vars"], "stages": {"study": stage}}))
    shutil.copytree(dvc_folder, ".dvc")
    bin = Path(sys.executable).parent

    def repro(**changes) -> str:
        written(name="tiny", **changes).rename("config/tiny.yaml")
        done = subprocess.run(
            ["bash", "-c", f"PATH={bin}:$PATH dvc repro"], capture_output=True, text=True, check=False
        )
        return done.stdout + done.stderr

    return repro


def test_dvc_runs_a_study_whose_results_are_where_it_looks(in_dvc):
    said = in_dvc(results="results/tiny")
    assert "sgt check: error" not in said and Path("made").exists()


@pytest.mark.parametrize("results", ["results", "results/mine", pytest.param("elsewhere", marks=pytest.mark.slow)])
def test_results_elsewhere_than_dvc_looks_are_refused_before_anything_is_made(results, in_dvc):
    said = in_dvc(results=results)
    (line,) = [line for line in said.splitlines() if "sgt check: error" in line]
    assert f"config/tiny.yaml: results: {results} is not where dvc.yaml has the results (results/tiny/shards)" in line
    assert not Path("made").exists()


@pytest.mark.parametrize("link", [pytest.param("results", marks=pytest.mark.slow), "results/tiny", "results/tiny/runs"])
def test_results_behind_a_link_are_refused_under_dvc_and_there_alone(link, in_dvc, checked, tmp_path_factory):
    Path(link).parent.mkdir(parents=True, exist_ok=True)
    Path(link).symlink_to(tmp_path_factory.mktemp("scratch"))
    said = in_dvc(results="results/tiny")
    (line,) = [line for line in said.splitlines() if "sgt check: error" in line]
    assert f"config/tiny.yaml: results: DVC follows no link, and {link} is one; make it a folder" in line
    assert not Path("made").exists()
    checked.valid(Path("config/tiny.yaml"))
