"""The committed studies of released weights and of one GPU, with small stand-ins for the weights and the data alone."""

import csv
import json
import re
import shutil
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file

from sgt.commands.main import main
from sgt.study.load import load_study
from sgt.study.loaded import LoadedStudy
from tests import forked
from tests.conftest import sgt
from tests.workflow.stand_ins import ROOT, derive, serve
from tests.workflow.test_workflow import arguments, environment

pytestmark = pytest.mark.slow
RELEASED, ONE_GPU = ROOT / "config/released-weights.yaml", ROOT / "config/one-gpu.yaml"
# Of the six benchmarks: one of which the paper's values compare, one of which its gains do, and one of which nothing.
BENCHMARKS = ["mmvp", "cv-bench", "pope"]


def fetched(file: Path, patch: pytest.MonkeyPatch) -> LoadedStudy:
    """A derived study in its folder, with everything that it needs fetched from a hub of stand-ins."""
    patch.chdir(file.parents[1])
    hub, study = serve(file), load_study(file.relative_to(file.parents[1]))
    patch.setenv("HF_ENDPOINT", hub.url)
    folders = [Path(each) for spec in study.models.values() for each in (spec.checkpoint, spec.overlay) if each]
    for folder in dict.fromkeys([*folders, *study.read_downloads]):
        sgt("fetch", folder.name)
    hub.close()
    return study


def evaluate(study: LoadedStudy) -> None:
    """Every run of the study on every benchmark."""
    for run in study.runs:
        words = [study.path, "--model", run.model, "--arm", run.arm, "--seed", run.seed]
        sgt("train", *words)
        for benchmark in study.benchmarks:
            sgt("predict", *words, "--benchmark", benchmark)
            sgt("score", *words, "--benchmark", benchmark)


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    """The finished study of released weights, which is the working directory."""
    folder = tmp_path_factory.mktemp("released")
    with pytest.MonkeyPatch.context() as patch:
        study = fetched(derive(RELEASED, folder, benchmarks=BENCHMARKS), patch)
        evaluate(study)
        for page in ("tables", "figures", "evidence", "report"):
            sgt(page, study.path)
        yield study


def rows_of(file: str) -> list[dict[str, str]]:
    with open(file, newline="", encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


@pytest.mark.parametrize("file", [RELEASED, ONE_GPU])
def test_the_page_counts_the_jobs_that_are_planned(file, tmp_path):
    shutil.copytree(ROOT / "config", tmp_path / "config")
    words = arguments("-n", study=f"config/{file.name}")
    status, output = forked.snakemake(words, tmp_path, environment())
    assert status == 0, output
    (total,) = set(re.findall(r"^total +(\d+)$", output, re.M))
    page = (ROOT / f"docs/{file.stem}.md").read_text()
    assert f"`snakemake -n` counts {total} jobs" in page


def test_released_weights_are_compared_with_their_base_on_the_same_items(released):
    rows = rows_of("results/released-weights/tables/released.csv")
    pairs = {(row["model"], row["base"]) for row in rows}
    assert pairs == {("sgt-bagel", "bagel-7b"), ("sgt-gen2", "omnigen2")}
    assert any(float(row["value"]) != float(row["base_value"]) for row in rows)
    for row in rows:
        assert float(row["gain"]) == pytest.approx(float(row["value"]) - float(row["base_value"]), abs=1e-5)
    printed = {(row["model"], row["benchmark"], row["metric"]): row for row in rows if row["printed_gain"]}
    mmvp, bench = printed["sgt-bagel", "mmvp", "accuracy"], printed["sgt-gen2", "cv-bench", "accuracy"]
    assert [float(mmvp[f"printed_{each}"]) for each in ("base", "value", "gain")] == [83.0, 83.33, 0.33]
    # Of CV-Bench, whose prompt is not known, differences alone compare; of POPE nothing does.
    assert [bench[f"printed_{each}"] for each in ("base", "value", "gain")] == ["", "", "0.970000"]
    assert not any(benchmark == "pope" for _, benchmark, _ in printed)


def test_nothing_claims_a_training_that_did_not_happen(released, capsys):
    results = Path("results/released-weights")
    main_table = (results / "tables/main.md").read_text()
    assert re.search(r"\| sgt-bagel +\| released +\|", main_table) and re.search(r"\| bagel-7b +\| base ", main_table)
    report = (results / "report/index.html").read_text()
    assert "this study trained nothing" in report and "Nothing was trained." in report
    assert "post-trained on\nbase" not in report and "training seed." not in report
    # Beside each row stands what the paper prints of the same weights.
    cells = rows_of(str(results / "tables/paper-main.csv"))
    printed = {row["model"]: float(row["printed"]) for row in cells if row["printed"] and row["column"] == "MMVP"}
    assert printed == {"bagel-7b": 83.0, "sgt-bagel": 83.33, "omnigen2": 65.0, "sgt-gen2": 68.33}
    evidence = json.loads((results / "evidence.json").read_text())
    assert evidence["bases"]["sgt-bagel"]["released"] == {"base": "bagel-7b", "arm": "segmentation"}
    assert evidence["bases"]["bagel-7b"]["released"] is None
    assert evidence["bases"]["sgt-bagel"]["revisions"].keys() == {"downloads/bagel-7b", "downloads/sgt-bagel"}
    contents = {name: base["content"] for name, base in evidence["bases"].items()}
    assert len(set(contents.values())) == len(contents)
    assert all(run["steps"] == 0 for run in evidence["runs"].values())
    capsys.readouterr()
    sgt("verify", released.path)
    sgt("trace", released.path, "main", "sgt-bagel/released", "mmvp accuracy")
    assert "downloads/sgt-bagel revision c0ffee" in capsys.readouterr().out
    sgt("info", "sgt-bagel/base/seed0")
    assert (
        "not trained here: released weights, which their authors post-trained from bagel-7b" in capsys.readouterr().out
    )
    sgt("check", released.path)
    said = capsys.readouterr().out
    assert (
        "model sgt-gen2: not trained; without requests, weights in bf16 take 15.8 GB" in said and "per step" not in said
    )


def test_a_release_must_be_of_its_base(released, capsys):
    path = Path("config/models/sgt-bagel.yaml")
    text = path.read_text()
    changed = {**yaml.safe_load(text), "released": {"base": "omnigen2", "arm": "segmentation"}}
    path.write_text(yaml.safe_dump(changed))
    assert main(["check", str(released.path)]) == 1
    assert "sgt-bagel.yaml: released.base: omnigen2 has another family or checkpoint" in capsys.readouterr().err
    path.write_text(text)


def test_one_gpu_trains_adapters_whose_weights_are_merged_and_evaluated(tmp_path, monkeypatch, capsys):
    recipe = yaml.safe_load(ONE_GPU.read_text())["recipe"]
    recipe |= {"steps": 2, "batch": 6, "lora": {**recipe["lora"], "rank": 4, "alpha": 4}}
    recipe["optimizer"] |= {"warmup": 1, "lr": 1.0e-2}
    datasets = yaml.safe_load(ONE_GPU.read_text())["datasets"]
    datasets["coco-16k"]["images"], datasets["coco-val"]["images"] = 8, 4
    datasets["conversations"]["samples"] = 12
    small = {
        "recipe": recipe,
        "datasets": datasets,
        "benchmarks": ["mmvp"],
        "limit": 1,
        "arms": ["base", "sft", "segmentation"],
    }
    study = fetched(derive(ONE_GPU, tmp_path, **small), monkeypatch)
    for name in study.study.datasets:
        sgt("shards", study.path, name, "--workers", 1)
    for shard in study.target_shards("segmentation"):
        options = study.study.proxies["segmentation"].model_dump_json(exclude={"task"})
        images = study.dataset_dir("coco-16k") / shard
        sgt("render", "segmentation", images, study.target_dir("segmentation") / shard, "--options", options)
    evaluate(study)
    words = [study.path, "--model", "bagel-7b-one-gpu", "--arm", "segmentation", "--seed", 0]
    sgt("treatment", *words)
    base = load_file("downloads/bagel-7b/ema.safetensors")
    merged = load_file("results/one-gpu/runs/bagel-7b-one-gpu/segmentation/seed0/final/ema.safetensors")
    assert merged.keys() == base.keys()
    changed = {name for name in base if not torch.equal(merged[name], base[name])}
    assert any("moe_gen" in name for name in changed) and any("q_proj.weight" in name for name in changed)
    assert not any(name.startswith("vit_model") for name in changed)
    score = json.loads(Path("results/one-gpu/scores/bagel-7b-one-gpu/segmentation/seed0/mmvp.json").read_text())
    assert score["counts"]["scored"] == 2, "a pair"
