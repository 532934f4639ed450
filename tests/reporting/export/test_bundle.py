"""A bundle for a paper: everything of the study as it is, and nothing else."""

import hashlib
import re
from pathlib import Path

import pytest
import yaml

from sgt.commands.main import main
from sgt.reporting.contents import figure_files, table_files
from sgt.reporting.references import FILE, bibtex, names_in
from sgt.study.load import load_study
from tests.conftest import sgt
from tests.reporting.export.conftest import STUDY

ROOT = Path(__file__).parents[3]


@pytest.fixture
def reported(trained_study):
    """A study with tables and figures."""
    study = trained_study()
    sgt("tables", STUDY)
    sgt("figures", STUDY)
    return study


def test_a_bundle_has_tables_figures_references_evidence_status_and_citation(reported):
    # Of an earlier study in the same folder.
    Path("results/figures/generation.png").write_bytes(b"old")
    sgt("bundle", STUDY, "--out", "paper")
    names = {path.relative_to("paper").as_posix() for path in Path("paper").rglob("*") if path.is_file()}
    assert {name for name in names if name.startswith("figures/")} == {
        f"figures/{name}" for name in figure_files(reported)
    }
    assert {f"tables/{name}" for name in table_files(reported) if not name.endswith(".json")} <= names
    assert {f"evidence/runs/micro/{arm}/seed0.json" for arm in ("base", "sft", "segmentation")} <= names
    assert "evidence/config/models/micro.yaml" in names
    assert (Path("paper") / "CITATION.cff").read_bytes() == (ROOT / "CITATION.cff").read_bytes()
    assert "@misc{deng2025bagel," in Path("paper/references.bib").read_text()
    text = Path("paper/README.md").read_text()
    assert "One training seed: exploratory" in text and "micro: no proxy arm learned its task" in text
    assert text.count("| base weights | micro | pretrained from nothing on 24 scenes | Apache-2.0 |") == 1
    sums = dict(reversed(line.split("  ")) for line in Path("paper/SHA256SUMS").read_text().splitlines())
    assert sums.keys() == names - {"SHA256SUMS"}
    assert all(hashlib.sha256((Path("paper") / name).read_bytes()).hexdigest() == sums[name] for name in sums)


def test_a_study_whose_tables_are_not_current_is_refused(trained_study, capsys):
    trained_study()
    assert main(["bundle", str(STUDY), "--out", "paper"]) == 1
    remedy = f"run `make study STUDY={STUDY}`"
    assert f"results/tables/sources.json: it is not there; {remedy}" in capsys.readouterr().err
    assert not Path("paper").exists()


def test_a_folder_that_is_not_empty_is_left(reported, capsys):
    Path("paper").mkdir()
    Path("paper/draft.tex").write_text("mine")
    assert main(["bundle", str(STUDY), "--out", "paper"]) == 1
    assert "paper: is not an empty folder" in capsys.readouterr().err
    assert [path.name for path in Path("paper").iterdir()] == ["draft.tex"]


def test_references_are_of_what_a_study_uses(monkeypatch):
    monkeypatch.chdir(ROOT)
    keys = set(re.findall(r"^@misc\{(\w+)", bibtex(names_in(load_study("config/paper.yaml"))), re.M))
    assert {"yu2026sgt", "deng2025bagel", "wu2025omnigen2", "lin2014coco", "kirillov2023sam"} <= keys
    assert {"li2024llavaonevision", "yang2024depthanythingv2"} <= keys and "li2023pope" in keys
    assert set(re.findall(r"^@misc\{(\w+)", bibtex([]), re.M)) == {"yu2026sgt"}


def test_every_download_and_family_has_a_reference():
    downloads = yaml.safe_load((ROOT / "config/data/downloads.yaml").read_text())
    families = {path.parent.name for path in (ROOT / "sgt/models").glob("*/family.py")}
    text = FILE.read_text()
    named = {word.strip() for words in re.findall(r"keywords\s*=\s*\{(.*?)\}", text) for word in words.split(",")}
    assert named >= {*downloads, *families} and text.count("{") == text.count("}")


def test_the_citation_is_of_the_paper_that_is_referred_to():
    (paper,) = yaml.safe_load((ROOT / "CITATION.cff").read_text())["references"]
    entry = bibtex([])
    assert (
        f"{{{paper['title']}}}" in entry and f"{{{paper['identifiers'][0]['value'].removeprefix('arXiv:')}}}" in entry
    )
    names = [f"{each['family-names']}, {each['given-names']}" for each in paper["authors"]]
    assert f"{{{' and '.join(names)}}}" in entry
