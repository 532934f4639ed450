"""What a study says, and one line for one that cannot be."""

import json
import subprocess
from pathlib import Path

import pytest
import yaml

from sgt.commands.check import describe, job_counts
from sgt.commands.main import main
from sgt.config.benchmarks import OPTIONS
from sgt.proxies import PROXIES
from sgt.study.commands import render_commands
from sgt.study.load import load_study
from sgt.study.schema import StudyFile, study_schema
from tests.conftest import GENERATION, MODEL, STUDY, sides, write_study

ROOT = Path(__file__).parents[2]


def test_the_schema_for_editors_knows_every_proxy_and_is_no_file_that_could_be_behind():
    defined = json.loads(study_schema())["$defs"]
    tasks = {task for each in defined.values() for task in [each.get("properties", {}).get("task", {}).get("const")]}
    assert tasks - {None} == set(PROXIES)
    tracked = subprocess.run(["git", "ls-files", "config"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "study.schema" not in tracked


@pytest.mark.parametrize("path", sorted((ROOT / "config").glob("*.yaml")), ids=lambda path: path.name)
def test_every_study_of_the_repository_is_valid(path):
    study = load_study(path)
    assert study.study.name == path.stem
    assert study.runs[0].id == f"{study.study.models[0]}/base/seed{study.study.seeds[0]}"


def test_a_study_expands_to_model_by_arm_by_seed_and_one_base(tmp_path):
    study = load_study(write_study(tmp_path, seeds=[0, 3], arms=["base", "sft", "edge"]))
    assert [run.id for run in study.runs] == [
        "micro/base/seed0", "micro/sft/seed0", "micro/sft/seed3", "micro/edge/seed0", "micro/edge/seed3",
    ]  # fmt: skip
    assert job_counts(study) == {"toyworld": 3, "render": 2, "train": 4, "predict": 10, "score": 10}
    lines = describe(study)
    assert "run micro/edge/seed3: 6 steps" in lines and "run micro/base/seed0: 0 steps" in lines
    assert lines[-1] == "jobs: 3 toyworld, 2 render, 4 train, 10 predict, 10 score; 29 in all"


def test_what_rendering_needs_decides_no_target_and_is_in_no_command(tmp_path):
    options = {"task": "depth", "estimator": "depth-anything-v2", "model": "downloads/depth-anything-v2-small"}
    study = load_study(write_study(tmp_path, proxies={"depth": options}))
    needing = {**options, "render": {"gpu": 1, "threads": 4, "mem_mb": 16000, "runtime": 300}}
    with_gpu = load_study(write_study(tmp_path, proxies={"depth": needing}))
    assert with_gpu.proxy("depth").options.render.model_dump() == needing["render"]
    assert with_gpu.proxy("depth").identity == study.proxy("depth").identity
    assert render_commands(with_gpu, "depth") == render_commands(study, "depth")
    assert [line for line in describe(with_gpu) if line.startswith("proxy ")] == [
        "proxy depth: rendered with downloads/depth-anything-v2-small on a GPU"
    ]


def test_check_counts_the_jobs_that_share_a_prediction(tmp_path):
    study = load_study(write_study(tmp_path, arms=["base"], benchmarks=["toyworld-qa"]))
    model = tmp_path / "config/models/micro.yaml"
    before = job_counts(study)
    model.write_text(yaml.safe_dump({**yaml.safe_load(model.read_text()), "predict": {"shards": 3}}))
    assert job_counts(load_study(study.path)) == {**before, "predict": 4}


def test_check_prints_the_runs(tmp_path, capsys):
    assert main(["check", str(write_study(tmp_path))]) == 0
    assert "run micro/inpainting/seed0: 6 steps" in capsys.readouterr().out


def test_check_tells_what_a_model_takes_to_train(tmp_path, capsys):
    path = write_study(tmp_path, arms=["base", "sft"], seeds=[0, 1])
    assert main(["check", str(path)]) == 0
    told = [line for line in capsys.readouterr().out.splitlines() if line.startswith("model micro: ")]
    assert len(told) == 5 and "in fp32 on the CPU" in told[1] and "when 2 runs are finished" in told[3]

    def changed(recipe: dict, **model) -> str:
        write_study(tmp_path, recipe={**STUDY["recipe"], **recipe})
        (path.parent / "models/micro.yaml").write_text(yaml.safe_dump({**MODEL, **model}))
        assert main(["check", str(path)]) == 0
        return capsys.readouterr().out

    gpu = {"pretrain": None, "checkpoint": "downloads/bagel-7b", "architecture": {}, "train": {"gpu": 1}}
    gpu |= {
        "input_image": sides(224, stride=14),
        "target_image": sides(1024, 512, 16),
    }
    assert "fits 80 GB: no, 141 GB: yes" in changed(
        {"batch": 3, "precision": "bf16", "activation_checkpointing": True}, **gpu
    )
    assert "fits 80 GB: no, 141 GB: no" in changed({"batch": 3}, **gpu)
    assert "model micro: no estimate, its file gives no architecture" in changed({}, **{**gpu, "architecture": None})


@pytest.mark.parametrize(
    ("changes", "field", "said"),
    [
        ({"arms": ["base", "segmentaton"]}, "", "arms: unknown proxy 'segmentaton': use one of base, sft, sft-compute"),
        ({"arms": ["base", "base"]}, "", "arms lists a value twice"),
        ({"arms": []}, "arms", "List should have at least 1 item"),
        ({"seeds": [0, -1]}, "seeds.1", "greater than or equal to 0, got -1"),
        ({"seeds": [0.5]}, "seeds.0", "valid integer"),
        ({"recipe": {"steps": 5, "batch": 6, "raito": [2, 1]}}, "recipe.raito", "unknown key; remove it"),
        ({"recipe": {"batch": 6}}, "recipe.steps", "missing; add it"),
        ({"recipe": {"steps": 5, "batch": 6, "keep": 3}}, "recipe.keep", "is now called keep_last; rename it"),
        ({"recipe": {"steps": 5, "batch": 6, "ratio": [0, 1]}}, "recipe.ratio.0", "got 0"),
        ({"recipe": {"steps": 5, "batch": 8}}, "recipe", "batch 8 is not a multiple of 2+1"),
        ({"recipe": {"steps": 5, "batch": 6, "ema": 1.0}}, "recipe.ema", "less than 1"),
        ({"recipe": {"steps": "many", "batch": 6}}, "recipe.steps", "valid integer"),
        ({"proxies": {"edge": {"task": "edge", "render": {"gpu": 2}}}}, "proxies.edge.edge.render.gpu", "got 2"),
        ({"proxies": {"edge": {"task": "edge", "render": {"nodes": 2}}}}, "proxies.edge.edge.render.nodes", "unknown"),
        ({"recipes": {"other": STUDY["recipe"]}}, "", "recipes: 'other' is not one of the study's models"),
        ({"data": {"proxy": "photos", "vqa": "questions"}}, "", "data.proxy: no dataset 'photos': define it"),
        ({"data": {"vqa": {"dataset": "talk", "limit": 3}}}, "", "data.vqa: no dataset 'talk': define it"),
        ({"data": {"vqa": {"dataset": "questions", "limt": 3}}}, "data.vqa.limt", "unknown key"),
        (
            {
                "datasets": {**STUDY["datasets"], "talk": {"source": "llava-onevision"}},
                "data": {"proxy": "scenes", "vqa": {"dataset": "talk", "limit": 3}},
            },
            "",
            "data.vqa: 'talk' is sorted by subset, so its first 3 are of few: remove limit, and set samples",
        ),
        (
            {"data": {"proxy": "scenes", "vqa": {"dataset": "questions", "limit": 25}}},
            "",
            "data.vqa: limit 25 is above the 24 samples of 'questions': lower it",
        ),
        (
            {"variants": {"e": {"proxy": "edge", "images": {"dataset": "scenes", "limit": 25}}}},
            "",
            "variants.e: limit 25 is above the 24 samples of 'scenes'",
        ),
        ({"arms": ["base", "sft-compute"]}, "", "arms: all others are compared with 'sft': add it"),
        ({"recipe": {"steps": 5, "batch": 6, "sft_compute_batch": 5}}, "", "sft_compute_batch is of arm 'sft-compute'"),
        (
            {"recipe": {"steps": 5, "batch": 6, "sft_compute_batch": 1}},
            "recipe",
            "below the 2 samples of sft: raise it",
        ),
        ({"proxies": {"sft-compute": {"task": "edge"}}}, "", "'sft-compute' is the name of another task or arm"),
        ({"variants": {"sft-compute": {"proxy": "edge"}}}, "", "variants: one has the name of another arm"),
        (
            {
                "arms": ["sft", "edge"],
                "transplants": {"base": {"into": "sft", "parts_from": "edge", "parts": ["vision"]}},
            },
            "",
            "transplants: 'base' is the name of an arm: rename it",
        ),
        ({"datasets": {"test": {"source": "imagenet"}}}, "datasets.test", "'toyworld'"),
        ({"benchmarks": ["mme"]}, None, "config/benchmarks/mme.yaml: no such file"),
        ({"models": ["../secret"]}, "models.0", "String should match pattern"),
        ({"name": "Tiny Study"}, "name", "String should match pattern"),
    ],
)
def test_a_study_that_cannot_be_is_one_line_with_file_field_and_remedy(changes, field, said, tmp_path, capsys):
    path = write_study(tmp_path, **changes)
    assert main(["check", str(path)]) == 1
    captured = capsys.readouterr()
    (line,) = [line for line in captured.err.splitlines() if ": error: " in line]
    assert not captured.out and "; " in line and said in line
    if field is not None:
        assert f"{path}: {field}" in line


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"name: [", "not valid YAML"),
        (b"\xff\xfe", "not valid YAML"),
        (b"- a list", "should be an object"),
        (b"", "should be an object"),
    ],
)
def test_a_file_that_is_no_study_is_one_line(text, said, tmp_path, capsys):
    path = tmp_path / "x.yaml"
    path.write_bytes(text)
    assert main(["check", str(path)]) == 1
    (line,) = [line for line in capsys.readouterr().err.splitlines() if ": error: " in line]
    assert f"sgt check: error: {path}: " in line and said in line


def test_models_and_benchmarks_are_checked_too(tmp_path, capsys):
    path = write_study(tmp_path)

    def fails(file: str, content: dict, *said: str) -> None:
        whole = (path.parent / file).read_text()
        (path.parent / file).write_text(yaml.safe_dump(content))
        assert main(["check", str(path)]) == 1
        (line,) = [line for line in capsys.readouterr().err.splitlines() if ": error: " in line]
        assert all(word in line for word in said), line
        (path.parent / file).write_text(whole)

    fails("models/micro.yaml", {**MODEL, "name": "x"}, "micro.yaml: name is 'x'; make it 'micro'")
    fails("models/micro.yaml", {**MODEL, "family": "chameleon"}, "micro.yaml: family", "chameleon")
    fails("models/micro.yaml", {**MODEL, "architecture": None}, "pretrain needs architecture")
    fails("models/micro.yaml", {**MODEL, "pretrain": {**MODEL["pretrain"], "dataset": "x"}}, "pretrains on 'x'")
    fails("benchmarks/toyworld-gen.yaml", {**GENERATION, "dataset": "x"}, "toyworld-gen needs dataset 'x'")
    fails("benchmarks/toyworld-gen.yaml", {**GENERATION, "groups": {"a": ["b"]}}, "groups: unknown key")
    assert main(["check", str(path)]) == 0


def test_values_never_change():
    for kind, content in ((StudyFile, STUDY), (OPTIONS[GENERATION["task"]], GENERATION)):
        loaded = kind.model_validate(content)
        with pytest.raises(ValueError, match="frozen"):
            loaded.name = "other"
        assert kind.model_validate(json.loads(loaded.model_dump_json())) == loaded
