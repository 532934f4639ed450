"""A study of small files in the released formats."""

import json
import shutil
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from sgt.commands.main import main
from tests.conftest import write_study
from tests.data.sources import releases

# Of photographs without depth.
ARMS = ["base", "sft", "segmentation", "edge"]
DATASETS = {
    "sam": {"source": "sam-sgt", "tars": 2},
    "coco": {"source": "coco", "images": 10, "per_shard": 4, "maps": ["panoptic", "stuff"]},
    "coco-few": {"source": "coco", "images": 4, "per_shard": 4},
    "ov": {"source": "llava-onevision", "samples": 50, "per_shard": 20},
    "pianos": {
        "source": "image-folder",
        "download": "pianos",
        "folders": {"train/n03452741": "grand piano", "train/n04515003": "upright piano"},
        "per_class": 3,
        "per_shard": 4,
    },
    "scenes": {"source": "toyworld", "split": "proxy", "scenes": 8},
    "test": {"source": "toyworld", "split": "test", "scenes": 8},
}


def fetched(folder: Path) -> None:
    """What `sgt fetch` leaves beside the files."""
    (folder / "fetched.json").write_text(json.dumps({"revision": "0" * 40, "licence": "none", "files": {}}))


@pytest.fixture(scope="session")
def released(tmp_path_factory):
    root = tmp_path_factory.mktemp("released")
    for name, write in releases.WRITERS.items():
        write(root / name)
        fetched(root / name)
    return root


@pytest.fixture
def study(released, tmp_path, monkeypatch):
    """A study with a copy of the downloads, in the working directory."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(released, "downloads")
    data = {"proxy": "coco", "vqa": "ov"}
    path = write_study(tmp_path, datasets=DATASETS, data=data, benchmarks=["toyworld-qa"], models=["micro"], arms=ARMS)
    model = (tmp_path / "config/models/micro.yaml").read_text().replace("dataset: pretrain", "dataset: scenes")
    (tmp_path / "config/models/micro.yaml").write_text(model)
    return path


def shards(study: Path, name: str, workers: int = 1) -> Path:
    """Make a dataset; its folder."""
    assert main(["shards", str(study), name, "--workers", str(workers)]) == 0
    return Path("results/shards") / name


def refused(study: Path, name: str, capsys, *parts: str) -> None:
    """Making a dataset fails with one line that has these parts, and leaves no manifest and no temporary files."""
    before = {path for path in Path().rglob("*") if "results" not in path.parts}
    assert main(["shards", str(study), name, "--workers", "1"]) == 1
    (line,) = [line for line in capsys.readouterr().err.splitlines() if ": error: " in line]
    assert all(each in line for each in parts), line
    assert {path for path in Path().rglob("*") if "results" not in path.parts} == before
    assert not list(Path("results/shards").rglob("manifest.json")) and not list(Path("results").rglob(".work"))


def allow(study: Path, max_bad: float) -> None:
    """Let so large a share of each shard be bad."""
    study.write_text(study.read_text().replace("vqa: ov", f"vqa: ov\n  max_bad: {max_bad}"))


def report(folder: Path) -> dict:
    """The report on a dataset's shards and archives."""
    return json.loads((folder / "report.json").read_text())


def rezip(name: str, change: Callable[[list[tuple[str, bytes]]], Iterable[tuple[str, bytes]]]) -> None:
    """Write an archive of COCO again; ``change`` gives other members for those it has."""
    path = Path("downloads/coco-2017") / name
    with zipfile.ZipFile(path) as whole:
        members = [(each, whole.read(each)) for each in whole.namelist()]
    with zipfile.ZipFile(path, "w") as archive:
        for member, content in change(members):
            archive.writestr(member, content)
