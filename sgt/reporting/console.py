"""What appears on screen while Snakemake runs a study: finished jobs, the progress of long ones, and how it ended.

Jobs write complete logs of their own; the screen has only what a person follows. Snakemake's own log of a run, with
reasons and commands of all jobs, is below ``.snakemake/log``.
"""

import logging
import re
import textwrap
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from snakemake_interface_logger_plugins.common import LogEvent

from sgt.errors import SgtError
from sgt.progress import AMOUNT
from sgt.reporting.expected import Expected
from sgt.reporting.stages import stage_times
from sgt.study.loaded import LoadedStudy

log = logging.getLogger("snakemake.logging")
WIDTH = 200
# Seconds until a running job is reported, doubled each time, up to an hour.
FIRST_REPORT, LONGEST_WAIT = 30.0, 3600.0
PRINTED_FAILURES = 5
# Rules whose jobs are also reported, with their command, when they start. The others are short.
LONG = {"fetch", "pretrain", "train"}
# Events that every job has, or that are of no use on screen.
DROPPED = {
    LogEvent.WORKFLOW_STARTED,
    LogEvent.RESOURCES_INFO,
    LogEvent.SHELLCMD,
    LogEvent.JOB_STARTED,
    LogEvent.GROUP_INFO,
    LogEvent.GROUP_ERROR,
    LogEvent.PROGRESS,
}
CHATTER = (
    "Building DAG of jobs",
    "Using shell:",
    "Group jobs: inactive",
    "Conda environments: ignored",
    "Select jobs to execute",
    "Execute ",
    "Removing output files of failed job",
    "Shutting down, this might take",
    "Exiting because a job execution failed",
    "Complete log(s):",
    "Elapsed time:",
    "WorkflowError:\nAt least one job did not complete",
)
FAILED_COMMAND = re.compile(
    r"CalledProcessError.*(?:exit status (?P<status>\d+)|died with <Signals\.(?P<signal>\w+))", re.S
)


@dataclass
class Running:
    """A running job: a description, when it began and when it is reported next (seconds), and its log if it has one."""

    description: str
    began: float
    next_report: float
    log: Path | None


class Console(logging.Formatter):
    """Snakemake's lines on screen, in the place of its own formatter.

    Args:
        study: that is run.
        workflow: Snakemake's, whose jobs are known once it runs.
    """

    def __init__(self, study: LoadedStudy, workflow) -> None:
        super().__init__()
        self._study, self._workflow = study, workflow
        self._default = logging.Formatter()
        self._lock = threading.RLock()
        self._running: dict[int, Running] = {}
        self._failed: dict[int, tuple[str, Path | None]] = {}
        self._expected: Expected | None = None
        self._passed: set[str] = set()
        self._over = threading.Event()

    def attach(self) -> None:
        """Replace Snakemake's formatter on screen; a logger plugin that the user chose is left alone."""
        # On a full disk, every line that Snakemake's log file cannot take would print a traceback.
        logging.raiseExceptions = False
        for handler in log.handlers:
            if handler.name == "DefaultStreamHandler":
                self._default = handler.formatter or self._default
                handler.setFormatter(self)
                handler.addFilter(self)

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a record appears on screen; its text is kept in the record."""
        with self._lock:
            text = self._text_of(record)
        vars(record)["screen_text"] = text
        return bool(text)

    def format(self, record: logging.LogRecord) -> str:
        """The text of a record that :meth:`filter` passed."""
        return vars(record)["screen_text"]

    def succeeded(self) -> None:
        """Print how long the stages took, what was found, and where the report is."""
        self._over.set()
        times = stage_times(self._study.results / "benchmarks").to_string(index=False, float_format="%.1f")
        self._print("\n".join([times, *self._ending()]))

    def failed(self) -> None:
        """Print which jobs failed, with the last lines of their logs, and how to continue."""
        self._over.set()
        failed = list(self._failed.values())
        lines = [f"study {self._study.study.name} stopped{f': {len(failed)} failed' if failed else ''}"]
        for description, path in failed[:PRINTED_FAILURES]:
            lines += [f"failed: {description}", *_end_of_log(path)]
        if len(failed) > PRINTED_FAILURES:
            lines.append(f"… and {len(failed) - PRINTED_FAILURES} more")
        again = (
            "run the same command again: finished results are kept, and interrupted jobs resume where they last saved"
        )
        self._print("\n".join([*lines, f"correct what is named above and {again}" if failed else again]))

    def progress(self) -> list[str]:
        """Lines of the running jobs that are due to be reported."""
        now, lines = time.monotonic(), []
        with self._lock:
            for jobid, job in self._running.items():
                words = _last_line(job.log)
                amount = AMOUNT.search(words)
                if amount and self._expected:
                    self._expected.extrapolate(jobid, now - job.began, int(amount["done"]), int(amount["total"]))
                if now >= job.next_report:
                    job.next_report = now + min(now - job.began, LONGEST_WAIT)
                    at = words[amount.start() :] if amount else f"{now - job.began:.0f} s so far"
                    lines.append(self._line(f"running: {job.description}: {at}"))
        return lines

    def _text_of(self, record: logging.LogRecord) -> str:
        # Snakemake adds the fields of an event to the record as attributes of its own.
        fields = vars(record)
        event = fields.get("event")
        if self._workflow.output_settings.dryrun:
            text = self._default.format(record)
            # A command is there to be copied.
            return text if event == LogEvent.SHELLCMD else "\n".join(map(_cut, text.splitlines()))
        if "printed" in fields:
            return fields["printed"]
        match event:
            case LogEvent.RUN_INFO:
                return self._begin(record)
            case LogEvent.JOB_INFO:
                now = time.monotonic()
                logs = [Path(name.split(" (")[0]) for name in fields["log"]]
                jobid, rule = fields["jobid"], fields["rule_name"]
                description = fields["rule_msg"] or f"{rule} {', '.join(fields['wildcards'].values())}".strip()
                self._running[jobid] = Running(description, now, now + FIRST_REPORT, logs[0] if logs else None)
                if self._expected:
                    self._expected.began(jobid, now)
                if rule in LONG and (command := fields.get("shellcmd")):
                    return self._line(f"started: {command.split(' > ')[0]}")
            case LogEvent.JOB_FINISHED:
                return self._finish(fields["job_id"])
            case LogEvent.JOB_ERROR:
                return self._fail(fields["jobid"], fields.get("rule_msg"))
            case _ if event in DROPPED:
                return ""
            case _:
                return self._pass(record)
        return ""

    def _begin(self, record: logging.LogRecord) -> str:
        self._expected = Expected(self._workflow.dag)
        threading.Thread(target=self._report_progress, daemon=True).start()
        return self._default.format(record).rstrip()

    def _finish(self, jobid: int) -> str:
        job = self._running.pop(jobid, None)
        self._failed.pop(jobid, None)
        if job is None or self._expected is None:
            return ""
        seconds = self._expected.finished(jobid, time.monotonic())
        return self._line(f"{job.description} ({seconds:.0f} s)")

    def _fail(self, jobid: int, why: str | None) -> str:
        """What failed, the scheduler's message, and the last line of its log."""
        job = self._running.pop(jobid, None)
        if job is None:
            return ""
        self._failed[jobid] = job.description, job.log
        reason = [part for line in (why or "").splitlines() for part in _wrapped(f"    {line.strip()}")]
        return "\n".join([self._line(f"failed: {job.description}"), *reason, *_end_of_log(job.log)])

    def _pass(self, record: logging.LogRecord) -> str:
        """A message of Snakemake's that is useful, once."""
        text = self._default.format(record).strip("\n")
        failed = FAILED_COMMAND.search(text)
        if failed:
            status = int(failed["status"] or 128)
            killed = failed["signal"] or (f"signal {status - 128}" if status > 128 else "")
            return f"a job's command was killed by {killed}: out of memory, or from outside" if killed else ""
        if text.startswith(CHATTER) or text in self._passed:
            return ""
        self._passed.add(text)
        if text.startswith("Nothing to be done"):
            return "\n".join([text, *self._ending()])
        return "\n".join(part for line in text.splitlines() for part in _wrapped(line))

    def _ending(self) -> list[str]:
        """What the study found and where its report is, if the report was requested."""
        # Imported where it is used: every start of Snakemake, also on a cluster's nodes, loads this module.
        from sgt.reporting.report import ending, report_file
        from sgt.reporting.scores import Scores

        requested = any(job.rule.name == "report" for job in self._workflow.dag.jobs)
        if not requested or not report_file(self._study).exists():
            return []
        try:
            return [part for line in ending(Scores(self._study)) for part in _wrapped(line)]
        except SgtError as error:
            return _wrapped(f"error: {error}")

    def _line(self, text: str) -> str:
        share = self._expected.share(time.monotonic()) if self._expected else 0.0
        return "\n".join(_wrapped(f"{time.strftime('%H:%M:%S')} [{100 * share:3.0f} %] {text}"))

    def _report_progress(self) -> None:
        while not self._over.wait(5.0):
            for line in self.progress():
                self._print(line)

    def _print(self, text: str) -> None:
        # Snakemake's formatter for its own log does not fill in arguments.
        log.info(text, extra={"printed": text})


def _last_line(path: Path | None) -> str:
    """The last line of a log that has something on it; empty if there is none."""
    if path is None:
        return ""
    try:
        with open(path, "rb") as file:
            file.seek(max(0, path.stat().st_size - 8192))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return ""
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def _end_of_log(path: Path | None) -> list[str]:
    """Where a job's log is, and its last line."""
    words = _last_line(path)
    return [f"    log: {path}", *textwrap.wrap(words, WIDTH, initial_indent="    ", subsequent_indent="    ")]


def _cut(line: str) -> str:
    return line if len(line) <= WIDTH else f"{line[: WIDTH - 1]}…"


def _wrapped(line: str) -> list[str]:
    return textwrap.wrap(line, WIDTH, subsequent_indent="    ", break_on_hyphens=False) or [""]
