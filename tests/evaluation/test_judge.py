"""The stage between predictions and scores: whole, resumed, refused, not run, and part of every check of results."""

import json
import shutil
import sys
from pathlib import Path

import pytest
import yaml

from sgt.commands.main import main
from sgt.config.benchmarks import OPTIONS
from sgt.evaluation import judge, tasks
from sgt.evaluation.task import SelfCheckFailed
from sgt.evaluation.tasks import make_task
from sgt.identity import read_record
from sgt.study.load import load_study
from sgt.study.results import Results
from tests.conftest import GENERATION, sgt, write_study

BENCHMARK = {**GENERATION, "name": "bright", "task": "bright", "samples": 8, "threshold": 0.1}
RUN = ["--model", "micro", "--arm", "base", "--seed", "0"]
STUDY = "config/micro.yaml"


@pytest.fixture(scope="module")
def predicted(prepared, tmp_path_factory):
    """A study of two runs with predictions on a judged benchmark."""
    root, known = tmp_path_factory.mktemp("judged"), (tasks.TASKS, OPTIONS)
    before = [dict(each) for each in known]
    with pytest.MonkeyPatch.context() as patch:
        (root / "tasks").mkdir()
        shutil.copyfile(Path(__file__).parent / "judged_task.py", root / "tasks/judged_task.py")
        patch.setattr(tasks, "__path__", [*tasks.__path__, str(root / "tasks")])
        tasks.find_tasks()
        shutil.copytree(prepared, root / "study")
        patch.chdir(root / "study")
        write_study(Path(), arms=["base", "sft"], benchmarks=["bright", "toyworld-qa"])
        write_benchmark()
        for arm in ("base", "sft"):
            words = [STUDY, "--model", "micro", "--arm", arm, "--seed", "0"]
            sgt("train", *words)
            sgt("predict", *words, "--benchmark", "bright")
        yield root / "study"
    sys.modules.pop("sgt.evaluation.tasks.judged_task", None)
    for each, content in zip(known, before, strict=True):
        each.clear()
        each.update(content)


def write_benchmark(**changes) -> None:
    kept = {name: value for name, value in {**BENCHMARK, **changes}.items() if value is not None}
    Path("config/benchmarks/bright.yaml").write_text(yaml.safe_dump(kept))


@pytest.fixture
def here(predicted, tmp_path, monkeypatch) -> Path:
    shutil.copytree(predicted, tmp_path / "study")
    monkeypatch.chdir(tmp_path / "study")
    return tmp_path / "study"


def rows_judged() -> list[str]:
    return Path("results/judgements/_replies/log").read_text().splitlines()


def test_one_run_is_judged_scored_and_current(here):
    sgt("judge", STUDY, *RUN, "--benchmark", "bright")
    meta = read_record(Path("results/judgements/micro/base/seed0/bright/meta.json"))
    assert meta["statuses"] == {"refused": 3, "ok": 5} and meta["evaluator"]["self_check"] == {"rate": 1.0}
    assert all(line.split()[1] == "48" for line in rows_judged()), "edits are judged beside what they were made from"
    sgt("score", STUDY, *RUN, "--benchmark", "bright")
    score = json.loads(Path("results/scores/micro/base/seed0/bright.json").read_text())
    assert score["evaluator"] == meta["evaluator"] and score["statuses"] == meta["statuses"]
    assert score["metrics"]["bright"]["n"] == 5, "what was refused is no number"
    assert list(score["code"]) == ["predict", "judge", "score"] and len(score["commands"]) == 3
    study = load_study(STUDY)
    run, benchmark = study.runs[0], study.benchmarks["bright"]
    assert Results(study).judgement(run, benchmark).fault() is Results(study).score(run, benchmark).fault() is None
    write_benchmark(threshold=0.2)
    study = load_study(STUDY)
    assert Results(study).prediction(run, study.benchmarks["bright"]).fault() is None
    assert "judging.threshold was 0.1 and is 0.2" in Results(study).score(run, study.benchmarks["bright"]).fault()


def test_a_few_samples_are_judged_beside_all(here, capsys):
    limited = ["--benchmark", "bright", "--limit", "4"]
    sgt("predict", STUDY, *RUN, *limited)
    assert main(["score", STUDY, *RUN, *limited]) == 1
    remedy = f"sgt judge {STUDY} {' '.join(RUN)} {' '.join(limited)}"
    assert f"run `{remedy}`" in capsys.readouterr().err
    assert main(["judge", STUDY, *RUN, "--benchmark", "bright", "--limit", "0"]) == 1
    sgt(*remedy.split()[1:])
    sgt("score", STUDY, *RUN, *limited)
    score = json.loads(Path("results/scores/micro/base/seed0/bright.limit-4.json").read_text())
    assert score["counts"] == {"predicted": 4, "scored": 4}
    assert not Path("results/judgements/micro/base/seed0/bright").exists()


def test_several_runs_are_judged_row_by_row_in_turn_and_resume_where_they_were(here, monkeypatch):
    monkeypatch.setattr(judge, "ROWS_PER_CHUNK", 3)
    monkeypatch.setattr(judge, "IMAGES_AT_ONCE", 4)
    predicted = rows = [f"test-{number:06d}" for number in range(8)]
    monkeypatch.setenv("KILLED_AT", rows[4])
    assert main(["judge", STUDY, "--benchmark", "bright"]) == 130
    ids = [line.split()[0] for line in rows_judged()]
    assert ids == [row for row in predicted[:4] for _ in range(2)] + [rows[4]]
    monkeypatch.delenv("KILLED_AT")
    sgt("judge", STUDY, "--benchmark", "bright")
    resumed = [line.split()[0] for line in rows_judged()][len(ids) :]
    assert resumed == [row for row in rows[3:] for _ in range(2)], "from the first chunk that was not whole"
    files = [Path(f"results/judgements/micro/{arm}/seed0/bright/judgements.jsonl") for arm in ("base", "sft")]
    together = [path.read_text() for path in files]
    sgt("judge", STUDY, "--benchmark", "bright")
    assert len(rows_judged()) == len(ids) + len(resumed), "what is current is not judged again"
    for shard in ("2/2", "1/2"):
        sgt("judge", STUDY, *RUN, "--benchmark", "bright", "--shard", shard)
    before = len(rows_judged())
    sgt("judge", STUDY, *RUN, "--benchmark", "bright")
    assert len(rows_judged()) == before and files[0].read_text() == together[0]


def answered(arms: tuple[str, ...]) -> None:
    """Score the benchmark of questions, so that there is a table."""
    for arm in arms:
        words = [STUDY, "--model", "micro", "--arm", arm, "--seed", "0", "--benchmark", "toyworld-qa"]
        sgt("predict", *words)
        sgt("score", *words)


def test_nothing_is_scored_by_an_evaluator_that_fails_its_self_check_and_tables_say_so(here):
    write_benchmark(threshold=2.0)
    sgt("judge", STUDY, "--benchmark", "bright")
    assert not Path("results/judgements/_replies").exists(), "no row was judged"
    answered(("base", "sft"))
    for arm in ("base", "sft"):
        sgt("score", STUDY, "--model", "micro", "--arm", arm, "--seed", "0", "--benchmark", "bright")
    score = json.loads(Path("results/scores/micro/base/seed0/bright.json").read_text())
    assert score["metrics"] == {} and "white is not bright" in score["evaluator"]["self_check"]["failed"]
    sgt("tables", STUDY)
    sgt("evidence", STUDY)
    table = Path("results/tables/main.md").read_text()
    assert table.count(" not run ") == 2 and "bright was not run: brightness: white is not bright" in table
    write_benchmark(threshold=0.1)
    study = load_study(STUDY)
    assert Results(study).judgement(study.runs[0], study.benchmarks["bright"]).fault(), "another evaluator may pass"


def test_a_run_whose_self_check_failed_beside_runs_that_were_judged_is_named(here, monkeypatch, capsys):
    evaluator = type(make_task(load_study(STUDY).benchmarks["bright"]).make_evaluator(Path("replies")))

    def fails(self):
        raise SelfCheckFailed("brightness", "it sees nothing now", "look at it")

    answered(("base", "sft"))
    for arm in ("base", "sft"):
        words = [STUDY, "--model", "micro", "--arm", arm, "--seed", "0", "--benchmark", "bright"]
        sgt("judge", *words)
        sgt("score", *words)
        monkeypatch.setattr(evaluator, "prove", fails)
    assert main(["tables", STUDY]) == 1
    error = capsys.readouterr().err
    assert "micro/sft/seed0/bright.json: not scored, as other runs are (brightness: it sees nothing now" in error
    assert "delete results/judgements/micro/sft/seed0/bright, and run `sgt judge`" in error


def test_tables_say_what_was_not_configured_and_why(here, capsys):
    write_benchmark(threshold=None)
    answered(("base", "sft"))
    sgt("tables", STUDY)
    table = Path("results/tables/main.md").read_text()
    assert table.count(" not run ") == 2 and "bright was not run: no threshold is given." in table
    sgt("check", STUDY)
    assert "benchmark bright: not run, no threshold is given" in capsys.readouterr().out
    assert main(["predict", STUDY, *RUN, "--benchmark", "bright"]) == 1
    assert "not run: no threshold is given" in capsys.readouterr().err
