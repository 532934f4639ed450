"""An exported run: complete, loadable from its folder alone, and refused where it should not be passed on."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from huggingface_hub import ModelCard

from sgt.atomic import sha256
from sgt.commands.main import main
from sgt.identity import read_record, write_record
from tests.conftest import sgt
from tests.reporting.export.conftest import STUDY, give_use, words

WEIGHTS = {
    "bagel": {"ema.safetensors", "ae.safetensors", "config.json", "llm_config.json", "vit_config.json"},
    "omnigen2": {
        "transformer/diffusion_pytorch_model.safetensors",
        "mllm/model.safetensors",
        "vae/diffusion_pytorch_model.safetensors",
        "model_index.json",
        "processor/tokenizer.json",
    },
}


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def refused(capsys, *arguments: object) -> str:
    """The one line with which a command ends."""
    capsys.readouterr()
    assert main([str(word) for word in arguments]) == 1
    (line,) = (line for line in capsys.readouterr().err.splitlines() if "error:" in line)
    return line


@pytest.mark.parametrize("family", ["bagel", pytest.param("omnigen2", marks=pytest.mark.slow)])
def test_the_snippet_of_the_card_loads_the_model_from_its_folder_alone(family, trained_study, tmp_path):
    trained_study(family)
    sgt("export", *words(family), "--out", "release", "--anyway")
    elsewhere = tmp_path / "elsewhere"
    shutil.move("release", elsewhere)
    shutil.rmtree(tmp_path / "study/results")
    shutil.rmtree(tmp_path / "study/base")
    assert WEIGHTS[family] | {"README.md", "sgt.yaml", "references.bib", "release.json"} <= files(elsewhere)

    (snippet,) = re.findall(r"```python\n(.*?)```", (elsewhere / "README.md").read_text(), re.S)
    script = tmp_path / "snippet.py"
    script.write_text(snippet + "print('answered', drawn.size)\n")
    done = subprocess.run([sys.executable, script], cwd=elsewhere, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "answered (48, 48)" in done.stdout and (elsewhere / "drawn.png").exists()


def test_the_tags_of_the_card_are_those_of_the_run_and_its_scores(release, trained_study):
    card = ModelCard.load(release / "README.md")
    assert card.data.license == "apache-2.0" and card.data.library_name == "sgt"
    assert card.data.pipeline_tag == "any-to-any" and card.data.base_model is None
    assert {"segmentation", "high-level-proxy", "not-administered", "text-to-image"} <= set(card.data.tags)
    score = json.loads((release / "evidence/scores/toyworld-qa.json").read_text())
    headlines = {name: each for name, each in score["metrics"].items() if each["about"]["headline"]}
    assert headlines and {each.metric_type for each in card.data.eval_results} == set(headlines)
    for result in card.data.eval_results:
        wanted = headlines[result.metric_type]
        assert result.metric_value == pytest.approx(wanted["value"], abs=1e-6)
        assert result.metric_args["low"] == pytest.approx(wanted["low"], abs=1e-6)
        assert result.metric_args["high"] == pytest.approx(wanted["high"], abs=1e-6)
        assert result.metric_args["n"] == wanted["n"] and result.task_type == "visual-question-answering"


def test_the_card_has_gains_status_limits_commands_and_references(release):
    text = (release / "README.md").read_text()
    items = {}
    for arm in ("sft", "segmentation"):
        table = json.loads(Path(f"results/scores/micro/{arm}/seed0/toyworld-qa.json").read_text())["items"]
        reasoning = ("arithmetic", "parity")
        items[arm] = [
            value for value, kind in zip(table["accuracy"], table["kind"], strict=True) if kind not in reasoning
        ]
    gain = sum(items["segmentation"]) / len(items["segmentation"]) - sum(items["sft"]) / len(items["sft"])
    (row,) = re.findall(r"^\| toyworld-qa .*\| perception \|.*$", text, re.M)
    assert f"| {gain:+.3f} [" in row
    assert "**This run did not learn its proxy.**" in text and "One training seed: exploratory" in text
    assert "knows no photograph" in text
    for stage in ("train", "treatment", "predict", "score"):
        assert f"sgt {stage} config/micro.yaml --model micro --arm segmentation --seed 0" in text
    record = json.loads(Path("results/runs/micro/segmentation/seed0/run.json").read_text())
    assert record["files"]["ema.safetensors"] in text
    assert "eprint        = {2605.18714}" in text and "eprint        = {2505.14683}" in text
    assert text.count("| trained on | toyworld |") == 2 and "| base weights | micro | pretrained from nothing" in text


def test_evidence_and_hashes_are_in_the_folder(release):
    record = read_record(release / "release.json")
    assert record["run"] == "micro/segmentation/seed0" and record["status"] == "not-administered"
    assert record["files"] == {name: sha256(release / name) for name in files(release) - {"README.md", "release.json"}}
    evidence = {name.removeprefix("evidence/") for name in record["files"] if name.startswith("evidence/")}
    assert evidence == {
        "run.json",
        "metrics.jsonl",
        "treatment.json",
        "scores/toyworld-qa.json",
        "predictions/toyworld-qa.json",
        "config/micro.yaml",
        "config/models/micro.yaml",
        "config/benchmarks/toyworld-qa.yaml",
    }
    for name in ("run.json", "treatment.json", "scores/toyworld-qa.json", "predictions/toyworld-qa.json"):
        assert read_record(release / "evidence" / name)["identity"]
    model = yaml.safe_load((release / "sgt.yaml").read_text())
    assert model["checkpoint"] == "." and not {"pretrain", "overlay", "train", "predict"} & set(model)


def test_the_same_run_is_exported_to_the_same_bytes(release):
    sgt("export", *words("bagel"), "--out", "again", "--anyway")
    assert {name: sha256(release / name) for name in files(release)} == {
        name: sha256(Path("again") / name) for name in files(Path("again"))
    }


def test_cells_of_the_run_are_taken_from_the_evidence_of_the_study(trained_study):
    trained_study()
    runs = ("micro/sft/seed0", "micro/segmentation/seed0")
    cells = [{"row": run, "runs": [run], "control": {"runs": [runs[0]]}} for run in runs]
    write_record(Path("results/evidence.json"), {"cells": cells})
    sgt("export", *words("bagel"), "--out", "release", "--anyway")
    assert json.loads(Path("release/evidence/cells.json").read_text()) == cells[1:]


def test_a_run_that_did_not_learn_its_proxy_is_refused(trained_study, capsys):
    study = trained_study()
    line = refused(capsys, "export", *words("bagel"), "--out", "release")
    assert "micro/segmentation/seed0 did not learn its proxy (use" in line and "add --anyway" in line
    assert not Path("release").exists()
    give_use(study, 0.6)
    sgt("export", *words("bagel"), "--out", "release")
    card = (Path("release") / "README.md").read_text()
    assert "did not learn" not in card and "The proxy segmentation was learned: use of the image 0.600" in card
    assert read_record(Path("release/release.json"))["status"] == "exploratory"


def test_a_run_that_is_not_of_the_study_as_it_is_is_refused(trained_study, capsys):
    trained_study()
    text = STUDY.read_text()
    STUDY.write_text(text.replace("steps: 6", "steps: 7"))
    line = refused(capsys, "export", *words("bagel"), "--out", "release", "--anyway")
    assert "not of the study as it is: recipe.steps was 6 and is 7; run `sgt train" in line
    STUDY.write_text(text)
    Path("results/scores/micro/segmentation/seed0/toyworld-qa.json").unlink()
    assert "toyworld-qa.json: it is not there" in refused(
        capsys, "export", *words("bagel"), "--out", "release", "--anyway"
    )
    assert not Path("release").exists()


def test_a_folder_that_is_not_empty_is_refused(trained_study, capsys):
    trained_study()
    Path("release").mkdir()
    Path("release/mine.txt").write_text("mine")
    line = refused(capsys, "export", *words("bagel"), "--out", "release", "--anyway")
    assert "release: is not an empty folder" in line and files(Path("release")) == {"mine.txt"}


def test_weights_that_changed_since_they_were_written_are_refused(trained_study, capsys):
    trained_study()
    path = Path("results/runs/micro/segmentation/seed0/final/ema.safetensors")
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    line = refused(capsys, "export", *words("bagel"), "--out", "release", "--anyway")
    assert "ema.safetensors: changed since it was made" in line and not Path("release").exists()


def test_the_control_has_a_card_without_a_proxy(trained_study):
    trained_study()
    sgt("export", *words("bagel", "sft"), "--out", "release")
    text = (Path("release") / "README.md").read_text()
    assert "No proxy was trained." in text and "a control" in text and "use of the image" not in text
    assert "A red cube." in text and not Path("release/evidence/treatment.json").exists()


def test_base_weights_are_exported_where_they_were_pretrained(trained_study, capsys):
    trained_study()
    sgt("export", *words("bagel", "base"), "--out", "release")
    text = (Path("release") / "README.md").read_text()
    assert "which the other arms of the study are post-trained from" in text and "It was not post-trained." in text
    assert sha256("release/ema.safetensors") == sha256("base/micro/ema.safetensors")
    assert files(Path("release")).isdisjoint({"acceptance.json", "run.json", "pretrain.log"})
    path = Path("config/models/micro.yaml")
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), "pretrain": None}))
    line = refused(capsys, "export", *words("bagel", "base"), "--out", "again")
    assert "micro/base/seed0: base/micro was not trained here" in line


def test_a_second_seed_makes_a_run_replicated(trained_study):
    study = trained_study()
    give_use(study, 0.6)
    STUDY.write_text(STUDY.read_text().replace("seeds:\n- 0", "seeds:\n- 0\n- 1"))
    sgt("export", *words("bagel"), "--out", "one")
    assert read_record(Path("one/release.json"))["status"] == "exploratory"
    sgt("train", *words("bagel")[:-1], 1)
    sgt("export", *words("bagel"), "--out", "two")
    assert read_record(Path("two/release.json"))["status"] == "replicated"
    assert "2 training seeds." in Path("two/README.md").read_text()
