"""What the console makes of Snakemake's records: where long jobs are, ever less often, and what killed a command."""

import logging
from types import SimpleNamespace

import pytest
from snakemake_interface_logger_plugins.common import LogEvent

from sgt.reporting import console
from sgt.reporting.console import Console
from tests.reporting.test_expected import Dag, Job, Rule


@pytest.fixture
def clock(monkeypatch):
    now = SimpleNamespace(seconds=1000.0)
    monkeypatch.setattr(console.time, "monotonic", lambda: now.seconds)
    return now


@pytest.fixture
def shown(tmp_path):
    """A console of two jobs, and what it makes of a record."""
    jobs = [Job(Rule("train"), tmp_path / f"{arm}.tsv", {"model": "m", "arm": arm}) for arm in ("sft", "edge")]
    workflow = SimpleNamespace(dag=Dag(jobs), output_settings=SimpleNamespace(dryrun=False))
    made = Console(None, workflow)

    def tell(event: LogEvent | None, message: str = "", **fields) -> str:
        record = logging.makeLogRecord({"msg": message, "event": event, "levelno": logging.INFO, **fields})
        return made.format(record) if made.filter(record) else ""

    made._keep_looking = lambda: None
    tell(LogEvent.RUN_INFO, "Job stats")
    for jobid, arm in enumerate(("sft", "edge")):
        about = {"rule_msg": f"Train m on {arm}", "rule_name": "train", "wildcards": {}, "log": [str(tmp_path / arm)]}
        assert tell(LogEvent.JOB_INFO, jobid=jobid, **about) == ""
    return made, tell


def test_a_job_that_runs_long_is_told_with_what_its_log_says_and_ever_less_often(clock, shown, tmp_path):
    made, tell = shown
    (tmp_path / "sft").write_text(
        "12:00:00 $ sgt train\n12:00:09 m/sft/seed0: steps 30/120  1.0/s  90 s left  loss 2.0\n"
    )
    told = []
    for _ in range(0, 600, 5):
        clock.seconds += 5
        told += [(clock.seconds - 1000, line.split("] ")[1]) for line in made.look()]
    assert [seconds for seconds, line in told if "edge" in line] == [30, 60, 120, 240, 480]
    assert {line for _, line in told} >= {
        "running: Train m on sft: steps 30/120  1.0/s  90 s left  loss 2.0",
        "running: Train m on edge: 120 s so far",
    }
    finished = tell(LogEvent.JOB_FINISHED, job_id=0)
    assert finished.endswith("Train m on sft (600 s)")


def test_a_command_that_was_killed_is_told_and_one_that_ended_badly_left_to_its_log(shown, tmp_path):
    _, tell = shown
    text = "RuleException:\nCalledProcessError in file \"train.smk\", line 9:\nCommand 'sgt train > log' "
    assert tell(None, text + "returned non-zero exit status 1.") == ""
    for ended, name in (
        ("returned non-zero exit status 137.", "signal 9"),
        ("died with <Signals.SIGKILL: 9>.", "SIGKILL"),
    ):
        assert name in tell(None, text + ended) and "want of memory" in tell(None, text + ended)
    (tmp_path / "edge").write_text("$ sgt train\nsgt train: error: base: no such file; fetch it\n\n")
    lines = tell(LogEvent.JOB_ERROR, jobid=1).splitlines()
    assert lines[0].endswith("failed: Train m on edge")
    assert lines[1:] == [f"    log: {tmp_path / 'edge'}", "    sgt train: error: base: no such file; fetch it"]


def test_messages_are_told_once_in_short_lines_and_chatter_not_at_all(shown):
    _, tell = shown
    assert tell(None, "Select jobs to execute...") == tell(LogEvent.SHELLCMD, cmd="sgt train") == ""
    assert tell(None, "Activating conda environment: .snakemake/conda/a") and not tell(
        None, "Activating conda environment: .snakemake/conda/a"
    )
    told = tell(None, "MissingInputException: " + "some/file, " * 300)
    assert max(map(len, told.splitlines())) <= 200 and told.count("some/file,") == 300
