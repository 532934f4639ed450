"""`sgt check`, `make` and Snakemake judge a study alike, and any folder that they take works in every command."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from sgt.study.ownership import OWNER
from tests import forked
from tests.conftest import MODEL, OMNIGEN2, STUDY, write_study
from tests.workflow.test_docs import parse
from tests.workflow.test_paper import SMALL
from tests.workflow.test_workflow import ARMS, arguments, command, environment, prepare, snakemake

ROOT = Path(__file__).parents[2]
NASTY = "my; results 'of' \"a\" (b) & *?[c] `d` #!"


def ended(words: list[str], folder: Path, **more: str) -> tuple[int, str]:
    done = subprocess.run(words, cwd=folder, env={**environment(), **more}, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def judged(folder: Path) -> list[str | None]:
    """What `sgt check` and a dry run of Snakemake refuse the study with, None if they take it."""
    check = forked.sgt(["check", "config/micro.yaml"], folder)
    return [refusal(*check), refusal(*forked.snakemake(arguments("-n"), folder, environment()))]


def refusal(status: int, output: str) -> str | None:
    """The one line of a command that failed."""
    lines = [line.partition("error: ")[2] for line in output.splitlines() if "error" in line.lower()]
    assert status == 0 or len(lines) == 1, output
    return lines[0] if status else None


def edit(file: str, before: str, after: str):
    def change(folder: Path) -> None:
        text = (folder / file).read_text()
        assert before in text
        (folder / file).write_text(text.replace(before, after))

    return change


def study(**changes):
    return lambda folder: write_study(folder, **changes)


def claimed(folder: Path) -> None:
    (folder / "results").mkdir()
    (folder / "results" / OWNER).write_text('{"name": "other"}')


FEW = {"datasets": {**STUDY["datasets"], "test": {**STUDY["datasets"]["test"], "scenes": 5}}}
LIMITED = {"proxy": {"dataset": "scenes", "limit": 5}, "vqa": {"dataset": "questions", "limit": 5}}
COMPILED = {"models": ["micro-omnigen2"], "recipe": {**STUDY["recipe"], "compile": True}}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (study(), None),
        (study(arms=["base", "sft"], data={"vqa": "questions"}), None),
        (study(arms=["base", "sft", "sft-compute", "edge"], data=LIMITED), None),
        (study(arms=["base"], data={}), None),
        (edit("config/micro.yaml", "lr: 0.001", "lr: 1e-3"), None),
        (edit("config/micro.yaml", "lr: 0.001", "lr: +1E-3"), None),
        (edit("config/micro.yaml", "lr: 0.001", "lr: .nan"), "recipe.optimizer.lr"),
        (edit("config/micro.yaml", "steps: 6", "steps: true"), "recipe.steps"),
        (edit("config/micro.yaml", "steps: 6", "steps: 6\n  steps: 7"), "the key 'steps' is given twice"),
        (edit("config/models/micro.yaml", "device: cpu", "device: cpu\ndevice: cpu"), "the key 'device' is given"),
        (study(results="{model}"), "config/micro.yaml: results"),
        (study(**FEW), "datasets.test"),
        (study(**COMPILED), "recipe.compile"),
        (lambda folder: (folder / "config/models/micro.yaml").write_text(
            yaml.safe_dump({**MODEL, "pretrain": None, "checkpoint": "bose/micro"})), "bose/micro/ema.safetensors"),
        (claimed, "results holds study 'other', not 'micro'"),
    ],
)  # fmt: skip
def test_sgt_and_snakemake_agree(change, said, tmp_path):
    write_study(tmp_path)
    (tmp_path / "data.dvc").write_text(yaml.safe_dump({"outs": [{"md5": "0", "path": "base"}]}))
    change(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    ours, theirs = judged(tmp_path)
    assert ours == theirs and (said is None) == (ours is None) and (said or "") in (ours or "")
    assert [path for path in sorted(tmp_path.rglob("*")) if ".snakemake" not in path.parts] == before


@pytest.mark.slow
def test_options_of_a_new_proxy_are_known_to_all(tmp_path):
    shutil.copytree(ROOT / "sgt", tmp_path / "sgt", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copyfile(ROOT / "docs/templates/proxy.py", tmp_path / "sgt/proxies/tasks/contrast.py")
    edit("sgt/proxies/tasks/contrast.py", "float = Field(1.0, ge=0, lt=50", "tuple[float, float] = Field((1.0, 1.0)")(
        tmp_path
    )
    (tmp_path / "data.dvc").write_text(yaml.safe_dump({"outs": [{"md5": "0", "path": "base"}]}))

    def judged_here() -> list[str | None]:
        """By new processes, which import this copy."""
        check = [sys.executable, "-m", "sgt", "check", "config/micro.yaml"]
        return [refusal(*ended(words, tmp_path, PYTHONPATH=str(tmp_path))) for words in (check, command("-n"))]

    write_study(tmp_path, arms=["sft", "contrast"], proxies={"contrast": {"task": "contrast", "cutoff": [2, 0.5]}})
    assert judged_here() == [None, None]
    write_study(tmp_path, arms=["sft", "contrast"], proxies={"contrast": {"task": "contrast", "cutoff": [2]}})
    ours, theirs = judged_here()
    assert ours == theirs and "config/micro.yaml: proxies.contrast.contrast.cutoff" in ours


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [("missing.yaml", None, "no such file"), ("list.yaml", "- a", "be an object"), ("bad.yaml", "a: [", "line 1")],
)  # fmt: skip
@pytest.mark.parametrize("target", ["study", "dry-run"])
def test_make_tells_what_is_no_study_in_one_line(target, file, content, said, tmp_path):
    shutil.copy(ROOT / "Makefile", tmp_path)
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv/bin").symlink_to(Path(sys.executable).parent)
    for name in ("requirements.lock", "pyproject.toml", ".venv/ready"):
        (tmp_path / name).touch()
    if content is not None:
        (tmp_path / file).write_text(content)
    status, output = ended(["make", target, f"STUDY={file}"], tmp_path)
    (line,) = [line for line in output.splitlines() if "error:" in line]
    assert status == 2 and line.startswith(f"sgt check: error: {file}: ") and said in line
    assert forked.snakemake(arguments("-n", study=file), tmp_path, environment())[0] != 0


def test_make_base_needs_a_model_of_the_study(tmp_path):
    """It would otherwise train another study's models, for hours."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv/bin").symlink_to(Path(sys.executable).parent)
    for name in ("requirements.lock", "pyproject.toml", ".venv/ready"):
        (tmp_path / name).touch()
    write_study(tmp_path)
    status, output = ended(["make", "base", "STUDY=config/micro.yaml", "MODEL=micro-omnigen2"], tmp_path)
    assert status == 2 and "make: config/micro.yaml has no model micro-omnigen2 of known sizes" in output
    assert not (tmp_path / "results").exists() and not (tmp_path / "data").exists()


def test_a_vae_comes_from_a_model_that_the_study_lacks(tmp_path):
    write_study(tmp_path, models=["micro-omnigen2"])
    (tmp_path / "data.dvc").write_text(yaml.safe_dump({"outs": [{"md5": "0", "path": "base"}]}))
    pretrain = {key: value for key, value in OMNIGEN2["pretrain"].items() if not key.startswith("vae_")}
    taking = {**OMNIGEN2, "pretrain": {**pretrain, "vae_of": "micro"}}
    (tmp_path / "config/models/micro-omnigen2.yaml").write_text(yaml.safe_dump(taking))
    words = command("-n", "--printshellcmds", "--", "results/base/micro-omnigen2/run.json")
    status, output = ended(words, tmp_path)
    assert status == 0, output
    assert "sgt base base/micro >" in output and "--model micro-omnigen2 --out" in output


@pytest.mark.slow
def test_every_command_takes_folders_of_any_name(tmp_path):
    shutil.copytree(ROOT / "config", tmp_path / "config")
    path = tmp_path / "config/a paper's.yaml"
    (tmp_path / "config/paper.yaml").rename(path)
    (tmp_path / "data.dvc").write_text(yaml.safe_dump({"outs": [{"md5": "0", "path": "base"}]}))
    text = yaml.safe_load(path.read_text())
    downloads = "down & loads"
    text |= {"results": NASTY, "downloads": downloads, "models": ["bagel-7b", "omnigen2", "bagel-tiny"]}
    text["datasets"]["pretrain"] = {"source": "toyworld", "split": "pretrain", "scenes": 100, "edits": True}
    # Fewer jobs of each kind.
    text["seeds"] = text["seeds"][:1]
    for name, changes in SMALL.items():
        text["datasets"][name].update(changes)
    text["proxies"]["depth"]["model"] = f"{downloads}/depth-anything-v2-large"
    path.write_text(yaml.safe_dump(text))
    for name in ("geneval-short", "geneval-long"):
        models = {"detector": "mask2former-swin-small-coco", "classifier": "clip-vit-large-patch14"}
        with open(tmp_path / f"config/benchmarks/{name}.yaml", "a") as file:
            file.writelines(f"{field}: {downloads}/{model}\n" for field, model in models.items())
    for name in ("bagel-7b", "omnigen2"):
        edit(f"config/models/{name}.yaml", "checkpoint: downloads", f"checkpoint: {downloads}")(tmp_path)
    edit("config/models/bagel-tiny.yaml", "checkpoint: data/base", "checkpoint: base/our own")(tmp_path)
    words = arguments("-n", "--printshellcmds", "--", "all", "base", study=str(path.relative_to(tmp_path)))
    status, said = forked.snakemake(words, tmp_path, environment())
    assert status == 0, said
    lines = {line.partition("Shell command: ")[2] for line in said.splitlines() if line.endswith(" 2>&1")}
    started = set()
    for line in lines:
        sgt, *start, to, log, errors = shlex.split(line, comments=False)
        assert (sgt, to, errors) == ("sgt", ">", "2>&1") and log.startswith(f"{NASTY}/logs/")
        started.add(start[0])
        parse(start, tmp_path)
    assert started == {
        "fetch", "shards", "toyworld", "render", "preview", "screen", "base", "pretrain", "train", "launch", "predict",
        "judge", "score", "treatment", "tables", "figures", "evidence", "report",
    }  # fmt: skip


@pytest.mark.slow
def test_a_whole_study_runs_into_a_folder_of_any_name(prepared, tmp_path):
    prepare(tmp_path, prepared)
    write_study(tmp_path, arms=ARMS, benchmarks=["toyworld-qa"], results=NASTY)
    before = set(tmp_path.iterdir())
    snakemake(tmp_path)
    assert (tmp_path / NASTY / "report/index.html").stat().st_size > 0
    assert {path.name for path in set(tmp_path.iterdir()) - before} == {NASTY, ".snakemake"}
    assert re.search("Nothing to be done", snakemake(tmp_path))
