"""The score files and treatment checks of a study, read and checked, and metrics over seeds and against the control."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np
import pandas as pd

from sgt.config.benchmarks import FetchedBenchmark
from sgt.config.study import ARM_WITHOUT_PROXY
from sgt.errors import SgtError
from sgt.evaluation.metrics import Items, Metric, items_by_repeat, items_of, repeats_of, shared_items, stacked
from sgt.evaluation.statistics import Difference, Estimate, paired_difference
from sgt.json_files import read_json
from sgt.reporting.treatments import read_treatments
from sgt.reporting.wording import readable
from sgt.study.identity import SCORE_SCHEMA
from sgt.study.loaded import LoadedStudy
from sgt.study.runs import Run


class Scores:
    """Every score file of a study, and the treatment of each proxy arm.

    Args:
        study: the study.

    Raises:
        SgtError: a file is missing, of another layout, or scores are of other data than the first run's.
    """

    def __init__(self, study: LoadedStudy) -> None:
        self.study = study
        self.files = {(run, name): _read(study, run, name) for run in study.evaluated_runs for name in study.benchmarks}
        for name in study.benchmarks:
            self._require_all_or_none_scored(name)
        for (run, name), score in self.files.items():
            first = self.files[study.runs[0], name]
            if (score["hashes"]["data"], score["items"]["id"]) != (first["hashes"]["data"], first["items"]["id"]):
                path = study.score_file(run, name)
                raise SgtError(path, f"scored on other data than {first['run']['id']}", "run `sgt predict` again")
        self._metrics: dict[str, dict[str, Metric]] = {name: {} for name in study.benchmarks}
        for (_, name), score in self.files.items():
            for metric, summed in score["metrics"].items():
                self._metrics[name].setdefault(metric, Metric(metric, **summed["about"]))
        self.treatments = read_treatments(study)
        # Why benchmarks have no scores: they are not configured, or their evaluator did not pass its self-check.
        self.not_run = dict(study.not_run)
        self.not_run |= {name: score["not_scored"] for (_, name), score in self.files.items() if "not_scored" in score}
        if not any(self._metrics.values()):
            raise SgtError(study.path, f"nothing was scored: {'; '.join(self.not_run.values())}", "correct that first")
        self._items: dict[tuple[str, str, str, str], Items] = {}

    def _require_all_or_none_scored(self, benchmark: str) -> None:
        """Refuse a benchmark whose evaluator passed its self-check for some runs alone, which nothing can compare."""
        study = self.study
        without = [run for run in study.evaluated_runs if "not_scored" in self.files[run, benchmark]]
        if 0 < len(without) < len(study.evaluated_runs):
            path, reason = study.score_file(without[0], benchmark), self.files[without[0], benchmark]["not_scored"]
            remedy = f"delete {study.judgement_dir(without[0], benchmark)}, and run `sgt judge` and `sgt score` again"
            raise SgtError(path, f"not scored, as other runs are ({reason})", remedy)

    def runs(self, model: str, arm: str) -> list[Run]:
        """The runs of an arm or of a transplant, by seed."""
        return [run for run in self.study.evaluated_runs if (run.model, run.arm) == (model, arm)]

    def metrics(self, benchmark: str) -> list[Metric]:
        """A benchmark's metrics that any run has, in the order of its task."""
        return list(self._metrics[benchmark].values())

    def metric(self, benchmark: str, name: str) -> Metric:
        """One of a benchmark's metrics."""
        return self._metrics[benchmark][name]

    def headlines(self, benchmark: str) -> list[Metric]:
        """The metrics that sum a benchmark up."""
        return [metric for metric in self.metrics(benchmark) if metric.headline]

    def titles(self, metrics: Iterable[tuple[str, str]]) -> dict[tuple[str, str], str]:
        """Readable titles of metrics, given as (benchmark, name).

        With the benchmark's name if two would be the same, or if several are published ones, which do not name it.
        """
        pairs = list(dict.fromkeys(metrics))
        titles = [readable(self.metric(*pair).title) for pair in pairs]
        published = {name for name, _ in pairs if isinstance(self.study.benchmarks[name], FetchedBenchmark)}
        if len(set(titles)) < len(pairs) or len(published) > 1:
            titles = [f"{benchmark} {title}" for (benchmark, _), title in zip(pairs, titles, strict=True)]
        return dict(zip(pairs, titles, strict=True))

    @property
    def clusters(self) -> str:
        """What intervals are over besides seeds, in the plural: ``scenes``, or ``images, pairs and scenes``."""
        names = {metric.cluster for metrics in self._metrics.values() for metric in metrics.values()}
        *first, last = sorted("items" if name == "id" else f"{name}s" for name in names)
        return f"{', '.join(first)} and {last}" if first else last

    def items(self, model: str, arm: str, benchmark: str, metric: Metric) -> Items:
        """The items of a metric that all runs of an arm have; values are seeds × items."""
        key = (model, arm, benchmark, metric.name)
        if key not in self._items:
            of_runs = [items_of(metric, self.files[run, benchmark]["items"]) for run in self.runs(model, arm)]
            self._items[key] = stacked(shared_items(of_runs))
        return self._items[key]

    def administered(self, model: str, arm: str) -> bool | None:
        """Whether an arm learned its task; None for an arm without a proxy."""
        treatment = self.treatments.get((model, arm))
        return treatment.is_administered if treatment else None

    def paired_items(self, model: str, arms: Sequence[str], benchmark: str, metric: Metric) -> list[Items]:
        """For each arm the items of a metric that the runs of all these arms have; values are seeds × items."""
        return shared_items([self.items(model, arm, benchmark, metric) for arm in arms])

    def gain(self, model: str, arm: str, benchmark: str, metric: Metric) -> Difference | None:
        """An arm's metric less the control's on the same items and seeds; None for the control, or without one."""
        if arm == ARM_WITHOUT_PROXY or ARM_WITHOUT_PROXY not in self.study.study.arms:
            return None
        return self.over_control(model, arm, benchmark, metric)

    def over_control(self, model: str, arm: str, benchmark: str, metric: Metric) -> Difference:
        """The gain of an arm besides the control, in a study that has a control."""
        return self.difference([(model, arm)], [(model, ARM_WITHOUT_PROXY)], benchmark, metric)

    def difference(
        self, arms: Sequence[tuple[str, str]], others: Sequence[tuple[str, str]], benchmark: str, metric: Metric
    ) -> Difference:
        """The mean of a metric of some arms, each as (model, arm), less that of others, on the items that all have."""
        every = [*arms, *others]
        repeats = [self._by_repeat(*each, benchmark, metric) for each in every]
        by_repeat = None not in repeats
        items = shared_items(
            [each for each in repeats if each]
            if by_repeat
            else [self.items(*each, benchmark, metric) for each in every]
        )
        values = [each.values for each in items]
        one, less = (np.mean(group, axis=0) for group in (values[: len(arms)], values[len(arms) :]))
        found = paired_difference(one, less, items[0].clusters)
        # Repeats of a judge widen the interval, and are no seeds.
        return replace(found, seeds=1) if by_repeat else found

    def estimate(self, model: str, arm: str, benchmark: str, metric: Metric) -> Estimate:
        """A metric of an arm over its seeds, or over a judge's repeats."""
        items = self._by_repeat(model, arm, benchmark, metric) or self.items(model, arm, benchmark, metric)
        return metric.estimate(items.values, items.clusters)

    def _by_repeat(self, model: str, arm: str, benchmark: str, metric: Metric) -> Items | None:
        """The items of an arm with one run that a judge rated several times, as repeats × items; None of any other.

        Of several runs, each was judged on its own, so that what lies between seeds has the judge's spread in it.
        """
        runs = self.runs(model, arm)
        columns = self.files[runs[0], benchmark]["items"]
        return items_by_repeat(metric, columns) if len(runs) == 1 and repeats_of(metric, columns) else None

    @cached_property
    def cells(self) -> pd.DataFrame:
        """One row per model, arm and metric.

        Columns: ``model``, ``arm``, ``level`` (of the proxy), ``administered`` (whether the arm learned its proxy),
        ``seeds`` (how many), ``benchmark``, ``metric`` (name); ``value``, ``low``, ``high`` (95%), ``n`` (items),
        ``chance``; ``gain``, ``gain_low``, ``gain_high`` over the control and ``detectable``, the smallest gain that
        would be seen; ``scores`` (the files the cell is from) and ``command`` (what makes the first of them again).
        """
        rows = []
        for model in self.study.study.models:
            for arm in self.study.study.arms:
                for benchmark in self.study.benchmarks:
                    rows += [self._cell(model, arm, benchmark, metric) for metric in self.metrics(benchmark)]
        return pd.DataFrame(rows)

    def _cell(self, model: str, arm: str, benchmark: str, metric: Metric) -> dict:
        runs = self.runs(model, arm)
        gain = self.gain(model, arm, benchmark, metric)
        first = self.files[runs[0], benchmark]
        return {
            "model": model,
            "arm": arm,
            "level": self.study.proxy(arm).level if arm in self.study.proxy_arms else None,
            "administered": self.administered(model, arm),
            "seeds": len(runs),
            "benchmark": benchmark,
            "metric": metric.name,
            **vars(self.estimate(model, arm, benchmark, metric)),
            "chance": first["metrics"].get(metric.name, {}).get("chance"),
            "gain": gain and gain.value,
            "gain_low": gain and gain.low,
            "gain_high": gain and gain.high,
            "detectable": gain and gain.detectable,
            "scores": " ".join(str(self.study.score_file(run, benchmark)) for run in runs),
            "command": " && ".join(first["commands"]),
        }


def interval(value: float, low: float, high: float, sign: str = "") -> str:
    """``0.812 [0.800, 0.824]``, or the value alone if it has no interval, or ``–`` without a value.

    With ``+`` as sign, values above zero have it too.
    """
    if np.isnan(value):
        return "–"
    bounds = "" if np.isnan(low) else f" [{low:{sign}.3f}, {high:{sign}.3f}]"
    return f"{value:{sign}.3f}{bounds}"


def _read(study: LoadedStudy, run: Run, benchmark: str) -> dict:
    path = study.score_file(run, benchmark)
    command = f"sgt score {study.path} --model {run.model} --arm {run.arm} --seed {run.seed} --benchmark {benchmark}"
    try:
        score = read_json(path, f"run `{command}`")
    except FileNotFoundError:
        raise SgtError(path, "no such score file", f"run `{command}`") from None
    if score.get("schema") != SCORE_SCHEMA:
        raise SgtError(path, f"schema {score.get('schema')}, this version reads {SCORE_SCHEMA}", f"run `{command}`")
    return score
