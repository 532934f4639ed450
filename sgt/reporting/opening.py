"""What the report opens with: answers in a sentence each, how many seeds they rest on, and one figure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.ticker import MaxNLocator

from sgt.config.study import ARM_WITHOUT_PROXY, ARM_WITHOUT_TRAINING
from sgt.evaluation.metrics import Metric
from sgt.evaluation.statistics import Difference
from sgt.evaluation.treatment import MIN_USE
from sgt.reporting.comparisons import difference, headline_metrics, helped, is_less_harm
from sgt.reporting.contents import compared_arms
from sgt.reporting.explanations import explanation
from sgt.reporting.points import Shown, is_share, shown, unit_of_gains
from sgt.reporting.released import over_base
from sgt.reporting.scores import Scores
from sgt.reporting.verdicts import direction
from sgt.study.releases import compared_releases, trains

# Of the measures or arms that a sentence names, and of the metrics that the figure shows.
NAMED, METRICS = 6, 6
# What gained (an arm, or a title), a metric, and its gain.
_Gained = tuple[str, Metric, Difference]


@dataclass(frozen=True)
class Answer:
    """A question, and its answer in a sentence."""

    question: str
    sentence: str


@dataclass(frozen=True)
class Point:
    """An arm in the figure.

    Attributes:
        arm: its name.
        gain: over the control, in points.
        at, low, high: of the gain and its interval, in percent of the width; None without an interval.
        seen: whether the interval excludes zero: ``better``, ``worse`` or empty.
        administered: False if the arm did not learn its task.
    """

    arm: str
    gain: Shown
    at: float
    low: float | None
    high: float | None
    seen: str
    administered: bool


@dataclass(frozen=True)
class Group:
    """A metric in the figure: the points of each model on one axis.

    Attributes:
        title: of the metric.
        explanation: what it is.
        panels: points by model.
        ticks: positions in percent of the width, with their labels in points.
        zero: position of no gain.
    """

    title: str
    explanation: str
    panels: dict[str, list[Point]]
    ticks: list[tuple[float, str]]
    zero: float


@dataclass(frozen=True)
class KeyFigure:
    """Gains over the control; ``left_out`` is how many headline metrics it has no room for."""

    groups: list[Group]
    left_out: int


def badge(scores: Scores) -> str:
    """How many seeds the study has, and what they allow to be concluded."""
    seeds = len(scores.study.study.seeds)
    if not trains(scores.study):
        return "nothing was trained"
    return "1 seed: exploratory" if seeds == 1 else f"{seeds} seeds"


def answers(scores: Scores) -> list[Answer]:
    """Did the arms learn their task, did training help, did a proxy help? And what do released weights do?"""
    found = []
    if compared_releases(scores.study):
        found.append(Answer("Are the released weights better than their bases?", _released(scores)))
        if not trains(scores.study):
            return found
    return [
        Answer("Did the arms learn their task?", _learned(scores)),
        Answer("Did training help?", _training(scores)),
        Answer("Did a proxy help?", _proxies(scores)),
        *found,
    ]


def _released(scores: Scores) -> str:
    better, worse, unseen = _by_direction(
        (_named(scores, model, title), metric, over_base(scores, model, base, benchmark, metric))
        for model, base in compared_releases(scores.study)
        for benchmark, metric, title in headline_metrics(scores)
    )
    parts = [("above the base in", better), ("below the base in", worse)]
    total = len(better) + len(worse) + unseen
    return _sentence("Seen with one training of each", "measures", parts, len(better), total, unseen)


def _learned(scores: Scores) -> str:
    uses = {_named(scores, *key): (each.use.value, each.is_administered) for key, each in scores.treatments.items()}
    if not uses:
        return "The study trains no arm on a proxy."
    learned = [value for value, administered in uses.values() if administered]
    without = [f"{name} ({value:.2f})" for name, (value, administered) in uses.items() if not administered]
    needed = f"a use of {MIN_USE} is needed"
    nothing = f"nothing is claimed about {_listed(without)}"
    if not learned:
        return f"No: none of {len(uses)} proxy arms did ({needed}), so {nothing}."
    spread = "use " + " to ".join(dict.fromkeys(f"{end:.2f}" for end in (min(learned), max(learned))))
    if not without:
        whole = "the proxy arm" if len(uses) == 1 else f"all {len(uses)} proxy arms"
        return f"Yes: {whole} draw{'s' if len(uses) == 1 else ''} what they are shown ({spread}; {needed})."
    return f"In part: {len(learned)} of {len(uses)} proxy arms did ({spread}; {needed}); {nothing}."


def _training(scores: Scores) -> str:
    arms = scores.study.study.arms
    missing = [arm for arm in (ARM_WITHOUT_TRAINING, ARM_WITHOUT_PROXY) if arm not in arms]
    if missing:
        return f"Not tested: the study has no arm {' or '.join(missing)}."
    arms_compared = [ARM_WITHOUT_PROXY], [ARM_WITHOUT_TRAINING]
    better, worse, unseen = _by_direction(
        (_named(scores, model, title), metric, difference(scores, model, benchmark, metric, *arms_compared))
        for model in scores.study.study.models
        for benchmark, metric, title in headline_metrics(scores)
    )
    return _sentence(
        _seen(scores),
        "measures",
        [
            ("the questions alone (sft) are above the base in", better),
            ("below it in" if better else "the questions alone (sft) are below the base in", worse),
        ],
        len(better),
        len(better) + len(worse) + unseen,
        unseen,
    )


def _by_direction(gained: Iterable[_Gained]) -> tuple[list[str], list[str], int]:
    """Names with their gains, of those that are better and of those that are worse, and how many are neither."""
    better, worse, unseen = [], [], 0
    for name, metric, gain in gained:
        text = f"{name} ({_gain(metric, gain)})"
        match direction(helped(metric, gain)):
            case 1:
                better.append(text)
            case -1:
                worse.append(text)
            case _:
                unseen += 1
    return better, worse, unseen


def _proxies(scores: Scores) -> str:
    pairs = [(model, arm) for model, arm in scores.treatments if scores.administered(model, arm)]
    if not pairs:
        why = "no proxy arm learned its task" if scores.study.proxy_arms else "no arm is trained on a proxy"
        return f"Not tested: {why}."
    better: dict[str, list[_Gained]] = {}
    less_harm: dict[str, list[_Gained]] = {}
    worse: dict[str, list[_Gained]] = {}
    for benchmark, metric, title in headline_metrics(scores):
        for model, arm in pairs:
            gain = scores.over_control(model, arm, benchmark, metric)
            sign = direction(helped(metric, gain))
            if not sign:
                continue
            harmed = is_less_harm(scores, model, benchmark, metric, [arm])
            by_title = worse if sign < 0 else less_harm if harmed else better
            by_title.setdefault(title, []).append((_named(scores, model, arm), metric, gain))
    parts = [
        ("above the control:", better),
        ("above the control but below the base, which is less harm and no help:", less_harm),
        ("below the control:", worse),
    ]
    named = [(text, [_arms(title, arms, len(pairs)) for title, arms in found.items()]) for text, found in parts]
    helps, less, hurts = (sum(map(len, found.values())) for _, found in parts)
    total = len(pairs) * len(list(headline_metrics(scores)))
    return _sentence(
        _seen(scores), "comparisons with the control sft", named, helps, total, total - helps - less - hurts
    )


def _arms(title: str, arms: Sequence[_Gained], of: int) -> str:
    """The arms of one part of the sentence in one metric: each with its gain, or all with the range of their gains."""
    if len(arms) < of or of == 1:
        return f"{', '.join(f'{name} ({_gain(metric, gain)})' for name, metric, gain in arms)} in {title}"
    metric, values = arms[0][1], [gain.value for _, _, gain in arms]
    texts = [shown(metric, value, np.nan, np.nan, gain=True).text for value in (min(values), max(values))]
    return f"all {of} arms in {title} ({' to '.join(texts)} {unit_of_gains(metric)})"


def _seen(scores: Scores) -> str:
    return "Seen with one seed" if len(scores.study.study.seeds) == 1 else "Yes"


def _sentence(
    helped_so: str, what: str, parts: Sequence[tuple[str, list[str]]], helps: int, total: int, unseen: int
) -> str:
    """How surely and how often it helped, then what each part names, then how often nothing was seen."""
    seen = any(names for _, names in parts)
    if helps:
        start = f"{helped_so} in {helps} of {total} {what}"
    else:
        start = f"{'No, in none' if seen else 'Not seen in any'} of {total} {what}"
    found = [f"{text} {_listed(names)}" for text, names in parts if names]
    rest = [f"in {unseen} no difference is seen"] if unseen and seen else []
    return f"{'; '.join([start, *found, *rest])}."


def _gain(metric: Metric, gain: Difference) -> str:
    return f"{shown(metric, gain.value, gain.low, gain.high, gain=True)} {unit_of_gains(metric)}"


def _named(scores: Scores, model: str, name: str) -> str:
    """A name with its model, in a study of several."""
    return name if len(scores.study.study.models) == 1 else f"{model} {name}"


def _listed(names: Iterable[str]) -> str:
    names = list(names)
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")


def key_figure(scores: Scores) -> KeyFigure | None:
    """Gains over the control of each compared arm in each headline metric that is a share; None if there are none."""
    every = [each for each in headline_metrics(scores) if is_share(each[1])]
    if not every or not compared_arms(scores.study):
        return None
    return KeyFigure([_group(scores, *each) for each in every[:METRICS]], max(0, len(every) - METRICS))


def _group(scores: Scores, benchmark: str, metric: Metric, title: str) -> Group:
    gains = {
        (model, arm): scores.over_control(model, arm, benchmark, metric)
        for model in scores.study.study.models
        for arm in compared_arms(scores.study)
    }
    bounds = [100 * bound for gain in gains.values() for bound in (gain.low, gain.value, gain.high) if bound == bound]
    # Without any difference there is still an axis, of a point to either side.
    least, most = (min([0, *bounds]), max([0, *bounds])) if any(bounds) else (-1, 1)
    ticks = MaxNLocator(4, steps=[1, 2, 5, 10]).tick_values(least, most)
    first, width = ticks[0], ticks[-1] - ticks[0]

    def place(points: float) -> float | None:
        return None if np.isnan(points) else round(float(100 * (points - first) / width), 2)

    panels: dict[str, list[Point]] = {}
    for (model, arm), gain in gains.items():
        at = place(100 * gain.value)
        if at is None:
            continue
        seen = {1: "better", -1: "worse", 0: ""}[direction(helped(metric, gain))]
        text = shown(metric, gain.value, gain.low, gain.high, gain=True)
        ends = place(100 * gain.low), place(100 * gain.high)
        known = scores.administered(model, arm) is not False
        panels.setdefault(model, []).append(Point(arm, text, at, *ends, seen, known))
    labels = [(place(tick) or 0.0, "0" if tick == 0 else f"{tick:+g}".replace("-", "−")) for tick in ticks]
    return Group(title, explanation(scores, benchmark, metric), panels, labels, place(0.0) or 0.0)
