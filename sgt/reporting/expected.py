"""How far a workflow is, in time: jobs are weighed by the seconds they took, take, or can be expected to take."""

from collections import defaultdict
from pathlib import Path
from statistics import fmean

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


class Expected:
    """The jobs of a workflow that are to be run, by number, and what they take.

    Args:
        dag: Snakemake's, of all jobs; what they took before is read from their benchmark files.
    """

    def __init__(self, dag) -> None:
        self._took: defaultdict[tuple, list[float]] = defaultdict(list)
        self._groups: dict[int, list[tuple]] = {}
        self._files: dict[int, Path] = {}
        self._own: dict[int, float] = {}
        self._began: dict[int, float] = {}
        self._finished: dict[int, float] = {}
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

    def began(self, number: int, now: float) -> None:
        """A job began, or began again."""
        self._began[number] = now

    def extrapolate(self, number: int, elapsed: float, done: int, total: int) -> None:
        """Expect the rest of a running job from the share of its work that is done, rather than from other jobs."""
        if 0 < done < total:
            self._own[number] = elapsed * total / done

    def finished(self, number: int, now: float) -> float:
        """A job is done; returns the seconds it took, by its benchmark file if it has one."""
        elapsed = now - self._began.pop(number, now)
        measured = job_seconds(self._files[number]) if number in self._files else None
        seconds = elapsed if measured is None else measured
        self._finished[number] = seconds
        self._learn(self._groups.get(number, []), seconds)
        return seconds

    def share(self, now: float) -> float:
        """How much of the time of all jobs has passed, from 0 to 1; it never goes back."""
        if len(self._finished) >= len(self._groups):
            return 1.0
        past = sum(self._finished.values())
        ahead = 0.0
        for number in self._groups.keys() - self._finished.keys():
            elapsed = now - self._began[number] if number in self._began else 0.0
            past += elapsed
            # Nothing is known of a job that takes longer than expected; it counts as nearly done.
            ahead += max(self._seconds(number) - elapsed, elapsed / 20)
        self._share = max(self._share, min(past / max(past + ahead, 1e-9), 0.99))
        return self._share

    def _learn(self, groups: list[tuple], seconds: float) -> None:
        for group in groups:
            self._took[group].append(seconds)

    def _seconds(self, number: int) -> float:
        if number in self._own:
            return self._own[number]
        groups = self._groups[number]
        known = next((group for group in groups if group in self._took), None)
        if known:
            return fmean(self._took[known])
        (rule,) = groups[-1]
        return next((seconds for start, seconds in UNKNOWN.items() if rule.startswith(start)), OTHERWISE)


def groups_of(rule: str, wildcards: dict[str, str]) -> list[tuple]:
    """Groups of jobs that take about as long as one, the most similar first: of its rule and wildcards, of its rule."""
    alike = [(rule, *(wildcards.get(name) for name in ("model", "benchmark", "proxy", "images"))), (rule,)]
    return alike if any(alike[0][1:]) else alike[1:]
