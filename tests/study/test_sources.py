"""Weights and downloads that are not there, and that nothing makes, are refused; those that will be are not."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from sgt.config.downloads import DOWNLOADS_FILE
from tests.conftest import MODEL, STUDY

MODEL_FILE = "config/models/micro.yaml"
SAM = {"datasets": {**STUDY["datasets"], "sam": {"source": "sam-sgt", "tars": 1}}}
SAM |= {"data": {"proxy": "sam", "vqa": "questions"}, "arms": ["base", "sft", "edge"]}
DEPTH = {"task": "depth", "estimator": "depth-anything-v2", "model": "downloads/depth-anything-v2-small"}


def model(**changes) -> None:
    """Write the micro model with fields changed, as one whose weights are made elsewhere."""
    Path(MODEL_FILE).write_text(yaml.safe_dump({**MODEL, "pretrain": None, **changes}))


def table(**entries: str) -> None:
    """A table of downloads by name and kind."""
    about = {"host": "hub", "repository": "a/b", "licence": "none"}
    DOWNLOADS_FILE.parent.mkdir(parents=True, exist_ok=True)
    DOWNLOADS_FILE.write_text(yaml.safe_dump({name: {**about, "kind": kind} for name, kind in entries.items()}))


def fetched(folder: str) -> None:
    Path(folder).mkdir(parents=True)
    (Path(folder) / "fetched.json").write_text("{}")


def test_a_local_checkpoint_must_be_there(checked, written):
    path = written()
    checked.valid(path)
    model()
    checked.refused(path, f"{MODEL_FILE}: checkpoint", "base/micro/ema.safetensors is not there, and data.dvc does")
    Path("base/micro").mkdir(parents=True)
    checked.refused(path, f"{MODEL_FILE}: checkpoint", "base/micro/ema.safetensors is not there")
    Path("base/micro/ema.safetensors").touch()
    checked.valid(path)
    model(checkpoint="base/mirco")
    checked.refused(path, f"{MODEL_FILE}: checkpoint", "check its spelling")


def test_a_damaged_list_of_versioned_files_is_named(checked, written):
    path = written()
    model(checkpoint="data/base/micro")
    for text in ("{}", "outs: 3", "outs: [{md5: 1}]"):
        Path("data.dvc").write_text(text)
        checked.refused(path, "data.dvc", "not a file that `dvc add` wrote")


@pytest.mark.parametrize(
    "pulled", [True, pytest.param(False, marks=pytest.mark.slow)], ids=["in the cache", "in the remote alone"]
)
def test_weights_that_dvc_has_need_not_be_there(pulled, checked, written):
    path = written()
    model(checkpoint="data/base/micro")
    Path("data/base/micro").mkdir(parents=True)
    Path("data/base/micro/ema.safetensors").write_bytes(b"weights")
    commands = ["init -q --no-scm", "remote add -d store store", "add -q data", "push -q"]
    for words in commands:
        subprocess.run([str(Path(sys.executable).with_name("dvc")), *words.split()], check=True)
    shutil.rmtree("data")
    if not pulled:
        shutil.rmtree(".dvc/cache")
    checked.valid(path)
    model(checkpoint="data/base/mirco")
    checked.refused(path, f"{MODEL_FILE}: checkpoint", "data/base/mirco/ema.safetensors is not there")
    model(checkpoint="elsewhere/micro")
    checked.refused(path, f"{MODEL_FILE}: checkpoint", "elsewhere/micro/ema.safetensors is not there")


def test_where_the_list_of_versioned_files_is_not_here_they_are_taken_to_be_there(checked, written):
    path = written()
    model(checkpoint="data/base/micro")
    Path("data.dvc").write_text(yaml.safe_dump({"outs": [{"md5": "00.dir", "path": "data"}]}))
    checked.valid(path)


def test_an_overlay_must_be_there_or_be_fetched(checked, written):
    path = written()
    Path("base/micro").mkdir(parents=True)
    Path("base/micro/ema.safetensors").touch()
    model(overlay="over")
    checked.refused(path, f"{MODEL_FILE}: overlay", "there is no folder over")
    Path("over").mkdir()
    checked.valid(path)
    model(overlay="downloads/sgt-bagle")
    table(**{"sgt-bagel": "model"})
    checked.refused(path, f"{MODEL_FILE}: overlay", "nothing is called 'sgt-bagle'; use one of sgt-bagel")
    model(overlay="downloads/sgt-bagel")
    checked.valid(path)


def test_what_is_fetched_must_be_described_or_be_there(checked, written):
    path = written(**SAM)
    checked.refused(path, "config/micro.yaml: datasets.sam.download", "there is no config/data/downloads.yaml")
    table(coco="dataset")
    checked.refused(path, "config/micro.yaml: datasets.sam.download", "nothing is called 'sam-sgt'; use one of coco")
    table(**{"sam-sgt": "model"})
    checked.refused(path, "config/micro.yaml: datasets.sam.download", "is a model in config/data/downloads.yaml, not a")
    table(**{"sam-sgt": "dataset"})
    checked.valid(path)
    DOWNLOADS_FILE.unlink()
    fetched("downloads/sam-sgt")
    checked.valid(path)
    # A dataset that plays no part is nobody's trouble.
    checked.valid(written(**{**SAM, "data": STUDY["data"]}))


def test_an_estimator_must_be_described_or_be_there(checked, written):
    path = written(proxies={"depth": DEPTH})
    checked.refused(path, "config/micro.yaml: proxies.depth", "downloads/depth-anything-v2-small is not fetched")
    table(**{"depth-anything-v2-small": "model"})
    checked.valid(path)
    path = written(proxies={"depth": {**DEPTH, "model": "models/depth"}})
    checked.refused(path, "config/micro.yaml: proxies.depth", "`sgt fetch` has not filled models/depth")
    fetched("models/depth")
    checked.valid(path)
