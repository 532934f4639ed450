"""What was measured of one run: the metrics that sum up each benchmark, with intervals and gains over the control."""

import math
from dataclasses import dataclass

from sgt.config.benchmarks import Benchmark, ImageBenchmark
from sgt.config.study import ARM_WITHOUT_PROXY
from sgt.evaluation.metrics import Metric, items_by_repeat, shared_items
from sgt.evaluation.statistics import Difference, paired_difference
from sgt.identity import read_record
from sgt.reporting.scores import interval
from sgt.study.loaded import LoadedStudy
from sgt.study.results import Results
from sgt.study.runs import Run


@dataclass(frozen=True)
class Measured:
    """One metric of a run.

    Attributes:
        benchmark: it belongs to.
        metric: what the value is.
        value, low, high: with its 95% interval over items; bounds are NaN if there is none.
        n: items.
        chance: of guessing without the image; None if that is not known.
        gain: over the control of the same seed, on the same items; None for the control, or without a current one.
    """

    benchmark: Benchmark
    metric: Metric
    value: float
    low: float
    high: float
    n: int
    chance: float | None
    gain: Difference | None

    @property
    def task(self) -> str:
        """What the hub calls such a task."""
        return "text-to-image" if isinstance(self.benchmark, ImageBenchmark) else "visual-question-answering"

    @property
    def has_interval(self) -> bool:
        """Whether the bounds are known."""
        return not math.isnan(self.low)

    def texts(self) -> dict[str, str]:
        """The cells of a table's row."""
        gain = self.gain and interval(self.gain.value, self.gain.low, self.gain.high, sign="+")
        return {
            "benchmark": f"{self.benchmark.name} v{self.benchmark.version} ({self.benchmark.protocol})",
            "metric": self.metric.title,
            "value": interval(self.value, self.low, self.high),
            "n": str(self.n),
            "chance": "–" if self.chance is None else f"{self.chance:.3f}",
            "gain": gain or "–",
        }


def measured(study: LoadedStudy, run: Run) -> list[Measured]:
    """The headline metrics of a run whose score files are there, benchmark by benchmark."""
    found = []
    for name, benchmark in study.benchmarks.items():
        score, control = read_record(study.score_file(run, name)), _control(study, run, benchmark)
        for metric_name, summed in score["metrics"].items():
            metric = Metric(metric_name, **summed["about"])
            if metric.headline:
                gain = None if control is None else _gain(metric, score, control)
                value, low, high, n = (summed[key] for key in ("value", "low", "high", "n"))
                found.append(Measured(benchmark, metric, value, low, high, n, summed.get("chance"), gain))
    return found


def _control(study: LoadedStudy, run: Run, benchmark: Benchmark) -> dict | None:
    """The score of the control of the same seed, if it is of the study as it is."""
    control = Run(run.model, ARM_WITHOUT_PROXY, run.seed)
    if control == run or control not in study.runs:
        return None
    result = Results(study).score(control, benchmark)
    return None if result.fault() else read_record(result.record)


def _gain(metric: Metric, score: dict, control: dict) -> Difference:
    a, b = shared_items([items_by_repeat(metric, each["items"]) for each in (score, control)])
    return paired_difference(a.values, b.values, a.clusters)
