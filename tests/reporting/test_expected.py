"""How far a workflow is follows the time that jobs take, not how many they are; lines of progress name their work."""

from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from statistics import fmean

import pytest

from sgt.commands.main import main
from sgt.progress import AMOUNT, Progress, name_work
from sgt.reporting.expected import OTHERWISE, UNKNOWN, Expected


@dataclass(frozen=True)
class Rule:
    name: str


@dataclass(eq=False)
class Job:
    """What is asked of a job of Snakemake's."""

    rule: Rule
    benchmark: Path
    wildcards_dict: dict = field(default_factory=dict)


class Dag:
    """What is asked of Snakemake's graph of jobs, of which the first ones are made already."""

    def __init__(self, jobs: list[Job], made: int = 0) -> None:
        self.jobs, self.made = jobs, made

    def needrun_jobs(self):
        return iter(self.jobs[self.made :])

    def jobid(self, job: Job) -> int:
        return self.jobs.index(job)


def took(job: Job, seconds: float) -> Job:
    job.benchmark.parent.mkdir(parents=True, exist_ok=True)
    job.benchmark.write_text(f"s\th:m:s\tmax_rss\n{seconds}\t0:00:00\t-\n")
    return job


@pytest.fixture
def job(tmp_path):
    return lambda rule, name, **wildcards: Job(Rule(rule), tmp_path / rule / f"{name}.tsv", wildcards)


def test_many_short_jobs_are_a_small_part_of_the_time(job):
    # A training took 90 s before; so will the next of that model, and what it is like is known of nothing else.
    made = [took(job("train", "a", model="m"), 90), *(took(job("score", f"old{i}"), 1) for i in range(3))]
    ahead = [job("train", "b", model="m"), *(job("score", f"new{i}") for i in range(10))]
    expected = Expected(Dag([*made, *ahead], made=len(made)))
    assert expected.share(0.0) == 0.0
    for number in range(5, 15):
        expected.began(number, 0.0)
        took(ahead[number - 4], 1)
        expected.finished(number, 1.0)
    assert expected.share(1.0) == pytest.approx(10 / 100)
    expected.began(4, 1.0)
    assert expected.share(46.0) == pytest.approx(55 / 100)
    # It takes longer than expected: the share goes on, and does not reach the end before the job does.
    shares = [expected.share(now) for now in (91.0, 150.0, 1000.0)]
    assert shares == sorted(shares) and shares[0] > 0.9 and shares[-1] <= 0.99
    expected.finished(4, 1000.0)
    assert expected.share(1000.0) == 1.0


def test_what_a_running_job_says_of_itself_counts_more_than_what_others_took(job):
    made = [took(job("train", "a", model="m"), 10)]
    expected = Expected(Dag([*made, job("train", "b", model="m"), job("train", "c", model="m")], made=1))
    expected.began(1, 0.0)
    expected.extrapolate(1, 30.0, done=10, total=30)
    assert expected.share(30.0) == pytest.approx(30 / (90 + 10))


def test_the_share_never_goes_back(job):
    made = [took(job("train", "a", model="m"), 1)]
    expected = Expected(Dag([*made, *(job("train", f"b{i}", model="m") for i in range(4))], made=1))
    expected.began(1, 0.0)
    before = expected.share(0.9)
    expected.finished(1, 1000.0)
    assert before > 0.2 and expected.share(1000.0) >= before


def test_the_share_is_that_of_all_jobs_looked_at_one_by_one(job):
    """Against sums over what was observed. Some jobs took a known time before, others never ran."""
    rules = [("train", {"model": "m"}), ("train", {"model": "n"}), ("score", {"benchmark": "qa"}), ("tables", {})]
    jobs = [job(rule, f"{rule}{i}", **wildcards) for i, (rule, wildcards) in enumerate(rules * 6)]
    own = {number: float(number + 1) for number in (1, 2, 9)}
    for number, seconds in own.items():
        took(jobs[number], seconds)
    expected, draw = Expected(Dag(jobs)), Random(0)
    finished, running, waiting, before = {}, {}, list(range(len(jobs))), 0.0

    def usual(number: int) -> float:
        """The mean of jobs like it, else of its rule, else what is assumed of the rule."""
        if number in own:
            return own[number]
        alike = [
            seconds for other, seconds in (*own.items(), *finished.items()) if jobs[other].rule == jobs[number].rule
        ]
        same = [
            seconds
            for other, seconds in (*own.items(), *finished.items())
            if (jobs[other].rule, jobs[other].wildcards_dict) == (jobs[number].rule, jobs[number].wildcards_dict)
        ]
        return fmean(same or alike) if same or alike else UNKNOWN.get(jobs[number].rule.name, OTHERWISE)

    draw.shuffle(waiting)
    for now in map(float, range(0, 4 * len(jobs), 2)):
        if waiting and len(running) < 3:
            running[number := waiting.pop()] = now
            expected.began(number, now)
        elif running:
            number = draw.choice(list(running))
            took(jobs[number], draw.uniform(0, 30))
            finished[number] = expected.finished(number, now)
            del running[number]
        past = sum(finished.values()) + sum(now - began for began in running.values())
        ahead = sum(map(usual, waiting))
        ahead += sum(max(usual(number) - (now - began), (now - began) / 20) for number, began in running.items())
        before = max(before, min(past / max(past + ahead, 1e-9), 0.99)) if waiting or running else 1.0
        assert expected.share(now) == pytest.approx(before)
    assert not waiting and not running


def test_lines_of_progress_name_their_work(caplog):
    caplog.set_level("INFO", "sgt")
    name_work("micro/edge/seed0")
    Progress("VAE steps", 3, every=0.0).add(note="L1 0.1")
    name_work("")
    Progress("VAE steps", 3, every=0.0).add()
    named, plain = caplog.messages
    assert named.startswith("micro/edge/seed0: VAE steps 1/3  ") and plain.startswith("VAE steps 1/3  ")
    for line in (named, plain):
        assert AMOUNT.search(f"12:00:01 {line}").groupdict() == {"what": "VAE steps", "done": "1", "total": "3"}


def test_a_command_names_what_it_is_at(tmp_path, caplog):
    caplog.set_level("INFO", "sgt")
    words = ["toyworld", tmp_path / "a", "--split", "test", "--scenes", 2, "--workers", 1]
    assert main([str(word) for word in words]) == 0
    assert any(message.startswith(f"{tmp_path / 'a'}: scenes 2/2  ") for message in caplog.messages)
