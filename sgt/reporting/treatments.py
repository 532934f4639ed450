"""Whether the proxy arms learned their task: the checks of their runs, over training seeds.

Over several seeds, a value is the mean. Its interval adds in squares Student's over the seeds and the mean of the
seeds' intervals over images: all seeds are checked on the same images, whose spread more seeds do not reduce.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from sgt.evaluation.statistics import LEVEL, Estimate
from sgt.evaluation.treatment import MIN_USE, Fidelity, Treatment, read_treatment
from sgt.study.loaded import LoadedStudy
from sgt.study.runs import Run

# By model and arm.
Treatments = dict[tuple[str, str], Treatment]


def read_treatments(study: LoadedStudy) -> Treatments:
    """The treatment of every proxy arm of every model.

    Raises:
        SgtError: a run was not checked, or its record is damaged.
    """
    runs: dict[tuple[str, str], list[Run]] = {}
    for run in study.proxy_runs:
        runs.setdefault((run.model, run.arm), []).append(run)
    return {key: over_seeds([read_treatment(study, run) for run in each]) for key, each in runs.items()}


def over_seeds(treatments: Sequence[Treatment]) -> Treatment:
    """The treatment of an arm, from those of its runs."""
    first = treatments[0]
    measures = [
        _fidelity_over_seeds(of_one)
        for of_one in zip(*((each.fidelity, *each.more) for each in treatments), strict=True)
    ]
    use = _mean([each.use for each in treatments], (None, 1.0))
    return replace(first, use=use, fidelity=measures[0], more=tuple(measures[1:]))


def _fidelity_over_seeds(measures: Sequence[Fidelity]) -> Fidelity:
    first = measures[0]
    return replace(
        first,
        made=_mean([each.made for each in measures], first.range),
        floor=_mean([each.floor for each in measures], first.range),
        ceiling=_mean([each.ceiling for each in measures], first.range),
    )


def _mean(estimates: Sequence[Estimate], bounds: tuple[float | None, float | None]) -> Estimate:
    if len(estimates) == 1:
        return estimates[0]
    values, low, high = np.array([(each.value, each.low, each.high) for each in estimates]).T
    mean, count = values.mean(), len(values)
    of_seeds = stdtrit(count - 1, 0.5 + LEVEL / 2) * values.std(ddof=1) / np.sqrt(count)
    lowest, highest = (-np.inf if bounds[0] is None else bounds[0], np.inf if bounds[1] is None else bounds[1])
    lower = max(mean - np.hypot(of_seeds, (values - low).mean()), lowest)
    upper = min(mean + np.hypot(of_seeds, (high - values).mean()), highest)
    return Estimate(float(mean), float(lower), float(upper), estimates[0].n)


def share_of_way(fidelity: Fidelity) -> Estimate:
    """How far what was made has come from the floor (0) to the ceiling (1); NaN where they are equal."""
    floor, way = fidelity.floor.value, fidelity.ceiling.value - fidelity.floor.value
    made = fidelity.made
    if way == 0:
        return Estimate(np.nan, np.nan, np.nan, made.n)
    ends = sorted((bound - floor) / way for bound in (made.low, made.high))
    return Estimate((made.value - floor) / way, ends[0], ends[1], made.n)


def columns_of(treatment: Treatment | None) -> dict[str, object]:
    """The columns of the main table about an arm's treatment; without values if the arm has no proxy."""
    if treatment is None:
        return dict.fromkeys(_COLUMNS)
    use, fidelity = treatment.use, treatment.fidelity
    values = (
        *(use.value, use.low, use.high, fidelity.name),
        *(fidelity.made.value, fidelity.made.low, fidelity.made.high, fidelity.floor.value, fidelity.ceiling.value),
    )
    return dict(zip(_COLUMNS, values, strict=True))


_COLUMNS = (
    *("use", "use_low", "use_high", "fidelity"),
    *("fidelity_made", "fidelity_made_low", "fidelity_made_high", "fidelity_floor", "fidelity_ceiling"),
)


def treatment_rows(study: LoadedStudy, treatments: Treatments) -> pd.DataFrame:
    """One row per model, proxy arm and measure of fidelity.

    Columns: ``model``, ``arm``, ``level``, ``seeds`` (how many), ``dataset``, ``items``, ``time`` (of the flow, for
    use); ``use``, ``use_low``, ``use_high`` (95%), ``administered``; ``measure``, ``unit``, ``higher_is_better``,
    ``made``, ``made_low``, ``made_high``, ``floor``, ``ceiling``, ``share_of_way`` (from floor to ceiling); ``checks``
    (the files the row is from).
    """
    rows = []
    for (model, arm), treatment in treatments.items():
        runs = [run for run in study.runs if (run.model, run.arm) == (model, arm)]
        use = treatment.use
        about = {
            "model": model,
            "arm": arm,
            "level": study.proxy(arm).level,
            "seeds": len(runs),
            "dataset": treatment.dataset,
            "items": treatment.items,
            "time": treatment.time,
            "use": use.value,
            "use_low": use.low,
            "use_high": use.high,
            "administered": treatment.is_administered,
        }
        checks = " ".join(str(study.treatment_file(run)) for run in runs)
        rows += [
            {
                **about,
                "measure": measure.name,
                "unit": measure.unit,
                "higher_is_better": measure.higher_is_better,
                "made": measure.made.value,
                "made_low": measure.made.low,
                "made_high": measure.made.high,
                "floor": measure.floor.value,
                "ceiling": measure.ceiling.value,
                "share_of_way": share_of_way(measure).value,
                "checks": checks,
            }
            for measure in (treatment.fidelity, *treatment.more)
        ]
    return pd.DataFrame(rows)


def summary(study: LoadedStudy, treatments: Treatments) -> Iterator[str]:
    """Per model, in a sentence, which arms learned their task, with their use."""
    for model in study.study.models:
        uses = {arm: each for (of, arm), each in treatments.items() if of == model}
        if not uses:
            continue
        learned = [with_use(arm, each) for arm, each in uses.items() if each.is_administered]
        others = [with_use(arm, each) for arm, each in uses.items() if not each.is_administered]
        if len(learned) == len(uses):
            text = f"every proxy arm learned its task: {', '.join(learned)}"
        elif learned:
            text = f"{len(learned)} of {len(uses)} proxy arms learned their task: {', '.join(learned)}"
        else:
            text = "no proxy arm learned its task"
        left = f"; not administered (use below {MIN_USE}), so nothing is claimed about them: {', '.join(others)}"
        yield f"{model}: {text}{left if others else ''}"


def with_use(arm: str, treatment: Treatment) -> str:
    """``edge (use 0.071)``."""
    return f"{arm} (use {treatment.use.value:.3f})"
