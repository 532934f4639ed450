"""What makes a result one of the study as it is: its record and content, and never the times of its files."""

import errno
import json
import os
import random
import re
import shlex
import shutil
from pathlib import Path

import pytest
import yaml

from sgt.commands.main import main
from sgt.errors import SgtError
from sgt.identity import UNKNOWN, difference, read_record, write_record
from sgt.study.identity import prediction_identity, run_identity
from sgt.study.load import load_study
from sgt.study.reconcile import reconcile
from sgt.study.results import Results
from tests.conftest import MADE_ARMS as ARMS
from tests.conftest import sgt, sides
from tests.evaluation.tasks.published import install, record_fetched

PREDICTED = "predictions/micro/sft/seed0/toyworld-qa"
EDGE = ("micro", "edge", 0)
PAGES = {"evidence.json", *(f"{page}/sources.json" for page in ("tables", "figures", "report"))}
CHECKED = {"scores/micro/edge/seed0/treatment.json"}


def faults() -> dict[str, str]:
    """The records that are not current, by their path below results, and why."""
    return {
        str(path.relative_to("results")): fault for path, fault in reconcile(load_study("config/micro.yaml")).items()
    }


def edit(file: str, **changes: object) -> None:
    """Change fields of a YAML file; a dotted name leads into it."""
    path = Path("config") / file
    content = yaml.safe_load(path.read_text())
    for name, value in changes.items():
        *way, last = name.split("__")
        place = content
        for key in way:
            place = place.setdefault(key, {})
        place[last] = value
    path.write_text(yaml.safe_dump(content))


def of(stage: str, *arms: str) -> set[str]:
    """Names of the records of a stage and those that follow from it."""
    files = {"runs": "run.json", "predictions": "toyworld-qa/meta.json", "scores": "toyworld-qa.json"}
    stages = list(files)[list(files).index(stage) :]
    named = {f"{each}/micro/{arm}/seed0/{files[each]}" for each in stages for arm in arms}
    named |= CHECKED if stage == "runs" and "edge" in arms else set()
    return named | PAGES


def test_what_was_made_step_by_step_is_current(results):
    assert faults() == {}


@pytest.mark.parametrize("how", ["touched", "touched in any order", "copied", "in the past"])
def test_times_change_no_result_and_are_put_in_order(results, how):
    files = [path for path in results.rglob("*") if path.is_file()]
    if how == "copied":
        shutil.copytree(results, "copy", copy_function=shutil.copyfile)
        shutil.rmtree(results)
        Path("copy").rename(results)
    else:
        shuffled = random.Random(0).sample(files, len(files))
        for place, path in enumerate(shuffled if how == "touched in any order" else files):
            time = {"touched": 2e9, "touched in any order": 2e9 + place, "in the past": place}[how]
            os.utime(path, (time, time))
    assert faults() == {}
    study = load_study("config/micro.yaml")
    oldest = 0
    for stage in Results(study).stages():
        times = [path.stat().st_mtime_ns for result in stage for path in result.files()]
        assert min(times) >= oldest
        oldest = max(times)


def test_the_report_is_not_older_than_the_tables_and_figures_in_it(results):
    os.utime(results / "tables/main.csv", (2e9, 2e9))
    assert faults() == {}
    assert (results / "report/index.html").stat().st_mtime >= (results / "tables/main.csv").stat().st_mtime


def test_results_on_a_file_system_that_is_read_only_can_be_looked_at(results, monkeypatch):
    for path in results.rglob("*"):
        os.utime(path, (2e9, 2e9))
    os.utime(results / "runs/micro/edge/seed0/run.json", (1e9, 1e9))

    def refused(path, **times):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), path)

    monkeypatch.setattr(os, "utime", refused)
    assert faults() == {}
    sgt("verify", "config/micro.yaml")


def test_pages_are_made_again_where_weights_turn_out_to_be_released_ones(results):
    edit("models/micro.yaml", released={"base": "bagel-7b", "arm": "segmentation"})
    assert faults().keys() == PAGES


def test_a_remedy_is_a_command_for_this_study_and_makes_data_that_are_gone(results, capsys):
    Path("config/micro.yaml").rename("config/my study.yaml")
    Path("results/shards/scenes/manifest.json").unlink()
    assert main(["evidence", "config/my study.yaml"]) == 1
    assert "run `make study STUDY='config/my study.yaml' FLAGS=data`" in capsys.readouterr().err
    Path("results/runs/micro/edge/seed0/run.json").unlink()
    words = ["config/my study.yaml", "--model", "micro", "--arm", "edge", "--seed", "0"]
    assert main(["treatment", *words]) == 1
    assert f"run `{shlex.join(['sgt', 'train', *words])}`" in capsys.readouterr().err


@pytest.mark.parametrize("folder", ["downloads/mmvp", "downloads/over"])
def test_nothing_is_older_than_a_benchmark_or_an_overlay_that_was_fetched(results, folder):
    """Snakemake, where it has no record of its own, would predict everything again from what is newer."""
    study = yaml.safe_load(Path("config/micro.yaml").read_text())
    install("mmvp", Path())
    edit("micro.yaml", benchmarks=[*study["benchmarks"], "mmvp"])
    (Path("downloads/over")).mkdir()
    shutil.copyfile("base/micro/ema.safetensors", "downloads/over/ema.safetensors")
    record_fetched(Path("downloads/over"))
    edit("models/micro.yaml", overlay="downloads/over")
    os.utime(f"{folder}/fetched.json", (2e9, 2e9))
    faults()
    assert (results / "shards/scenes/manifest.json").stat().st_mtime >= 2e9


@pytest.mark.parametrize(
    ("file", "changes", "stale"),
    [
        ("micro.yaml", {"recipe__optimizer__lr": 0.002}, of("runs", "sft", "edge")),
        ("micro.yaml", {"recipe__save_every": 3}, set()),
        ("micro.yaml", {"datasets__pretrain__scenes": 25}, {"shards/pretrain/manifest.json"}),
        ("micro.yaml", {"proxies": {"edge": {"task": "edge", "method": "canny"}}}, of("runs", "edge")),
        ("models/micro.yaml", {"train": {"mem_mb": 999, "runtime": 3, "threads": 2}}, set()),
        ("models/micro.yaml", {"device": "auto"}, set()),
        ("models/micro.yaml", {"pretrain__steps": 7}, set()),
        ("models/micro.yaml", {"precision": "bf16"}, of("predictions", *ARMS) | CHECKED),
        ("micro.yaml", {"data__held_out_samples": 6}, CHECKED | of("scores")),
        (
            "models/micro.yaml",
            {"input_image": sides(40)},
            of("runs", *ARMS),
        ),
        ("benchmarks/toyworld-qa.yaml", {"version": 3}, of("predictions", *ARMS)),
        ("benchmarks/toyworld-qa.yaml", {"decoding__max_new_tokens": 4}, of("predictions", *ARMS)),
        ("benchmarks/toyworld-qa.yaml", {"groups": {}}, of("scores", *ARMS)),
    ],
)
def test_a_change_of_the_study_reaches_what_it_decides_and_nothing_else(results, file, changes, stale):
    edit(file, **changes)
    found = set(faults())
    if "proxies" in changes:
        assert {"figures/proxies.json", *(f"targets/scenes/edge/shard-0000{i}.json" for i in (0, 1))} <= found
        found = {name for name in found if not name.startswith(("targets", "figures/proxies"))}
    assert found == stale


def test_changed_back_the_results_are_current_again(results):
    edit("micro.yaml", recipe__optimizer__lr=0.002)
    assert faults()
    edit("micro.yaml", recipe__optimizer__lr=1.0e-3)
    assert faults() == {}


def test_why_a_score_is_not_current_is_the_first_cause(results, capsys):
    edit("micro.yaml", recipe__optimizer__lr=0.002)
    cause = "made from results/runs/micro/edge/seed0/run.json: recipe.optimizer.lr was 0.001 and is 0.002"
    assert faults()["scores/micro/edge/seed0/toyworld-qa.json"] == cause
    words = ["config/micro.yaml", "--model", "micro", "--arm", "edge", "--seed", "0", "--benchmark", "toyworld-qa"]
    for command in (["predict", *words], ["score", *words], ["tables", words[0]], ["figures", words[0]]):
        assert main(command) == 1
        assert "not of the study as it is" in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize(
    "gone", ["runs/micro/edge/seed0/run.json", "predictions/micro/edge/seed0/toyworld-qa/meta.json"]
)
def test_what_a_failed_job_took_away_makes_old_whatever_followed_from_it(results, gone, capsys):
    (results / gone).unlink()
    found = faults()
    assert found.keys() == of(gone.split("/")[0], "edge")
    assert found[gone] == "it is not there"
    assert main(["tables", "config/micro.yaml"]) == 1
    assert f"made from results/{gone}: it is not there" in capsys.readouterr().err


def test_weights_that_were_trained_again_to_others_make_old_what_they_predicted(results):
    path = results / "runs/micro/edge/seed0/run.json"
    record = read_record(path)
    write_record(path, {**record, "checkpoint_sha256": "0" * 64})
    assert faults().keys() == of("predictions", "edge") | CHECKED


@pytest.mark.parametrize(
    ("file", "record"),
    [
        ("shards/test/shard-00000.tar", "shards/test/manifest.json"),
        ("targets/scenes/edge/shard-00001.tar", "targets/scenes/edge/shard-00001.json"),
        ("runs/micro/sft/seed0/final/ema.safetensors", "runs/micro/sft/seed0/run.json"),
        (
            "predictions/micro/sft/seed0/toyworld-qa/predictions.jsonl",
            "predictions/micro/sft/seed0/toyworld-qa/meta.json",
        ),
    ],
)
def test_a_file_that_was_changed_after_its_record_is_named(results, file, record):
    path = results / file
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(SgtError, match=rf"{file}: changed since it was made; restore it, or delete results/{record}"):
        faults()
    # With an old time it is still found when everything is looked into.
    os.utime(path, (1, 1))
    assert main(["adopt", "config/micro.yaml"]) == 1


@pytest.mark.parametrize("name", ["runs/micro/edge/seed0/run.json", "scores/micro/edge/seed0/toyworld-qa.json"])
def test_a_record_that_was_edited_is_named(results, name):
    path = results / name
    path.write_text(path.read_text().replace('"seed": 0', '"seed": 1', 1))
    with pytest.raises(SgtError, match=f"{name}: edited since it was written"):
        faults()


def test_data_written_by_hand_are_taken_by_a_command_and_not_by_the_workflow(results, caplog):
    manifest = results / "shards/questions/manifest.json"
    content = json.loads(manifest.read_text())
    del content["identity"]
    manifest.write_text(json.dumps(content))
    sgt("train", "config/micro.yaml", "--model", "micro", "--arm", "sft", "--seed", 0)
    assert "questions/manifest.json: does not say what decided it; used as it is" in caplog.text
    with pytest.raises(SgtError, match=r"questions/manifest\.json: has no identity: written by hand"):
        faults()


def test_data_that_is_no_longer_there_makes_nothing_old(results):
    names = ("questions", "scenes", "test")
    for name in names:
        shutil.rmtree(results / "shards" / name)
    gone = {f"shards/{name}/{record}.json" for name in names for record in ("manifest", "screened")}
    assert faults() == dict.fromkeys(gone, "it is not there")


def test_new_base_weights_make_old_the_runs_of_their_model(results):
    path = Path("base/micro/config.json")
    path.write_text(path.read_text() + "\n")
    assert faults().keys() == of("runs", *ARMS)


def test_adopting_looks_at_content_and_needs_no_dvc(results, capsys):
    shutil.copytree(results, "copy", copy_function=shutil.copyfile)
    shutil.rmtree(results)
    Path("copy").rename(results)
    assert main(["adopt", "config/micro.yaml"]) == 0
    edit("micro.yaml", recipe__optimizer__lr=0.002)
    assert main(["adopt", "config/micro.yaml"]) == 1
    assert "recipe.optimizer.lr was 0.001 and is 0.002" in capsys.readouterr().err


def test_small_results_without_the_runs_are_whole_but_cannot_be_compared(results, caplog, capsys):
    with caplog.at_level("INFO", "sgt"):
        assert main(["adopt", "config/micro.yaml"]) == 0
    whole = int(re.search(r"(\d+) results are whole and of this study", caplog.text)[1])
    for folder in ("runs", "predictions"):
        shutil.rmtree(results / folder)
    caplog.clear()
    with caplog.at_level("INFO", "sgt"):
        assert main(["adopt", "config/micro.yaml"]) == 0
    compared, alone = (
        int(re.search(rf"(\d+) {words}", caplog.text)[1]) for words in ("results are whole", "are whole;")
    )
    assert 0 < compared < whole and alone > 0
    score = next((results / "scores").rglob("toyworld-qa.json"))
    score.write_text(score.read_text().replace("accuracy", "acuracy", 1))
    assert main(["adopt", "config/micro.yaml"]) == 1 and "edited since" in capsys.readouterr().err


def test_identities_hold_no_resources_devices_times_or_paths(results):
    study = load_study("config/micro.yaml")
    run = study.run(*EDGE)
    identity = run_identity(study, run)
    text = json.dumps([identity, prediction_identity(study, run, study.benchmarks["toyworld-qa"], "0" * 64)])
    assert not any(
        word in text for word in ("mem_mb", "runtime", "threads", "device", "base/", "results/", "save_every")
    )
    assert UNKNOWN not in text and len(identity["targets"]) == 2


def test_a_difference_is_told_where_it_is():
    assert difference({"a": {"b": [1, 2]}}, {"a": {"b": [1, 2]}}) is None
    assert difference({"a": {"b": [1, 2]}}, {"a": {"b": [1, 3]}}) == "a.b.1 was 2 and is 3"
    assert difference({"a": 1}, {"a": 1, "c": None}) == 'c was "absent" and is null'
    assert difference({"a": 1, "c": None}, {"a": 1}) == 'c was null and is "absent"'
    assert difference({"a": "f" * 64}, {"a": UNKNOWN}) is None
    assert difference({"a": [1]}, {"a": [1, 2]}) == "a was [1] and is [1, 2]"
