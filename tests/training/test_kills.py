"""Killed at any point, also while it saves and while it finishes, a run ends with the bits of an uninterrupted one."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import STUDY, sgt, write_study
from tests.training.conftest import ROOT, Micro
from tests.training.events import Event

CHECKPOINTS = "sgt.training.checkpoints"
SAVE, FILE, MANIFEST = f"{CHECKPOINTS}.Checkpoints.save", f"{CHECKPOINTS}.save_tensors", f"{CHECKPOINTS}.write_json"
RENAME, UNLINK, RECORD = "pathlib.Path.rename", "os.unlink", "sgt.training.finished.write_record"
# The third of four saves is the first that removes an old checkpoint.
NEW, OLD = ".step-0000003.tmp", "step-0000001"
POINTS = {
    "in the first step": Event("sgt.training.trainer.Trainer._train_batch"),
    "before the first save": Event(SAVE),
    "before a save": Event(SAVE, call=3),
    "before its first file": Event(FILE, naming=f"{NEW}/weights"),
    "within its first file": Event(FILE, naming=f"{NEW}/weights", moment="within"),
    "within a later file": Event(FILE, naming=f"{NEW}/optimizer", moment="within"),
    "after its last file": Event(FILE, naming=f"{NEW}/average", moment="after"),
    "before its manifest": Event(MANIFEST, naming=NEW),
    "before its manifest has its name": Event("os.replace", naming=f"{NEW}/state.json"),
    "within its manifest": Event("os.replace", naming=f"{NEW}/state.json", moment="within"),
    "after its manifest": Event(MANIFEST, naming=NEW, moment="after"),
    "before it has its name": Event(RENAME, naming=NEW),
    "after it has its name": Event(RENAME, naming=NEW, moment="after"),
    "before an old one goes": Event(f"{CHECKPOINTS}.remove_checkpoint", naming=OLD),
    "after its manifest went": Event("pathlib.Path.unlink", naming=f"{OLD}/state.json", moment="after"),
    "before its weights go": Event(UNLINK, naming="weights-00000"),
    "after its weights went": Event(UNLINK, naming="weights-00000", moment="after"),
    "before its folder goes": Event("os.rmdir", naming=OLD),
    "after an old one went": Event(f"{CHECKPOINTS}.remove_checkpoint", naming=OLD, moment="after"),
    "after a save": Event(SAVE, call=3, moment="after"),
    "after the last save": Event(SAVE, call=4, moment="after"),
    "before the end's weights": Event("sgt.models.bagel.model.Bagel.save_checkpoint"),
    "after the end's weights": Event("sgt.models.bagel.model.Bagel.save_checkpoint", moment="after"),
    "before they have their name": Event("os.replace", naming="seed0/final"),
    "after they have their name": Event("os.replace", naming="seed0/final", moment="after"),
    "within the metrics": Event("shutil.copyfile", naming="metrics.jsonl", moment="within"),
    "before the copy of the record": Event(RECORD, naming="work/finished.json"),
    "between the records": Event(RECORD, naming="seed0/run.json"),
    "after the record": Event(RECORD, naming="seed0/run.json", moment="after"),
    "before the checkpoints go": Event("sgt.training.finished.remove_checkpoints"),
    "between the checkpoints": Event("sgt.training.configurations.remove_checkpoint", call=2),
    "within the last checkpoint": Event("os.rmdir", naming="step-0000003"),
    "after the checkpoints went": Event("sgt.training.finished.remove_checkpoints", moment="after"),
}
RECIPE = {**STUDY["recipe"], "steps": 4, "save_every": 1, "ema": 0.9}
RANDOM_KILLS = 12


@pytest.fixture(scope="module")
def undisturbed(prepared, tmp_path_factory):
    """A folder with a study of a short run with a weight average, and the run's result."""
    root = tmp_path_factory.mktemp("undisturbed") / "study"
    shutil.copytree(prepared, root)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        write_study(Path(), recipe=RECIPE)
        run = Micro("segmentation")
        sgt(*run.words)
        result = run.result()
        shutil.rmtree(run.folder)
    return root, result


@pytest.fixture
def whole(undisturbed, tmp_path, monkeypatch):
    """The result of that run; its study is copied to the working directory."""
    shutil.copytree(undisturbed[0], tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    return undisturbed[1]


@pytest.mark.parametrize("point", POINTS)
def test_killed_at_a_point_it_ends_in_the_same_bits(point, whole):
    run = Micro("segmentation")
    run.killed(POINTS[point])
    sgt(*run.words)
    assert run.result() == whole
    # Nothing else is left of it.
    assert sorted(path.name for path in run.folder.iterdir()) == ["final", "metrics.jsonl", "run.json", "work"]
    assert sorted(path.name for path in run.work.iterdir()) == ["finished.json", "lock", "metrics.jsonl"]


@pytest.mark.slow
def test_kills_at_random_moments_change_no_bit(study):
    script = ROOT / "perf" / "kill_training.py"
    words = [str(study), "--model", "micro", "--arm", "segmentation", "--steps", "6", "--kills", str(RANDOM_KILLS)]
    done = subprocess.run([sys.executable, script, *words], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(rf": {RANDOM_KILLS} kills, .* identical$", done.stdout.rstrip()), done.stdout
