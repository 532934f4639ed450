"""From a cell of a table back to its data, and forward to the number again: evidence, trace, verify, reproduce."""

import json
import random
import re
import shlex
import shutil
from pathlib import Path

import jsonschema
import pandas as pd
import pytest
import yaml
from rocrate.rocrate import ROCrate

from sgt.atomic import sha256
from sgt.commands.main import main
from sgt.environment import environment, packages
from sgt.identity import SEAL, read_record, write_record
from sgt.reporting.evidence.copy import copy_study
from sgt.reporting.evidence.crate import write_crate
from sgt.reporting.evidence.read import find_cell, read_evidence
from sgt.reporting.evidence.reproduce import REPRODUCTION, STARTS
from sgt.reporting.evidence.schema import Evidence, Judgements, evidence_schema
from sgt.reporting.evidence.trace import evidence_of_cell
from sgt.reporting.evidence.work import code_of, work_of
from sgt.reporting.release import costs
from sgt.study.load import load_study
from tests.conftest import sgt, write_study

ROOT = Path(__file__).parents[2]
STUDY = "config/micro.yaml"
EDGE = "micro/edge/seed0"
RUN = f"results/runs/{EDGE}"


@pytest.fixture
def evidence(results) -> Evidence:
    return read_evidence(load_study(STUDY))


def output_of(capsys, *words: str, status: int = 0) -> tuple[str, str]:
    """What a command prints on standard output, and its line of error."""
    capsys.readouterr()
    assert main(list(words)) == status
    printed = capsys.readouterr()
    return printed.out, next((line for line in printed.err.splitlines() if ": error: " in line), "")


def test_the_published_schema_is_that_of_the_code_and_holds_for_a_study(results, evidence):
    assert (ROOT / "config/evidence.schema.json").read_text() == evidence_schema(), "run `make schema`"
    schema = json.loads(evidence_schema())
    jsonschema.Draft202012Validator.check_schema(schema)
    whole = json.loads((results / "evidence.json").read_text())
    jsonschema.validate(whole, schema)
    cell = find_cell(load_study(STUDY), evidence, "all", "micro/edge", "toyworld-qa accuracy/count")
    jsonschema.validate(json.loads(evidence_of_cell(evidence, cell).model_dump_json()), schema)
    del whole["cells"][0]["runs"]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(whole, schema)


def test_every_cell_of_the_tables_has_its_evidence(results, evidence):
    table = pd.read_csv(results / "tables/all.csv")
    cells = [cell for cell in evidence.cells if "all" in cell.tables]
    assert [(cell.model, cell.arm, cell.benchmark, cell.metric.name) for cell in cells] == list(
        table[["model", "arm", "benchmark", "metric"]].itertuples(index=False, name=None)
    )
    for cell, row in zip(cells, table.itertuples(), strict=True):
        assert cell.items == row.n and len(cell.seeds) == row.seeds
        for number, part in ((cell.number, ("value", "low", "high")), (cell.gain, ("gain", "gain_low", "gain_high"))):
            stored = [None] * 3 if number is None else [number.value, number.low, number.high]
            assert stored == [
                None if pd.isna(value := getattr(row, name)) else pytest.approx(value, abs=1e-6) for name in part
            ]
        files = [evidence.evaluations[name].scores.record.path for name in cell.evaluations]
        assert files == row.scores.split()
        assert (cell.control is not None) == (cell.gain is not None)
    main_cells = [cell for cell in evidence.cells if "main" in cell.tables]
    shown = pd.read_csv(results / "tables/main.csv")
    assert {cell.column for cell in main_cells} >= {"use", "fidelity", "toyworld-qa perception"}
    edge = {cell.column: cell.number.value for cell in main_cells if cell.arm == "edge"}
    assert edge["use"] == pytest.approx(shown[shown["arm"] == "edge"]["use"].iloc[0], abs=1e-6)
    assert len(main_cells) == len(shown) + 2


def test_the_chain_has_the_hashes_of_the_files(evidence):
    run, evaluation = evidence.runs[EDGE], evidence.evaluations[f"{EDGE}/toyworld-qa"]
    assert sha256(f"{RUN}/final/ema.safetensors") == run.checkpoint.sha256
    # The VAE and the tokenizer are part of a checkpoint, too.
    assert {Path(name).name for name in run.checkpoint.files} == {path.name for path in Path(f"{RUN}/final").iterdir()}
    chain = [run.checkpoint, evidence.bases["micro"], evidence.targets[run.targets], evidence.datasets[run.questions]]
    chain += [evidence.datasets[name] for name in (run.images, evaluation.data.dataset)]
    files = {name: digest for part in chain for name, digest in part.files.items()}
    assert len(files) > 10 and all(sha256(name) == digest for name, digest in files.items())
    assert sha256(evaluation.predictions.path) == evaluation.predictions.sha256
    assert sha256(evaluation.scores.record.path) == evaluation.scores.record.sha256
    assert run.work.code == code_of(read_record(Path(f"{RUN}/run.json"))["code"])
    assert run.work.device.type == "cpu" and run.work.device.name and run.work.gpu_hours == 0 and run.work.seconds > 0
    assert evidence.packages[run.work.environment.packages]["torch"] == packages()["torch"]
    assert run.work.environment.python == environment()["python"]


def test_a_revision_tells_whether_the_tree_was_clean():
    commit = "0123456789" * 4
    known = {commit: True, f"{commit}+": False, f"{commit} (archive)": None}
    assert {text: code_of(text).clean for text in known} == known
    assert all(code_of(text).revision == commit for text in known)
    assert code_of("unknown (no git)").revision is code_of("unknown (no git)").clean is None


def test_hours_of_a_gpu_count_every_process_and_are_unknown_without_a_device():
    record = {"command": "sgt train …", "code": "unknown (no git)", "device": {"type": "cuda", "name": "H100"}}
    assert work_of(record, 1800.0, processes=8).gpu_hours == 4
    assert work_of(record, None).gpu_hours is None
    assert work_of({**record, "device": None}, 1800.0).gpu_hours is None


def test_the_commands_make_the_data_and_the_targets_of_the_evidence_again(evidence, results):
    made = [part for part in (*evidence.datasets.values(), *evidence.targets.values())]
    for folder in ("shards", "targets"):
        shutil.rmtree(results / folder)
    for part in made:
        for command in part.commands:
            words = shlex.split(command)
            sgt(*words[1:], *(["--workers", "1"] if words[1] == "toyworld" else []))
    assert all(sha256(name) == digest for part in made for name, digest in part.files.items())


def test_a_trace_leads_from_the_number_to_the_shards(results, evidence, capsys):
    shown, _ = output_of(capsys, "trace", STUDY, "main", "micro/edge", "perception")
    run, evaluation = evidence.runs[EDGE], evidence.evaluations[f"{EDGE}/toyworld-qa"]
    wanted = [evaluation.scores.record.sha256, evaluation.predictions.sha256, run.checkpoint.sha256]
    wanted += [
        digest for part in (evidence.targets[run.targets], evidence.bases["micro"]) for digest in part.files.values()
    ]
    wanted += [digest for name in ("test", "questions", "scenes") for digest in evidence.datasets[name].files.values()]
    wanted += [
        f"$ sgt {name} {STUDY} --model micro --arm {arm} --seed 0"
        for name in ("train", "predict")
        for arm in ("edge", "sft")
    ]
    wanted += ["$ sgt render edge", "$ sgt toyworld results/shards/test", "$ sgt score", "gain ", "protocol official"]
    assert [text for text in wanted if text not in shown] == []
    head, *below = shown.splitlines()
    assert head.startswith("micro/edge toyworld-qa perception: 0.")
    assert all(re.match(r"[│ ]*[├└]─ \S", line) for line in below)
    as_json, _ = output_of(capsys, "trace", STUDY, "main", "micro/edge", "use", "--json")
    alone = Evidence.model_validate_json(as_json)
    assert set(alone.runs) == set(alone.treatments) == {EDGE} and len(alone.cells) == 1 and not alone.evaluations


@pytest.mark.parametrize(
    ("place", "said"),
    [
        (("treatment", "micro/edge", "use"), "no table"),
        (("main", "micro/depth", "use"), "has no row 'micro/depth'; use one of micro/base, micro/sft, micro/edge"),
        (("main", "micro/sft", "use"), "has no column 'use'; use one of 'toyworld-qa perception'"),
    ],
)
def test_a_cell_that_is_not_there_is_refused_with_those_that_are(results, capsys, place, said):
    _, error = output_of(capsys, "trace", STUDY, *place, status=1)
    assert said in error


def test_evidence_that_is_missing_edited_or_of_results_that_are_not_current_is_refused(results, capsys):
    path = results / "evidence.json"
    text = path.read_text()
    path.write_text(text.replace('"toyworld-qa perception"', '"toyworld-qa reasoning"', 1))
    place = ("trace", STUDY, "main", "micro/edge", "perception")
    assert "edited since it was written" in output_of(capsys, *place, status=1)[1]
    record = json.loads(text)
    record.pop(SEAL)
    write_record(path, {**record, "evidence_schema": 0})
    assert "evidence_schema: not of this version" in output_of(capsys, *place, status=1)[1]
    path.unlink()
    assert f"run `sgt evidence {STUDY}`" in output_of(capsys, *place, status=1)[1]
    (results / f"scores/{EDGE}/toyworld-qa.json").unlink()
    assert "toyworld-qa.json: it is not there" in output_of(capsys, "evidence", STUDY, status=1)[1]


def test_results_that_nothing_has_changed_are_as_recorded(results, capsys):
    shown, _ = output_of(capsys, "verify", STUDY)
    assert re.fullmatch(r"\d+ files are as recorded, 0 are not there\n", shown)


# One byte of each kind of file; all but base weights have a record of their own beside them.
FILES = [
    f"{RUN}/final/ema.safetensors",
    f"{RUN}/final/ae.safetensors",
    f"{RUN}/final/config.json",
    f"{RUN}/run.json",
    "base/micro/ema.safetensors",
    "results/targets/scenes/edge/shard-00001.tar",
    "results/targets/scenes/edge/shard-00001.json",
    "results/shards/questions/shard-00000.tar",
    "results/shards/test/manifest.json",
    f"results/predictions/{EDGE}/toyworld-qa/predictions.jsonl",
    f"results/predictions/{EDGE}/toyworld-qa/meta.json",
    f"results/predictions/{EDGE}/targets/images.tar",
    f"results/scores/{EDGE}/toyworld-qa.json",
    f"results/scores/{EDGE}/treatment.json",
    "results/evidence.json",
    "results/tables/main.md",
    "results/tables/sources.json",
    "results/report/index.html",
]


def test_one_flipped_byte_anywhere_names_its_file(results, capsys):
    rng = random.Random(0)
    for name in FILES:
        path = Path(name)
        content = path.read_bytes()
        place = rng.randrange(len(content))
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        shown, error = output_of(capsys, "verify", STUDY, status=1)
        changed = re.findall(r"^changed  ([^:]+):", shown, re.M)
        assert name in changed, f"byte {place} of {name}: {shown}"
        # Files that are no records name themselves alone.
        assert path.suffix == ".json" or changed == [name], shown
        assert "not as recorded" in error
        path.write_bytes(content)
    assert main(["verify", STUDY]) == 0


def test_a_file_that_is_gone_is_named_and_no_fault(results, capsys):
    shutil.rmtree(f"{RUN}/final")
    shown, _ = output_of(capsys, "verify", STUDY)
    assert f"missing  {RUN}/final/ema.safetensors" in shown


def test_a_score_in_which_no_number_changed_is_found_by_the_evidence(results, capsys):
    path = results / f"scores/{EDGE}/toyworld-qa.json"
    # The record's own hash is over its values, which an indentation does not change.
    path.write_text(json.dumps(json.loads(path.read_text()), indent=3))
    shown, _ = output_of(capsys, "verify", STUDY, status=1)
    assert f"changed  {path}: its SHA-256" in shown


@pytest.mark.parametrize("start", STARTS[:2])
def test_three_cells_at_random_are_traced_and_reproduced_equal(results, evidence, capsys, start, monkeypatch):
    in_this_process(monkeypatch)
    cells = [cell for cell in evidence.cells if cell.benchmark and cell.number.value is not None]
    for cell in random.Random(1).sample(cells, 3):
        table = cell.tables[-1]
        assert cell.column in output_of(capsys, "trace", STUDY, table, cell.row, cell.column)[0]
        words = ("reproduce", STUDY, table, cell.row, cell.column, "--from", start)
        shown, _ = output_of(capsys, *words)
        assert f"{table} {cell.row} {cell.column}: equal (made from {start}" in shown
        assert "differs" not in shown
        assert ("$ sgt score" in shown) == (start == "predictions")
    assert main(["verify", STUDY]) == 0


def test_a_cell_that_no_item_is_of_is_reproduced_as_such(results, capsys):
    path = results / "evidence.json"
    record = read_record(path)
    # As of a metric over items that another arm alone has.
    cell = next(each for each in record["cells"] if each["row"] == "micro/edge" and each["benchmark"])
    cell["column"], cell["metric"]["name"], cell["metric"]["title"] = "toyworld-qa others", "others", "others"
    cell |= {"number": {"value": None, "low": None, "high": None}, "gain": None, "items": 0}
    write_record(path, record)
    shown, _ = output_of(capsys, "reproduce", STUDY, "all", "micro/edge", "others")
    assert "toyworld-qa others: equal (" in shown


def in_this_process(monkeypatch) -> None:
    """Run the commands of a reproduction here: starting a process for each takes seconds."""

    def run(words) -> None:
        print(f"$ {shlex.join(['sgt', *words])}")
        sgt(*(words[1:] if words[0] == "launch" else words))

    monkeypatch.setattr("sgt.commands.reproduce._run_command", run)


def test_training_makes_the_same_number_again(results, capsys, monkeypatch):
    in_this_process(monkeypatch)
    words = ("reproduce", STUDY, "main", "micro/edge", "perception", "--from", "training", "--out", "again")
    shown, _ = output_of(capsys, *words)
    assert [line for line in shown.splitlines() if line[:7] in ("equal  ", "differs")] == [
        *(f"equal    {what} of {EDGE}" for what in ("checkpoint", "predictions", "scores", "check")),
        *(f"equal    {what} of micro/sft/seed0" for what in ("checkpoint", "predictions", "scores")),
        "equal    the number",
    ]
    assert shown.splitlines()[-1] == "main micro/edge toyworld-qa perception: equal (made from training in again)"
    # The check of the same checkpoint, drawn once more.
    shown, _ = output_of(capsys, "reproduce", STUDY, "main", "micro/edge", "use", "--from", "checkpoints")
    assert "$ sgt treatment" in shown and "micro/edge use: equal" in shown


def test_a_checkpoint_that_is_not_the_recorded_one_is_refused(results, capsys, monkeypatch):
    in_this_process(monkeypatch)
    path = Path(f"{RUN}/final/ema.safetensors")
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    place = ("main", "micro/edge", "use")
    with pytest.raises(AssertionError):
        main(["reproduce", STUDY, *place, "--from", "checkpoints"])
    assert "changed since it was made" in capsys.readouterr().err


def test_what_differs_is_named_from_the_first_step_on(results, capsys, monkeypatch):
    in_this_process(monkeypatch)
    # As if the original had been trained and had answered otherwise.
    path = results / "evidence.json"
    record = read_record(path)
    record["runs"][EDGE]["checkpoint"]["sha256"] = "0" * 64
    record["evaluations"][f"{EDGE}/toyworld-qa"]["predictions"]["sha256"] = "1" * 64
    cell = next(
        each for each in record["cells"] if each["column"] == "toyworld-qa perception" and each["arm"] == "edge"
    )
    cell["number"]["value"] += 0.0001
    write_record(path, record)
    answers = Path(f"results/predictions/{EDGE}/toyworld-qa/predictions.jsonl")
    lines = answers.read_text().splitlines()
    row = json.loads(lines[4])
    row["reply"]["text"] += " or not"
    answers.write_text("\n".join([*lines[:4], json.dumps(row), *lines[5:]]) + "\n")
    losses = Path(f"{RUN}/metrics.jsonl")
    steps = [json.loads(line) for line in losses.read_text().splitlines()]
    steps[3]["ce"] += 1
    losses.write_text("".join(json.dumps(step) + "\n" for step in steps))
    words = ("reproduce", STUDY, "main", "micro/edge", "perception", "--from", "training", "--out", "again")
    shown, _ = output_of(capsys, *words)
    assert re.search(rf"differs  checkpoint of {EDGE}: .*; ce first differs in step 3: ", shown)
    assert re.search(rf"differs  predictions of {EDGE}: .*; 1 of \d+ rows differ, first '{row['row']['id']}'", shown)
    assert "perception: equal within 0.0001 (" in shown
    assert json.loads(Path("again", REPRODUCTION).read_text())["changed"]["value"][0] == cell["number"]["value"]
    _, error = output_of(capsys, *words, status=1)
    assert "again: holds a finished reproduction" in error
    cell["number"]["value"] += 0.1
    write_record(path, record)
    words = ("reproduce", STUDY, "main", "micro/edge", "perception", "--from", "scores")
    shown, error = output_of(capsys, *words, status=1)
    assert "perception: different (" in shown and "first the number: value was" in error


def test_the_results_are_a_crate_that_others_read(results, evidence, capsys):
    shown, _ = output_of(capsys, "crate", STUDY)
    assert shown == "results/ro-crate-metadata.json\n"
    crate = ROCrate("results")
    files = {entity.id: entity["sha256"] for entity in crate.data_entities if entity.get("sha256")}
    assert len(files) > 30 and all(sha256(results / name) == digest for name, digest in files.items())
    predict = crate.dereference(f"#predict/{EDGE}/toyworld-qa")
    assert predict.type == "CreateAction" and predict["description"].startswith("sgt predict")
    made = predict["result"] if isinstance(predict["result"], list) else [predict["result"]]
    assert [entity.id for entity in made] == [f"predictions/{EDGE}/toyworld-qa/predictions.jsonl"]
    assert f"runs/{EDGE}/final/ema.safetensors" in {entity.id for entity in predict["object"]}
    assert predict["instrument"]["softwareVersion"].startswith(evidence.runs[EDGE].work.code.revision or "unknown")
    measured = [each for each in crate.root_dataset["variableMeasured"] if each.get("value") is not None]
    numbers = {each["name"]: each["value"] for each in measured}
    cells = {f"{cell.row} {cell.column}": cell.number.value for cell in evidence.cells if "main" in cell.tables}
    assert numbers == {name: value for name, value in cells.items() if value is not None}


def test_in_a_crate_scores_are_made_from_judgements(results, evidence):
    name, file = f"{EDGE}/toyworld-qa", results / "judgements.jsonl"
    file.write_text("")
    of = evidence.evaluations[name]
    judged = Judgements(
        record=of.scores.record, path="results/judgements.jsonl", sha256=sha256(file), count=0, statuses={},
        work=of.scores.work,
    )  # fmt: skip
    evaluations = {name: of.model_copy(update={"judgements": judged})}
    write_crate(load_study(STUDY), evidence.model_copy(update={"evaluations": evaluations, "cells": []}))
    actions = {each["@id"]: each for each in json.loads((results / "ro-crate-metadata.json").read_text())["@graph"]}
    chain = [
        (actions[f"#{step}/{name}"]["object"], actions[f"#{step}/{name}"]["result"]) for step in ("judge", "score")
    ]
    predictions, judgements = {"@id": f"predictions/{name}/predictions.jsonl"}, {"@id": "judgements.jsonl"}
    scores = {"@id": f"scores/{name}.json"}
    assert [[*map(_only, each)] for each in chain] == [[predictions, judgements], [judgements, scores]]


def _only(entities):
    (entity,) = entities if isinstance(entities, list) else [entities]
    return entity


def test_what_a_start_lacks_is_refused_in_a_line(results, capsys):
    place = ("main", "micro/edge", "use")
    _, error = output_of(capsys, "reproduce", STUDY, *place, "--from", "predictions", status=1)
    assert "draws and measures use in one step; start from scores or checkpoints" in error
    Path(f"results/scores/{EDGE}/treatment.json").unlink()
    _, error = output_of(capsys, "reproduce", STUDY, *place, status=1)
    assert "treatment.json: is not there; restore it, or start from an earlier step" in error


def test_a_command_runs_in_a_process_of_its_own_and_its_failure_ends_the_reproduction(results, capfd):
    (results / f"predictions/{EDGE}/toyworld-qa/predictions.jsonl").write_text("")
    words = ["reproduce", STUDY, "main", "micro/edge", "perception", "--from", "predictions"]
    assert main(words) == 1
    printed = capfd.readouterr()
    assert "changed since it was made" in printed.err
    assert "ended with status 1; see its message above" in printed.err.splitlines()[-1]


def test_a_study_whose_model_takes_the_vae_of_one_that_it_lacks_is_copied(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = write_study(Path(), models=["micro-omnigen2"])
    model = Path("config/models/micro-omnigen2.yaml")
    spec = yaml.safe_load(model.read_text())
    vae = {"vae_of": "micro", "vae_steps": None}
    owner = yaml.safe_load(Path("config/models/micro.yaml").read_text())
    spec["architecture"]["vae"] = owner["architecture"]["vae"]
    model.write_text(yaml.safe_dump({**spec, "pretrain": {**spec["pretrain"], **vae}}))
    assert copy_study(load_study(file), Path("again")).path == Path("again/config/micro.yaml")


def test_gpu_hours_of_a_report_are_those_of_the_processes_that_ran(results):
    study = load_study(STUDY)
    gpu = {"type": "cuda", "name": "H100"}
    for arm, seconds in (("sft", 900.0), ("edge", 1800.0)):
        path = study.run_dir(study.run("micro", arm, 0)) / "run.json"
        write_record(path, {**read_record(path), "seconds": seconds, "processes": 16, "device": gpu})
    (cost,) = costs(study)
    assert (cost.runs, cost.hours, cost.gpu_hours) == (2, 0.75, 12)
    write_record(path, {**read_record(path), "device": None})
    (cost,) = costs(study)
    assert cost.gpu_hours is None
