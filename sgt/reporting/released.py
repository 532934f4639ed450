"""Released weights beside the model that others post-trained them from: no arm of a study, compared item by item."""

from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from sgt.config.printed import Printed, PrintedRelease, paper_name, printed_file, printed_release
from sgt.config.study import ARM_WITHOUT_TRAINING
from sgt.evaluation.metrics import Metric
from sgt.evaluation.statistics import Difference, Estimate
from sgt.reporting.grid import Grid, Lines
from sgt.reporting.latex import Line
from sgt.reporting.points import shown, unit_of_gains, unit_of_values
from sgt.reporting.scores import Scores
from sgt.study.releases import compared_releases, release_in_words

TITLE = "Released weights beside their bases"


@dataclass(frozen=True)
class Comparison:
    """A metric of released weights and of their base.

    Attributes:
        model, base: of the study.
        benchmark, metric: what is measured.
        of_model, of_base: their values.
        gain: of the released weights over the base, on the same items.
        printed: by the paper of both, where it is comparable.
    """

    model: str
    base: str
    benchmark: str
    metric: Metric
    of_model: Estimate
    of_base: Estimate
    gain: Difference
    printed: PrintedRelease | None


def comparisons(scores: Scores) -> Iterator[Comparison]:
    """Every metric that sums a benchmark up or that the paper prints, of every release whose base is in the study."""
    for model, base in compared_releases(scores.study):
        for benchmark in scores.study.benchmarks:
            for metric in _metrics(scores, benchmark):
                yield _comparison(scores, model, base, benchmark, metric)


def over_base(scores: Scores, model: str, base: str, benchmark: str, metric: Metric) -> Difference:
    """A metric of released weights less that of their base, on the items that both have."""
    return scores.difference([(model, ARM_WITHOUT_TRAINING)], [(base, ARM_WITHOUT_TRAINING)], benchmark, metric)


def released_rows(scores: Scores) -> pd.DataFrame:
    """One row per release and metric.

    Columns: ``model`` and ``base``; ``benchmark``, ``metric``; ``value``, ``low``, ``high`` (95%) and ``n`` of the
    released weights, the same of the base as ``base_value`` and so on; ``gain``, ``gain_low``, ``gain_high``, ``p`` and
    ``detectable`` of the difference on the same items; ``printed_base``, ``printed_value`` and ``printed_gain`` by the
    paper, in percent, with ``printed_where``; empty where the paper prints nothing comparable.
    """
    rows = []
    for each in comparisons(scores):
        gain, printed = each.gain, each.printed
        rows.append(
            {
                **{"model": each.model, "base": each.base, "benchmark": each.benchmark, "metric": each.metric.name},
                **vars(each.of_model),
                **{f"base_{name}": value for name, value in vars(each.of_base).items()},
                **{"gain": gain.value, "gain_low": gain.low, "gain_high": gain.high},
                **{"p": gain.p, "detectable": gain.detectable},
                "printed_base": printed and printed.base and printed.base.value,
                "printed_value": printed and printed.value and printed.value.value,
                "printed_gain": printed and printed.gain.value,
                "printed_where": printed and printed.gain.where,
            }
        )
    return pd.DataFrame(rows)


def released_grid(scores: Scores) -> Grid:
    """The same as people read it: a row per metric, by release."""
    head: list[Lines] = [
        *([Line("benchmark")], [Line("metric")], [Line("base")], [Line("released")], [Line("difference")]),
        [Line("printed:"), Line("base")],
        *([Line("printed:"), Line("released")], [Line("printed:"), Line("difference")]),
    ]
    groups: dict[str, list[list[Lines]]] = {}
    for each in comparisons(scores):
        groups.setdefault(f"{each.model} less {each.base}", []).append(_row(each))
    return Grid(TITLE, head, groups, 2, list(_notes(scores)))


def _comparison(scores: Scores, model: str, base: str, benchmark: str, metric: Metric) -> Comparison:
    spec = scores.study.benchmarks[benchmark]
    return Comparison(
        model,
        base,
        benchmark,
        metric,
        scores.estimate(model, ARM_WITHOUT_TRAINING, benchmark, metric),
        scores.estimate(base, ARM_WITHOUT_TRAINING, benchmark, metric),
        over_base(scores, model, base, benchmark, metric),
        printed_release(scores.study.models[model], spec, metric.name),
    )


def _metrics(scores: Scores, benchmark: str) -> list[Metric]:
    name = paper_name(scores.study.benchmarks[benchmark])
    printed = printed_file().comparable[name].metric if name else None
    return [metric for metric in scores.metrics(benchmark) if metric.headline or metric.name == printed]


def _row(each: Comparison) -> list[Lines]:
    metric, gain, printed = each.metric, each.gain, each.printed
    values = (shown(metric, of.value, of.low, of.high) for of in (each.of_base, each.of_model))
    difference = shown(metric, gain.value, gain.low, gain.high, gain=True)
    seen = gain.low > 0 or gain.high < 0
    return [
        [Line(each.benchmark)],
        [Line(metric.title), Line(f"{unit_of_values(metric)}, n={each.of_model.n:,}")],
        *([Line(str(value))] for value in values),
        [Line(f"{difference} {unit_of_gains(metric)}", bold=seen)],
        *([Line(_number(number))] for number in (printed or (None, None, None))),
    ]


def _number(printed: Printed | None) -> str:
    if printed is None:
        return "–"
    return f"{'≈' if printed.digitised else ''}{printed.value:{'+' if printed.is_gain else ''}.2f}".replace("-", "−")


def _notes(scores: Scores) -> Iterator[str]:
    for model, _ in compared_releases(scores.study):
        release = scores.study.models[model].released
        if release:
            yield f"{model}: {release_in_words(release)}. This study did not train them."
    yield (
        "Measured here: base, released, and their difference on the same items; after ± stands half of the 95% "
        f"interval over {scores.clusters}. Bold: the interval of the difference excludes zero; intervals are not "
        "corrected for how many there are. A release is one training: what another would have changed is not in them."
    )
    yield (
        "Printed: what the paper prints of the base and of its arm, not measured here; only where both are the same "
        "metric by the same rule, of the whole benchmark. Of CV-Bench only differences compare."
    )
    yield "Whether released weights learned their proxy is not checked: that is done of arms that the study trains."
