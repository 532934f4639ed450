"""The score files of a study, read and checked, and their metrics over seeds and against the control."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from sgt.config.benchmarks import QuestionProtocol
from sgt.config.study import ARM_WITHOUT_PROXY
from sgt.errors import SgtError
from sgt.evaluation.questions import items_of
from sgt.evaluation.statistics import Difference, paired_difference, proportion
from sgt.json_files import read_json
from sgt.study.identity import SCORE_SCHEMA
from sgt.study.load import LoadedStudy, Run


@dataclass(frozen=True)
class Items:
    """What a metric is a mean of, over the seeds of one arm.

    Attributes:
        ids: the question or image of each item.
        keys: the image of each item; items of one image are not independent.
        values: in [0, 1], seeds × items; NaN where a run has none.
    """

    ids: list[str]
    keys: list[str]
    values: np.ndarray


class Scores:
    """Every score file of a study.

    Args:
        study: the study.

    Raises:
        SgtError: one is missing, of another layout, or of other data than the first run's.
    """

    def __init__(self, study: LoadedStudy) -> None:
        self.study = study
        self.files = {(run, name): _read(study, run, name) for run in study.runs for name in study.benchmarks}
        for (run, name), score in self.files.items():
            first = self.files[study.runs[0], name]
            if (score["hashes"]["data"], score["items"]["id"]) != (first["hashes"]["data"], first["items"]["id"]):
                path = study.score_file(run, name)
                raise SgtError(path, f"scored on other data than {first['run']['id']}", "run `sgt predict` again")

    def runs(self, model: str, arm: str) -> list[Run]:
        """The runs of an arm, by seed."""
        return [run for run in self.study.runs if (run.model, run.arm) == (model, arm)]

    def metrics(self, benchmark: str) -> list[str]:
        """Names of a benchmark's metrics that any run has, the ones that sum it up first."""
        return list(
            dict.fromkeys(metric for run in self.study.runs for metric in self.files[run, benchmark]["metrics"])
        )

    def headlines(self, benchmark: str) -> list[str]:
        """The metrics that sum a benchmark up: its groups of questions that were asked, or its score."""
        spec = self.study.benchmarks[benchmark]
        if not isinstance(spec.protocol, QuestionProtocol):
            return ["generation/score"]
        asked = self.metrics(benchmark)
        groups = [metric for metric in (f"accuracy/{group}" for group in spec.groups) if metric in asked]
        return groups or ["accuracy"]

    def titles(self, metrics: Iterable[tuple[str, str]]) -> dict[tuple[str, str], str]:
        """What to call metrics, given as (benchmark, metric): in short, unless two would have the same name."""
        pairs = list(dict.fromkeys(metrics))
        names = [short(metric) for _, metric in pairs]
        if len(set(names)) < len(pairs):
            names = [f"{benchmark} {short(metric)}" for benchmark, metric in pairs]
        return dict(zip(pairs, names, strict=True))

    def items(self, model: str, arm: str, benchmark: str, metric: str) -> Items:
        """The items of a metric for one arm, in each of its seeds."""
        tables = [self.files[run, benchmark]["items"] for run in self.runs(model, arm)]
        first = tables[0]
        if metric.split("/")[0] == "accuracy":
            chosen, column = items_of(metric, first["kind"], self.study.benchmarks[benchmark].groups), "accuracy"
        else:
            chosen, column = list(range(len(first["id"]))), metric
        missing = [np.nan] * len(first["id"])
        values = np.array([[table.get(column, missing)[index] for index in chosen] for table in tables], float)
        return Items([first["id"][i] for i in chosen], [first["key"][i] for i in chosen], values)

    def gain(self, model: str, arm: str, benchmark: str, metric: str) -> Difference | None:
        """An arm's metric less the control's on the same items and seeds; None for the control, or without one."""
        if arm == ARM_WITHOUT_PROXY or ARM_WITHOUT_PROXY not in self.study.study.arms:
            return None
        treated = self.items(model, arm, benchmark, metric)
        control = self.items(model, ARM_WITHOUT_PROXY, benchmark, metric)
        return paired_difference(treated.values, control.values, treated.keys)

    @cached_property
    def cells(self) -> pd.DataFrame:
        """One row per model, arm and metric.

        Columns: ``model``, ``arm``, ``level`` (of the proxy), ``seeds`` (how many), ``benchmark``, ``metric``;
        ``value``, ``low``, ``high`` (95%), ``n`` (items), ``chance``; ``gain``, ``gain_low``, ``gain_high`` over the
        control; ``scores`` (the files the cell is from) and ``command`` (what makes the first of them again).
        """
        rows = []
        for model in self.study.study.models:
            for arm in self.study.study.arms:
                for benchmark in self.study.benchmarks:
                    rows += [self._cell(model, arm, benchmark, metric) for metric in self.metrics(benchmark)]
        return pd.DataFrame(rows)

    def _cell(self, model: str, arm: str, benchmark: str, metric: str) -> dict:
        runs = self.runs(model, arm)
        items = self.items(model, arm, benchmark, metric)
        estimate = proportion(items.values, items.keys)
        gain = self.gain(model, arm, benchmark, metric)
        first = self.files[runs[0], benchmark]
        return {
            "model": model,
            "arm": arm,
            "level": self.study.proxy(arm).level if arm in self.study.proxy_arms else None,
            "seeds": len(runs),
            "benchmark": benchmark,
            "metric": metric,
            **vars(estimate),
            "chance": first["metrics"].get(metric, {}).get("chance"),
            "gain": gain and gain.value,
            "gain_low": gain and gain.low,
            "gain_high": gain and gain.high,
            "scores": " ".join(str(self.study.score_file(run, benchmark)) for run in runs),
            "command": " && ".join(first["commands"]),
        }


def short(metric: str) -> str:
    """A metric's name without what it is measured in: ``accuracy/count`` is ``count``, ``generation/score`` stays."""
    return metric.removeprefix("accuracy/").replace("_", " ")


def interval(value: float, low: float, high: float, sign: str = "") -> str:
    """``0.812 [0.800, 0.824]``, or the value alone if it has no interval; ``+`` shows the sign of both kinds."""
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
