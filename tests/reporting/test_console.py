"""The console: progress of long jobs, ever less often, and what killed a command."""

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
def console_of_two(tmp_path):
    """A console of two jobs, and what it makes of a record."""
    jobs = [Job(Rule("train"), tmp_path / f"{arm}.tsv", {"model": "m", "arm": arm}) for arm in ("sft", "edge")]
    workflow = SimpleNamespace(dag=Dag(jobs), output_settings=SimpleNamespace(dryrun=False))
    made = Console(None, workflow)

    def text_of(event: LogEvent | None, message: str = "", **fields) -> str:
        record = logging.makeLogRecord({"msg": message, "event": event, "levelno": logging.INFO, **fields})
        return made.format(record) if made.filter(record) else ""

    made._report_progress = lambda: None
    text_of(LogEvent.RUN_INFO, "Job stats")
    for jobid, arm in enumerate(("sft", "edge")):
        about = {"rule_msg": f"Train m on {arm}", "rule_name": "train", "wildcards": {}, "log": [str(tmp_path / arm)]}
        assert text_of(LogEvent.JOB_INFO, jobid=jobid, **about) == ""
    return made, text_of


def test_a_long_job_is_reported_with_the_end_of_its_log_and_ever_less_often(clock, console_of_two, tmp_path):
    made, text_of = console_of_two
    (tmp_path / "sft").write_text(
        "12:00:00 $ sgt train\n12:00:09 m/sft/seed0: steps 30/120  1.0/s  90 s left  loss 2.0\n"
    )
    lines_so_far = []
    for _ in range(0, 600, 5):
        clock.seconds += 5
        lines_so_far += [(clock.seconds - 1000, line.split("] ")[1]) for line in made.progress()]
    assert [seconds for seconds, line in lines_so_far if "edge" in line] == [30, 60, 120, 240, 480]
    assert {line for _, line in lines_so_far} >= {
        "running: Train m on sft: steps 30/120  1.0/s  90 s left  loss 2.0",
        "running: Train m on edge: 120 s so far",
    }
    finished = text_of(LogEvent.JOB_FINISHED, job_id=0)
    assert finished.endswith("Train m on sft (600 s)")


def test_a_killed_command_is_reported_and_a_failed_one_left_to_its_log(console_of_two, tmp_path):
    _, text_of = console_of_two
    text = "RuleException:\nCalledProcessError in file \"train.smk\", line 9:\nCommand 'sgt train > log' "
    assert text_of(None, text + "returned non-zero exit status 1.") == ""
    for ended, name in (
        ("returned non-zero exit status 137.", "signal 9"),
        ("died with <Signals.SIGKILL: 9>.", "SIGKILL"),
    ):
        assert name in text_of(None, text + ended) and "out of memory" in text_of(None, text + ended)
    (tmp_path / "edge").write_text("$ sgt train\nsgt train: error: base: no such file; fetch it\n\n")
    lines = text_of(LogEvent.JOB_ERROR, jobid=1).splitlines()
    assert lines[0].endswith("failed: Train m on edge")
    assert lines[1:] == [f"    log: {tmp_path / 'edge'}", "    sgt train: error: base: no such file; fetch it"]


def test_messages_appear_once_in_short_lines_and_chatter_not_at_all(console_of_two):
    _, text_of = console_of_two
    assert text_of(None, "Select jobs to execute...") == text_of(LogEvent.SHELLCMD, cmd="sgt train") == ""
    assert text_of(None, "Activating conda environment: .snakemake/conda/a") and not text_of(
        None, "Activating conda environment: .snakemake/conda/a"
    )
    text = text_of(None, "MissingInputException: " + "some/file, " * 300)
    assert max(map(len, text.splitlines())) <= 200 and text.count("some/file,") == 300
