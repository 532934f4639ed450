"""How far a workflow is, in time: jobs are weighed by the seconds they took, take, or can be expected to take."""

from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path

from sgt.reporting.stages import job_seconds

# Seconds of jobs whose rule never ran here, by the beginning of its name. Only their proportions matter, and only
# until one has run.
UNKNOWN = {
    "pretrain": 600,
    "fetch": 300,
    "shards_": 300,
    "train": 60,
    "predict": 20,
    "toyworld": 10,
    "treatment": 10,
    "analyse": 10,
}
OTHERWISE = 3.0


@dataclass
class Mean:
    """A mean of numbers that come one by one."""

    total: float = 0.0
    count: int = 0

    def add(self, number: float) -> None:
        """One more number."""
        self.total += number
        self.count += 1

    @property
    def value(self) -> float:
        """Of what was added; of nothing there is none."""
        return self.total / self.count


class Expected:
    """The jobs of a workflow that are to be run, by number, and what they take.

    The time of one update does not depend on how many jobs there are: those that wait are counted by what they are
    expected to take, and the few that run are looked at one by one.

    Args:
        dag: Snakemake's, of all jobs; what they took before is read from their benchmark files.
    """

    def __init__(self, dag) -> None:
        self._took: defaultdict[tuple, Mean] = defaultdict(Mean)
        self._groups: dict[int, tuple[tuple, ...]] = {}
        self._files: dict[int, Path] = {}
        self._own: dict[int, float] = {}
        self._began: dict[int, float] = {}
        self._finished: set[int] = set()
        # Seconds of all finished jobs, and of those that wait and are expected to take what they took before.
        self._past = self._own_ahead = 0.0
        # Of the other jobs that wait, how many there are of each kind.
        self._waiting: Counter[tuple[tuple, ...]] = Counter()
        self._share = 0.0
        waiting = set(dag.needrun_jobs())
        for job in dag.jobs:
            groups = groups_of(job.rule.name, job.wildcards_dict)
            seconds = job_seconds(Path(job.benchmark)) if job.benchmark else None
            if seconds is not None:
                self._learn(groups, seconds)
            if job in waiting:
                number = dag.jobid(job)
                self._groups[number] = groups
                if job.benchmark:
                    self._files[number] = Path(job.benchmark)
                if seconds is not None:
                    self._own[number] = seconds
                self._count(number, 1)

    def began(self, number: int, now: float) -> None:
        """A job began, or began again."""
        if self._waits(number):
            self._count(number, -1)
        self._began[number] = now

    def extrapolate(self, number: int, elapsed: float, done: int, total: int) -> None:
        """Expect the rest of a running job from the share of its work that is done, rather than from other jobs."""
        if 0 < done < total and not self._waits(number):
            self._own[number] = elapsed * total / done

    def finished(self, number: int, now: float) -> float:
        """A job is done; returns the seconds it took, by its benchmark file if it has one."""
        if self._waits(number):
            self._count(number, -1)
        elapsed = now - self._began.pop(number, now)
        measured = job_seconds(self._files[number]) if number in self._files else None
        seconds = elapsed if measured is None else measured
        self._finished.add(number)
        self._past += seconds
        self._learn(self._groups.get(number, ()), seconds)
        return seconds

    def share(self, now: float) -> float:
        """How much of the time of all jobs has passed, from 0 to 1; it never goes back."""
        if len(self._finished) >= len(self._groups):
            return 1.0
        past = self._past
        ahead = self._own_ahead + sum(count * self._usual(groups) for groups, count in self._waiting.items())
        for number in self._began.keys() & self._groups.keys() - self._finished:
            elapsed = now - self._began[number]
            past += elapsed
            # Nothing is known of a job that takes longer than expected; it counts as nearly done.
            ahead += max(self._seconds(number) - elapsed, elapsed / 20)
        self._share = max(self._share, min(past / max(past + ahead, 1e-9), 0.99))
        return self._share

    def _waits(self, number: int) -> bool:
        return number in self._groups and number not in self._began and number not in self._finished

    def _count(self, number: int, change: int) -> None:
        """Count a job among those that wait (1), or no longer (-1)."""
        if number in self._own:
            self._own_ahead += change * self._own[number]
        else:
            self._waiting[self._groups[number]] += change

    def _learn(self, groups: tuple[tuple, ...], seconds: float) -> None:
        for group in groups:
            self._took[group].add(seconds)

    def _seconds(self, number: int) -> float:
        return self._own[number] if number in self._own else self._usual(self._groups[number])

    def _usual(self, groups: tuple[tuple, ...]) -> float:
        """What jobs of these groups take."""
        known = next((group for group in groups if group in self._took), None)
        if known:
            return self._took[known].value
        (rule,) = groups[-1]
        return next((seconds for start, seconds in UNKNOWN.items() if rule.startswith(start)), OTHERWISE)


def groups_of(rule: str, wildcards: dict[str, str]) -> tuple[tuple, ...]:
    """Groups of jobs that take about as long as one, the most similar first: of its rule and wildcards, of its rule."""
    alike = (rule, *(wildcards.get(name) for name in ("model", "benchmark", "proxy", "images")))
    return (alike, (rule,)) if any(alike[1:]) else ((rule,),)
