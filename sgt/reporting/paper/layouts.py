"""The paper's six tables, of a study's own values.

Columns and rows that the paper prints and the study has not run stay: they say so. What the study measures besides
follows them.
"""

from collections.abc import Callable, Iterator, Sequence

from sgt.config.benchmarks import ImageBenchmark
from sgt.config.printed import PAPER_PROTOCOL, paper_name, printed_file
from sgt.config.study import ARM_WITHOUT_PROXY, ARM_WITHOUT_TRAINING
from sgt.evaluation.metrics import Metric
from sgt.reporting.comparisons import proxies_of
from sgt.reporting.paper.cells import Measure, PaperTable, table_of
from sgt.reporting.paper.curves import Place, ratio_places, scale_places
from sgt.reporting.points import is_share
from sgt.reporting.scores import Scores
from sgt.reporting.wording import readable
from sgt.study.releases import LABEL, release_of

MAIN = ("MMVP", "VSR", "HallusionBench", "MMStar", "RealWorldQA", "MathVista", "GenEval", "GEdit")
PROXIES = ("CV-Bench", "MMVP", "VSR", "SIBench", "POPE", "HallusionBench", "GenEval", "GEdit")
PROXY_ARMS = (ARM_WITHOUT_TRAINING, ARM_WITHOUT_PROXY, "edge", "reconstruction", "segmentation")
# Which benchmarks are behind the paper's dimensions is stated nowhere: these are ours, by what each asks about.
DIMENSIONS = {
    "vision-centric": ("MMVP", "CV-Bench", "RealWorldQA"),
    "general VQA": ("MMStar",),
    "hallucination": ("POPE", "HallusionBench"),
    "spatial": ("VSR", "SIBench"),
    "OCR": (),
    "knowledge": ("MathVista",),
}
# Sub-scores by their title, and the tag of GenEval's prompts that a metric of its task is named after.
GENEVAL = {
    "single object": "single_object",
    "two objects": "two_object",
    "counting": "counting",
    "colors": "colors",
    "position": "position",
    "color attribution": "color_attr",
    "overall": "overall",
}
OVERALL = "overall"


def paper_tables(scores: Scores) -> dict[str, PaperTable]:
    """Every table by its name."""
    return {name: make(scores) for name, make in TABLES.items()}


def _main(scores: Scores) -> PaperTable:
    arms = [ARM_WITHOUT_TRAINING, ARM_WITHOUT_PROXY, *(proxies_of(scores, "high") or ["segmentation"])]
    return table_of(
        scores, "paper-main", "Both models on every benchmark", _places(scores, arms), _measures(scores, MAIN), "main"
    )


def _proxies(scores: Scores) -> PaperTable:
    own = [arm for arm in scores.study.study.arms if arm not in scores.study.study.variants]
    arms = [*dict.fromkeys((*PROXY_ARMS, *own))]
    caption = "Effect of the proxy task"
    places, measures = _places(scores, arms), _measures(scores, PROXIES)
    return table_of(scores, "paper-proxies", caption, places, measures, "proxy_ablation")


def _dimensions(scores: Scores) -> PaperTable:
    places = _places(scores, proxies_of(scores))
    caption = "Gains over the control sft by understanding dimension"
    return table_of(scores, "paper-dimensions", caption, places, dimensions(scores), gains=True)


def _geneval(scores: Scores) -> PaperTable:
    of = next((name for name, each in scores.study.benchmarks.items() if paper_name(each) == "GenEval"), None)
    known = {metric.name.rpartition("/")[2]: metric for metric in scores.metrics(of)} if of else {}
    measures = [Measure(title, ((of, known[tag]),) if of and tag in known else ()) for title, tag in GENEVAL.items()]
    own = [arm for arm in scores.study.study.arms if arm not in scores.study.study.variants]
    return table_of(scores, "paper-geneval", "GenEval by sub-score", _places(scores, own), measures)


def _ratio(scores: Scores) -> PaperTable:
    caption = "Scores against the ratio of proxy samples to questions"
    return table_of(scores, "paper-ratio", caption, ratio_places(scores.study), curve_measures(scores))


def _scale(scores: Scores) -> PaperTable:
    caption = "Scores against the number of the proxy's images, at equal steps"
    return table_of(scores, "paper-scale", caption, scale_places(scores.study), curve_measures(scores))


TABLES: dict[str, Callable[[Scores], PaperTable]] = {
    "paper-main": _main,
    "paper-proxies": _proxies,
    "paper-dimensions": _dimensions,
    "paper-geneval": _geneval,
    "paper-ratio": _ratio,
    "paper-scale": _scale,
}


def _places(scores: Scores, arms: Sequence[str]) -> list[Place]:
    """A row per model and arm. Released weights are no arm of the paper's: what was not run of them is no row."""
    study, found = scores.study, []
    for model, spec in study.models.items():
        for arm in arms:
            if not spec.released or arm in study.study.arms:
                release = release_of(study, model, arm)
                found.append(Place(model, arm, f"{LABEL}: {release.arm}" if release else arm))
    return found


def _measures(scores: Scores, columns: Sequence[str]) -> list[Measure]:
    """The paper's benchmarks, then what sums up the study's others."""
    of = {name: Measure(name, _printed_metric(scores, name)) for name in columns}
    theirs = {benchmark for measure in of.values() for benchmark, _ in measure.of}
    return [*of.values(), *(_titled(scores, *pair) for pair in _headlines(scores) if pair[0] not in theirs)]


def _printed_metric(scores: Scores, name: str) -> tuple[tuple[str, Metric], ...]:
    """The study's benchmark of the paper's name, by the metric that is printed, or that sums it up if it lacks that.

    Of several, such as one by each protocol, it is the first by the paper's.
    """
    about, specs = printed_file().comparable[name], scores.study.benchmarks
    of_name = [benchmark for benchmark, spec in specs.items() if paper_name(spec) == name]
    for benchmark in sorted(of_name, key=lambda benchmark: specs[benchmark].protocol != PAPER_PROTOCOL)[:1]:
        named = [metric for metric in scores.metrics(benchmark) if metric.name == about.metric]
        return tuple((benchmark, metric) for metric in (named or scores.headlines(benchmark))[:1])
    return ()


def _headlines(scores: Scores) -> Iterator[tuple[str, Metric]]:
    for benchmark in scores.study.benchmarks:
        yield from ((benchmark, metric) for metric in scores.headlines(benchmark))


def _titled(scores: Scores, benchmark: str, metric: Metric) -> Measure:
    titles = scores.titles((name, each.name) for name, each in _headlines(scores))
    return Measure(titles[benchmark, metric.name], ((benchmark, metric),))


def dimensions(scores: Scores) -> list[Measure]:
    """The paper's dimensions; then each kind of question of the study's own benchmarks."""
    found = []
    for title, names in DIMENSIONS.items():
        found.append(Measure(title, tuple(pair for name in names for pair in _printed_metric(scores, name))))
    every = tuple(pair for measure in found for pair in measure.of)
    found.append(Measure(OVERALL, every))
    named = {benchmark for benchmark, _ in every}
    for benchmark, spec in scores.study.benchmarks.items():
        if benchmark not in named and not isinstance(spec, ImageBenchmark):
            parts = _kinds(scores, benchmark) or [metric for metric in scores.headlines(benchmark) if is_share(metric)]
            found += [Measure(readable(metric.title), ((benchmark, metric),)) for metric in parts]
    return found


def _kinds(scores: Scores, benchmark: str) -> list[Metric]:
    """The shares of right answers to one kind of question each."""

    def of_one(metric: Metric) -> bool:
        chosen = list(metric.where.values())
        return (
            not metric.headline
            and is_share(metric)
            and metric.higher_is_better
            and len(chosen) == 1
            and len(chosen[0]) == 1
        )

    return [metric for metric in scores.metrics(benchmark) if of_one(metric)]


def curve_measures(scores: Scores) -> list[Measure]:
    """The mean over all benchmarks that are answered in words, then each measure."""
    answered = [name for name, spec in scores.study.benchmarks.items() if not isinstance(spec, ImageBenchmark)]
    shares = {name: [metric for metric in scores.headlines(name) if is_share(metric)] for name in answered}
    first = tuple((name, metrics[0]) for name, metrics in shares.items() if metrics)
    overall = [Measure(OVERALL, first)] if len(first) > 1 else []
    return [*overall, *(_titled(scores, name, metric) for name, metric in _headlines(scores))]
