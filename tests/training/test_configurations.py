"""Checkpoints of a run whose configuration changes and changes back: each resumes from its own, and none is lost."""

import json
import shutil
from pathlib import Path

import pytest
import yaml

from sgt.identity import digest
from tests.conftest import MODEL, STUDY, sgt, write_study
from tests.training.conftest import Micro
from tests.training.events import Event

BEFORE_STEP_6 = Event("sgt.training.checkpoints.Checkpoints.save", call=3)
CHANGED = {**STUDY["recipe"], "optimizer": {"lr": 5.0e-4, "warmup": 2}}
SWITCH, RENAME = "sgt.training.checkpoints.switch_configuration", "pathlib.Path.rename"


def set_aside(run: Micro) -> list[Path]:
    return sorted(run.work.glob("other-*"))


def identity(run: Micro) -> dict:
    return json.loads((run.folder / "run.json").read_text())["identity"]


@pytest.fixture(scope="module")
def ends(prepared, tmp_path_factory):
    """The results of the study and of the changed one, without interruption."""
    root = tmp_path_factory.mktemp("ends") / "study"
    shutil.copytree(prepared, root)
    found = []
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        run = Micro("segmentation")
        for recipe in (STUDY["recipe"], CHANGED):
            write_study(Path(), recipe=recipe)
            sgt(*run.words)
            found.append(run.result())
            shutil.rmtree(run.folder)
    return found


def test_a_changed_run_starts_again_and_changed_back_it_resumes(run, study, ends, caplog):
    run.killed(BEFORE_STEP_6)
    losses = (run.work / "metrics.jsonl").read_text()
    write_study(Path(), recipe=CHANGED)
    with caplog.at_level("INFO"):
        sgt(*run.words)
    (aside,) = set_aside(run)
    (line,) = [message for message in caplog.messages if "another configuration" in message]
    assert line == (
        f"step-0000002, step-0000004: moved to {aside}, because they belong to other data or another configuration, "
        "which will resume from there; delete that folder if you will not train it again"
    )
    assert "resuming from" not in caplog.text
    assert run.result() == ends[1]
    # Saving and finishing left the other's files as they were.
    assert sorted(path.name for path in aside.iterdir()) == ["metrics.jsonl", "step-0000002", "step-0000004"]
    assert (aside / "metrics.jsonl").read_text() == losses

    caplog.clear()
    write_study(Path())
    with caplog.at_level("INFO"):
        sgt(*run.words)
    assert (
        f"step-0000002, step-0000004: moved back from {aside}, because they belong to this configuration"
        in caplog.messages
    )
    assert "resuming from" in caplog.text and "step-0000004" in caplog.text
    assert run.result() == ends[0]
    assert not set_aside(run) and not run.checkpoints()
    assert aside.name == f"other-{digest(identity(run))[:12]}"


def test_a_change_while_it_trains_keeps_both(run, study, ends, caplog):
    for recipe in (STUDY["recipe"], CHANGED, STUDY["recipe"]):
        write_study(Path(), recipe=recipe)
        run.killed(Event("sgt.training.checkpoints.Checkpoints.save", call=2))
    for recipe, end in zip((CHANGED, STUDY["recipe"]), reversed(ends), strict=True):
        write_study(Path(), recipe=recipe)
        caplog.clear()
        with caplog.at_level("INFO"):
            sgt(*run.words)
        assert "resuming from" in caplog.text
        assert run.result() == end


@pytest.mark.parametrize(
    "point",
    [
        Event(SWITCH),
        Event(RENAME, naming="metrics.jsonl"),
        Event(RENAME, naming="metrics.jsonl", moment="after"),
        Event(RENAME, naming="step-0000004", moment="after"),
        Event(RENAME, naming="step-0000002", moment="after"),
        Event(SWITCH, moment="after"),
        Event("sgt.training.checkpoints.Checkpoints.save"),
    ],
    ids=str,
)
@pytest.mark.parametrize("back", [pytest.param(False, marks=pytest.mark.slow), True])
def test_killed_while_setting_aside_it_loses_nothing(point, back, run, study, ends, caplog):
    run.killed(BEFORE_STEP_6)
    write_study(Path(), recipe=CHANGED)
    run.killed(point)
    if not back:
        sgt(*run.words)
        assert run.result() == ends[1]
    write_study(Path())
    with caplog.at_level("INFO"):
        sgt(*run.words)
    assert "resuming from" in caplog.text and "step-0000004" in caplog.text
    assert run.result() == ends[0]


@pytest.mark.parametrize(
    "point",
    [
        Event(RENAME, naming="other-", call=1),
        Event(RENAME, naming="other-", call=1, moment="after"),
        Event(RENAME, naming="other-", call=2, moment="after"),
        Event("os.replace", naming="other-", moment="after"),
        Event("os.rmdir", naming="other-"),
    ],
    ids=str,
)
@pytest.mark.parametrize(
    "recipe",
    [
        CHANGED,
        pytest.param(STUDY["recipe"], marks=pytest.mark.slow),
        pytest.param({**CHANGED, "ce_weight": 1.0}, marks=pytest.mark.slow),
    ],
)
def test_killed_while_moving_back_it_loses_nothing(point, recipe, run, study, ends, caplog):
    run.killed(BEFORE_STEP_6)
    write_study(Path(), recipe=CHANGED)
    run.killed(Event(SWITCH, moment="after"))
    write_study(Path())
    run.killed(point)
    write_study(Path(), recipe=recipe)
    sgt(*run.words)
    write_study(Path())
    caplog.clear()
    with caplog.at_level("INFO"):
        sgt(*run.words)
    assert run.result() == ends[0]
    assert recipe == STUDY["recipe"] or "step-0000004" in caplog.text


@pytest.mark.parametrize(
    "change",
    [
        {"train": {"mem_mb": 4000, "runtime": 600, "threads": 2}},
        {"predict": {"mem_mb": 4000}},
        {"device": "auto"},
        {"checkpoint": "elsewhere/micro"},
    ],
)
def test_other_resources_devices_and_paths_resume_from_the_same_checkpoints(change, run, study, caplog):
    run.killed(BEFORE_STEP_6)
    shutil.copytree("base", "elsewhere")
    Path("config/models/micro.yaml").write_text(yaml.safe_dump({**MODEL, **change}))
    with caplog.at_level("INFO"):
        sgt(*run.words)
    assert "resuming from" in caplog.text and "step-0000004" in caplog.text
    assert not set_aside(run)


def test_a_manifest_cannot_lead_elsewhere(run, study):
    run.killed(BEFORE_STEP_6)
    manifest = run.work / "step-0000004/state.json"
    state = json.loads(manifest.read_text())
    manifest.write_text(json.dumps({**state, "fingerprint": "../../../../elsewhere"}))
    before = {path.name for path in Path().iterdir()}
    sgt(*run.words)
    assert [path.name for path in set_aside(run)] == ["other-elsewhere"]
    assert {path.name for path in Path().iterdir()} == before
